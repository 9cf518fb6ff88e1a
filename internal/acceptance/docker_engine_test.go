// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package acceptance_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// An engine that is restarted, between applies and in the middle of one.
func TestAccDockerEngineRestarts(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Dockerd)
	t.Parallel()
	d := testenv.StartDockerd(t, testenv.DockerdOptions{LiveRestore: true})
	w := newDockerWorldAt(t, d.Host)
	w.cluster("ci", 4)
	w.apply()
	w.expect(4)
	before := w.ids("worker")
	d.Restart()
	w.emptyPlan()
	d.Crash()
	if r := w.run("plan", "-no-color", "-input=false"); r.code == 0 {
		t.Fatalf("a plan without an engine:\n%s", r.out)
	}
	d.Start()
	w.emptyPlan()
	if !slices.Equal(before, w.ids("worker")) {
		t.Errorf("workers %v, were %v", w.ids("worker"), before)
	}

	// In mid-apply: it goes on when the engine is back, or the next one does.
	for i, at := range []time.Duration{400 * time.Millisecond, 1200 * time.Millisecond, 2 * time.Second} {
		wanted := 10 + 6*i
		w.cluster("ci", wanted)
		c := w.command(t.Context(), "apply", "-auto-approve", "-no-color", "-input=false")
		out := &strings.Builder{}
		c.Stdout, c.Stderr = out, out
		must(t, c.Start())
		time.Sleep(at)
		d.Crash()
		d.Start()
		err := c.Wait()
		if strings.Contains(out.String(), "bug in the provider") {
			t.Fatalf("%s", out)
		}
		t.Logf("after a crash of the engine %v after its start, the apply ended with %v", at, err)
		w.apply()
		w.expect(wanted)
		w.emptyPlan()
	}
	w.destroy()
	w.nothingLeft()
}

// An engine that ends its containers with itself, as it usually does: what is
// gone is started again by the next apply; with a restart policy the engine
// does it.
func TestAccDockerEngineEndsItsContainers(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Dockerd)
	t.Parallel()
	d := testenv.StartDockerd(t, testenv.DockerdOptions{})
	w := newDockerWorldAt(t, d.Host)
	w.cluster("ci", 3)
	w.apply()
	d.Restart()
	w.wants(w.plan(), "0 to add, 2 to change, 0 to destroy")
	w.apply()
	w.expect(3)
	w.emptyPlan()

	always := `docker = { restart_policy = "always" }`
	w.write(strings.Replace(requireProvider+w.provider("owner = \"ci\"")+w.clusterBlock("sim", "")+w.poolBlock("sim", "default", 3, always),
		"port      = 7000", "port      = 7000\n    "+always, 1))
	w.apply()
	w.emptyPlan()
	before := append(w.ids("server"), w.ids("worker")...)
	d.Restart()
	testenv.Eventually(t, "the engine to start the containers again", func() bool { return len(w.ids("worker")) == 3 && len(w.ids("server")) == 1 })
	testenv.Eventually(t, "the plan to be empty", func() bool { return w.run("plan", "-detailed-exitcode", "-input=false").code == 0 })
	if after := append(w.ids("server"), w.ids("worker")...); !slices.Equal(before, after) {
		t.Errorf("containers %v, were %v", after, before)
	}
	w.destroy()
	w.nothingLeft()
}

// A disk without room: it is said, what runs goes on, and with room again the
// next apply does the rest.
func TestAccDockerFullDisk(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Dockerd)
	t.Parallel()
	root := filepath.Join(t.TempDir(), "disk")
	must(t, os.Mkdir(root, 0o700))
	must(t, syscall.Mount("tmpfs", root, "tmpfs", 0, "size=64m"))
	t.Cleanup(func() { _ = syscall.Unmount(root, syscall.MNT_DETACH) })
	d := testenv.StartDockerd(t, testenv.DockerdOptions{DataRoot: root})
	w := newDockerWorldAt(t, d.Host)
	w.cluster("ci", 2)
	w.apply()
	before := w.ids("worker")
	filler := filepath.Join(root, "filler")
	fill(t, filler)
	w.cluster("ci", 6)
	w.refused("no space left on device")
	if lost := gone(before, w.ids("worker")); len(lost) > 0 {
		t.Errorf("a full disk cost %v", lost)
	}
	must(t, os.Remove(filler))
	w.apply()
	w.expect(6)
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}

// fill writes until there is no room any more.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer func() { _ = f.Close() }()
	for _, size := range []int{1 << 20, 4096, 1} {
		block := make([]byte, size)
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
	}
	if !strings.Contains(err.Error(), "no space left") {
		t.Fatal(err)
	}
}

// From far away: through TLS with certificates as values, and through SSH. The
// state holds nothing of the way there.
func TestAccDockerFarAway(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Dockerd, testenv.SSHD)
	t.Parallel()
	d := testenv.StartDockerd(t, testenv.DockerdOptions{TLS: true})
	s := testenv.StartSSHD(t)
	for name, way := range map[string]struct {
		host, block string
		secrets     []string
		variables   []string
	}{
		"TLS": {d.TLSHost, "tls = { ca = var.a, cert = var.b, key = var.c }", []string{d.TLS.Key, d.TLS.Cert},
			[]string{"TF_VAR_a=" + d.TLS.CA, "TF_VAR_b=" + d.TLS.Cert, "TF_VAR_c=" + d.TLS.Key}},
		"SSH": {s.Host(d.Host), "ssh = { private_key = var.a, known_hosts = var.b }", []string{s.PrivateKey},
			[]string{"TF_VAR_a=" + s.PrivateKey, "TF_VAR_b=" + s.KnownHosts, "TF_VAR_c="}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDockerWorldAt(t, d.Host)
			w.variables = way.variables
			config := func(workers int) {
				provider := fmt.Sprintf("provider \"dockerparallel\" {\n  namespace = %q\n  docker = {\n    host = %q\n    %s\n  }\n}\n", w.namespace, way.host, way.block)
				for _, v := range []string{"a", "b", "c"} {
					provider += "variable \"" + v + "\" {\n  type = string\n  sensitive = true\n}\n"
				}
				w.write(requireProvider + provider + w.clusterBlock("sim", "") + w.poolBlock("sim", "default", workers, ""))
			}
			config(3)
			w.apply()
			w.expect(3)
			w.emptyPlan()
			w.docker("kill", w.ids("worker")[0])
			config(5)
			w.apply()
			w.expect(5)
			w.emptyPlan()
			for _, secret := range way.secrets {
				line := strings.Split(strings.TrimSpace(secret), "\n")[1]
				if strings.Contains(string(w.state()), line) {
					t.Error("a key is in the state")
				}
			}
			w.destroy()
			w.nothingLeft()
		})
	}
}
