// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/moby/moby/client"
)

// StartPodman starts a Podman service with a store of its own and gives the
// address of its socket. It ends with the test, and everything on it is gone.
func StartPodman(t testing.TB) (host string) {
	t.Helper()
	Need(t, Podman)
	dir := shortDir(t)
	// Podman's own limits are above what a container in a container may set.
	config := filepath.Join(dir, "containers.conf")
	if err := os.WriteFile(config, []byte("[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host = "unix://" + filepath.Join(dir, "p.sock")
	store := []string{"podman", "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--cgroup-manager", "cgroupfs"}
	// Podman's usual one, crun, does not work with the mixed cgroups of some machines.
	if runc, err := exec.LookPath("runc"); err == nil {
		store = append(store, "--runtime", runc)
	}
	env := []string{"CONTAINERS_CONF=" + config}
	s := &service{t: t, args: append(store, "system", "service", "--time", "0", host), env: env}
	t.Cleanup(func() {
		clean := exec.Command("sh", "-c", `"$@" rm -fa -t 0 && "$@" network prune -f`, "sh")
		clean.Args = append(clean.Args, store...)
		clean.Env = append(os.Environ(), env...)
		if out, err := clean.CombinedOutput(); err != nil {
			t.Logf("cleaning up: %v: %s", err, out)
		}
		s.stop(syscall.SIGTERM)
		unmount(dir)
	})
	c := Engine(t, host)
	s.start(func() error {
		_, err := c.Ping(t.Context(), client.PingOptions{})
		return err
	})
	return host
}
