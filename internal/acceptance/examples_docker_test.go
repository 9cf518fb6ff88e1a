// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package acceptance_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// The Docker example is valid as it is.
func TestAccDockerExampleIsValid(t *testing.T) {
	testenv.Need(t, testenv.Acceptance)
	t.Parallel()
	exampleIsValid(t, "docker")
}

// The Docker example does its job, on one engine and then on two, of which the
// second is reached by SSH. No image can be pulled where tests run, so there
// is one with this machine's redis, and a script in place of rq.
func TestAccDockerExampleWorks(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Docker, testenv.Redis, testenv.Shell, testenv.SSHD)
	t.Parallel()
	w := newDockerWorld(t)
	if !strings.HasPrefix(w.host, "unix://") {
		t.Skipf("skipped: the engine at %s has no socket that SSH could lead to", w.host)
	}
	image := redisImage(t, w)
	volume := w.namespace + "-results"
	t.Cleanup(func() {
		ctx := context.Background()
		for _, c := range w.all("") { // only after a failure is there anything
			_, _ = w.engine.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		}
		_, _ = w.engine.VolumeRemove(ctx, volume, client.VolumeRemoveOptions{Force: true})
		_, _ = w.engine.ImageRemove(ctx, image, client.ImageRemoveOptions{Force: true})
	})

	must(t, os.CopyFS(w.dir, os.DirFS(filepath.Join("..", "..", "examples", "docker"))))
	for _, name := range []string{"main.tf", "second-engine.tf"} {
		path := filepath.Join(w.dir, name)
		b, err := os.ReadFile(path)
		must(t, err)
		config := strings.Replace(string(b), `namespace = "example"`, fmt.Sprintf("namespace = %q", w.namespace), 1)
		must(t, os.WriteFile(path, []byte(config), 0o600))
	}
	variables := map[string]string{"redis_image": image, "worker_image": image, "results_volume": volume}
	w.variable(variables)
	// No settings of this machine's user decide which engine it is.
	home := t.TempDir()
	w.variables = append(w.variables, "HOME="+home, "DOCKER_HOST="+w.host, "DOCKER_CONTEXT=", "SSH_AUTH_SOCK=")

	w.apply()
	w.emptyPlan()
	w.expect(2) // six workers, four in one of them
	w.checkExampleContainers()
	if pools := w.exampleJobs(20, 20); !slices.Equal(pools, []string{"default"}) {
		t.Errorf("jobs were done by %v", pools)
	}

	// The same engine stands for the second one.
	server := testenv.StartSSHD(t)
	must(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	must(t, os.WriteFile(filepath.Join(home, ".ssh", "known_hosts"), []byte(server.KnownHosts+"\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(home, ".ssh", "id_ed25519"), []byte(server.PrivateKey), 0o600))
	variables["second_engine"] = server.Host(w.host)
	w.variable(variables)
	if r := w.run("plan", "-no-color", "-input=false"); r.code == 0 || !strings.Contains(r.out, "Resource precondition failed") {
		t.Errorf("a server that the second engine does not reach is planned (exit code %d):\n%s", r.code, r.out)
	}
	variables["publish_address"] = hostAddress(t)
	w.variable(variables)
	w.apply()
	w.emptyPlan()
	w.expect(3) // the second engine has two workers in one
	if n := server.Logins(); n == 0 {
		t.Error("nobody came by SSH")
	}
	if pools := w.exampleJobs(60, 80); !slices.Equal(pools, []string{"default", "second"}) {
		t.Errorf("jobs were done by %v", pools)
	}

	w.destroy()
	w.nothingLeft()
	if _, err := w.engine.VolumeInspect(t.Context(), volume, client.VolumeInspectOptions{}); err != nil {
		t.Errorf("the volume with the results is gone: %v", err)
	}
}

// variable sets the configuration's variables.
func (w *dockerWorld) variable(values map[string]string) {
	w.t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s = %q\n", name, values[name])
	}
	must(w.t, os.WriteFile(filepath.Join(w.dir, "terraform.tfvars"), []byte(b.String()), 0o600))
}

// checkExampleContainers looks at what the example promises in its comments.
func (w *dockerWorld) checkExampleContainers() {
	w.t.Helper()
	inspect := func(id string) container.InspectResponse {
		c, err := w.engine.ContainerInspect(w.t.Context(), id, client.ContainerInspectOptions{})
		must(w.t, err)
		return c.Container
	}
	server := inspect(w.ids("server")[0])
	if h := server.State.Health; h == nil || h.Status != container.Healthy {
		w.t.Errorf("the server's health is %+v", h)
	}
	for port, bindings := range server.HostConfig.PortBindings {
		if len(bindings) != 1 || bindings[0].HostIP.String() != "127.0.0.1" {
			w.t.Errorf("port %s is published at %v", port, bindings)
		}
	}
	var limits []string
	for _, id := range w.ids("worker") {
		c := inspect(id).HostConfig
		limits = append(limits, fmt.Sprint(c.NanoCPUs/1e6, " ", c.Memory>>20))
	}
	slices.Sort(limits)
	if want := []string{"1000 512", "2000 1024"}; !slices.Equal(limits, want) {
		w.t.Errorf("the workers have %v (thousandths of a CPU, MB), want %v", limits, want)
	}
}

// exampleJobs hands in n jobs, waits for their answers and gives the pools that
// these came from. Then so many results are in the one volume.
func (w *dockerWorld) exampleJobs(n, results int) (pools []string) {
	w.t.Helper()
	redis := func(args ...string) string {
		w.t.Helper()
		c := exec.CommandContext(w.t.Context(), "sh", append([]string{"-c", `url=$("$0" credentials jobs --show-url --namespace "$1" --docker-host "$2") && shift 2 &&
exec redis-cli --raw --no-auth-warning -u "$url" "$@"`, w.world.provider, w.namespace, w.host}, args...)...)
		out, err := c.Output()
		if err != nil {
			w.t.Fatalf("redis-cli %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	before, err := strconv.Atoi(redis("LLEN", "answers"))
	must(w.t, err)
	push := []string{"RPUSH", "rq:queue:jobs"}
	for range n {
		push = append(push, "job-"+rand.Text()[:8])
	}
	redis(push...)
	testenv.Eventually(w.t, fmt.Sprint(n, " answers"), func() bool { return redis("LLEN", "answers") == strconv.Itoa(before+n) })
	for _, answer := range strings.Fields(redis("LRANGE", "answers", strconv.Itoa(before), "-1")) {
		pool, _, _ := strings.Cut(answer, ":")
		if !slices.Contains(pools, pool) {
			pools = append(pools, pool)
		}
	}
	redis("RPUSH", "rq:queue:jobs", "count")
	testenv.Eventually(w.t, "the count", func() bool { return redis("LLEN", "answers") == strconv.Itoa(before+n+1) })
	if got := redis("LINDEX", "answers", "-1"); got != strconv.Itoa(results) {
		w.t.Errorf("there are %s results in the volume, want %d", got, results)
	}
	slices.Sort(pools)
	return pools
}

// hostAddress is an address of this machine that containers reach as well. It
// is of no network that another test removes.
func hostAddress(t *testing.T) string {
	t.Helper()
	interfaces, err := net.Interfaces()
	must(t, err)
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback != 0 || strings.HasPrefix(i.Name, "br-") {
			continue
		}
		addresses, err := i.Addrs()
		must(t, err)
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
				return n.IP.String()
			}
		}
	}
	t.Skip("skipped: this machine has no address but 127.0.0.1")
	return ""
}

// fakeRQ does as "rq worker-pool --num-workers N QUEUE": the jobs are words,
// for each of which it writes a file. The job "count" counts the files.
const fakeRQ = `#!/bin/sh
set -eu
[ "$1 $2" = "worker-pool --num-workers" ]
queue=rq:queue:$4
redis() { redis-cli --raw --no-auth-warning -u "$RQ_REDIS_URL" "$@"; }
work() {
  while job=$(redis BLPOP "$queue" 1 | tail -n 1); do
    case $job in
    '') ;;
    count) redis RPUSH answers "$(ls /results | wc -l)" >/dev/null ;;
    *)
      touch "/results/$job"
      sleep 0.1
      redis RPUSH answers "$DOCKERPARALLEL_POOL:$job" >/dev/null
      ;;
    esac
  done
}
for i in $(seq "$3"); do work & done
wait
`

// redisImage makes an image with redis-server and redis-cli of this machine,
// busybox and fakeRQ.
func redisImage(t *testing.T, w *dockerWorld) string {
	t.Helper()
	var buf bytes.Buffer
	archive := tar.NewWriter(&buf)
	write := func(name string, content []byte) {
		t.Helper()
		must(t, archive.WriteHeader(&tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(content))}))
		_, err := archive.Write(content)
		must(t, err)
	}
	file := func(name, path string) {
		t.Helper()
		b, err := os.ReadFile(path)
		must(t, err)
		write(name, b)
	}
	program := func(name string) string {
		t.Helper()
		path, err := exec.LookPath(name)
		must(t, err)
		return path
	}
	libraries := map[string]bool{}
	for _, name := range []string{"redis-server", "redis-cli"} {
		file("bin/"+name, program(name))
		out, err := exec.CommandContext(t.Context(), "ldd", program(name)).Output()
		must(t, err)
		for _, word := range strings.Fields(string(out)) {
			if filepath.IsAbs(word) && !libraries[word] {
				libraries[word] = true
				file(word, word)
			}
		}
	}
	file("bin/busybox", program("busybox"))
	for _, name := range []string{"sh", "sleep", "seq", "ls", "wc", "tail", "touch"} {
		must(t, archive.WriteHeader(&tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox"}))
	}
	write("bin/rq", []byte(fakeRQ))
	must(t, archive.Close())

	name := "dockerparallel.local/" + w.namespace + ":1"
	res, err := w.engine.ImageImport(t.Context(), client.ImageImportSource{Source: &buf, SourceName: "-"}, name, client.ImageImportOptions{})
	must(t, err)
	_, err = io.Copy(io.Discard, res)
	must(t, err)
	return name
}
