// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// DockerdOptions say what kind of engine a test wants.
type DockerdOptions struct {
	// TLS has the engine listen on a port as well, for clients with a
	// certificate.
	TLS bool
	// LiveRestore keeps containers running while the engine is not.
	LiveRestore bool
	// DataRoot in place of a temporary folder.
	DataRoot string
}

// Daemon is a Docker Engine of a test's own. It has a network namespace of its
// own, as another machine would: engines that share one spoil each other's
// rules for packets. So its containers cannot be reached from here.
type Daemon struct {
	// Host is its socket, unix:///path.
	Host string
	// TLSHost is tcp://localhost:port, and TLS what its clients need.
	TLSHost string
	TLS     Certificates

	namespace *service // a process that keeps the network namespace
	service   *service
	pidfile   string
}

// StartDockerd starts an engine beside the machine's own. It ends with the
// test, and everything on it is gone.
func StartDockerd(t testing.TB, o DockerdOptions) *Daemon {
	t.Helper()
	Need(t, Dockerd)
	dir := shortDir(t)
	if o.DataRoot == "" {
		o.DataRoot = filepath.Join(dir, "data")
	}
	d := &Daemon{Host: "unix://" + filepath.Join(dir, "d.sock"), pidfile: filepath.Join(dir, "pid")}
	config := filepath.Join(dir, "daemon.json") // so that the machine's own is not read
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.namespace = &service{t: t, args: []string{"unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"}}
	t.Cleanup(func() { d.namespace.stop(syscall.SIGKILL) })
	d.namespace.start(func() error {
		if !strings.Contains(d.namespace.out.String(), "ready") {
			return errors.New("there is no namespace yet")
		}
		return nil
	})
	inside := fmt.Sprintf("/proc/%d/ns/net", d.namespace.cmd.Process.Pid)
	args := []string{
		"nsenter", "--net=" + inside, "dockerd", "--config-file", config, "--data-root", o.DataRoot, "--exec-root", filepath.Join(dir, "exec"), "--pidfile", d.pidfile,
		"--bridge", "none", "-H", d.Host, "--storage-driver", storageDriver(t),
	}
	if o.LiveRestore {
		args = append(args, "--live-restore")
	}
	if o.TLS {
		const port = 2376
		d.TLSHost = "tcp://localhost:" + strconv.Itoa(forward(t, inside, local(port)))
		d.TLS = NewCertificates(t, "localhost")
		args = append(args, "-H", "tcp://"+local(port), "--tlsverify", "--tlscacert", d.TLS.CAFile, "--tlscert", d.TLS.ServerCertFile, "--tlskey", d.TLS.ServerKeyFile)
	}
	d.service = &service{t: t, args: args}
	t.Cleanup(func() {
		d.removeAll(t)
		d.Stop()
		unmount(dir)
	})
	d.Start()
	return d
}

// storageDriver is that of the machine's own engine: what works for one works
// for both.
func storageDriver(t testing.TB) string {
	t.Helper()
	c := Engine(t, DockerHost())
	if info, err := c.Info(t.Context(), client.InfoOptions{}); err == nil && info.Info.Driver != "" {
		return info.Info.Driver
	}
	return "vfs"
}

// Start starts a daemon that was stopped, and waits until it answers.
func (d *Daemon) Start() {
	d.service.t.Helper()
	c, err := client.New(client.WithHost(d.Host))
	if err != nil {
		d.service.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	d.service.start(func() error {
		_, err := c.Ping(d.service.t.Context(), client.PingOptions{})
		return err
	})
}

// Stop ends the daemon in an orderly way: without LiveRestore its containers end.
func (d *Daemon) Stop() { d.service.stop(syscall.SIGTERM) }

// Crash ends it at once, and its containerd as well, which would otherwise
// linger for a while. What runs in containers goes on with LiveRestore.
func (d *Daemon) Crash() {
	d.service.stop(syscall.SIGKILL)
	_ = os.Remove(d.pidfile)
	file := filepath.Join(filepath.Dir(d.pidfile), "exec", "containerd", "containerd.pid")
	b, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
		for deadline := time.Now().Add(5 * time.Second); syscall.Kill(pid, syscall.SIGKILL) == nil && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
	}
	_ = os.Remove(file)
}

// Restart stops and starts it.
func (d *Daemon) Restart() {
	d.Stop()
	d.Start()
}

// removeAll ends containers and networks, which would outlive the daemon.
func (d *Daemon) removeAll(t testing.TB) {
	if d.service.cmd == nil {
		return
	}
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Logf("cleaning up: %v", err)
		return
	}
	script := `"$0" ps -aq | xargs -r "$0" rm -fv; "$0" network prune -f; "$0" volume prune -f`
	cmd := exec.Command("sh", "-c", script, docker)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.Host, "DOCKER_TLS_VERIFY=", "DOCKER_CONTEXT=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Logf("cleaning up: %v: %s", err, out)
	}
}
