// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A wrong change of a healthy cluster is one clear error, and touches nothing
// that runs. (What can be known wrong from the configuration alone is tested in
// internal/provider.)
func TestAccWrongChangeTouchesNothing(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = taken.Close() }()
	address, ok := taken.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("%v is no TCP address", taken.Addr())
	}
	w := newWorld(t)
	w.cluster("ci", 2)
	w.apply()
	good, server, workers := w.read(), w.running("server"), w.running("worker")
	for _, wrong := range []struct {
		name, old, new string
		says           []string
	}{
		{"a worker's program that does not exist", w.node + `", "worker"`, `/nowhere/worker", "worker"`, []string{"/nowhere/worker", "command"}},
		{"a server's program that does not exist", w.node + `", "server"`, `/nowhere/server", "server"`, []string{"/nowhere/server", "command"}},
		{"a port in use", "port      = 0", fmt.Sprintf("port = %d", address.Port), []string{fmt.Sprint(address.Port), "is taken", "port"}},
		{"a port out of range", "port      = 0", "port = 70000", []string{"port", "65535"}},
		{"a working directory that does not exist", `"worker"] }`, `"worker"] }` + "\n  process = { working_directory = \"/nowhere\" }", []string{"/nowhere", "working_directory"}},
		{"GPUs", `"worker"] }`, `"worker"] }` + "\n  hardware = { gpus = 1 }", []string{"gpus"}},
		{"the password in a command", `"worker"]`, `"worker", "$(DOCKERPARALLEL_SERVER_PASSWORD)"]`, []string{"process list"}},
		{"fewer than none", "worker_count = 2", "worker_count = -1", []string{"worker_count"}},
		{"more required than wanted", "worker_count = 2", "worker_count = 2\n  min_worker_count = 3", []string{"min_worker_count"}},
		{"a framework that there is not", `"custom"`, `"hadoop"`, []string{"hadoop", "redis"}},
		{"a cluster that there is not", "dockerparallel_cluster.sim.id", `"nope@abc"` + "\n  timeouts = { update = \"2s\" }", []string{"nope"}},
	} {
		changed := strings.Replace(good, wrong.old, wrong.new, 1)
		if changed == good {
			t.Fatalf("%s: the configuration does not hold %q", wrong.name, wrong.old)
		}
		w.write(changed)
		r := w.run("apply", "-auto-approve", "-no-color", "-input=false")
		if n := strings.Count(r.out, "Error:"); r.code == 0 || n != 1 {
			t.Errorf("%s: exit code %d and %d errors:\n%s", wrong.name, r.code, n, r.out)
		}
		for _, text := range wrong.says {
			if !strings.Contains(strings.Join(strings.Fields(r.out), " "), text) {
				t.Errorf("%s: the message lacks %q:\n%s", wrong.name, text, r.out)
			}
		}
		if !slices.Equal(server, w.running("server")) || !slices.Equal(workers, w.running("worker")) {
			t.Fatalf("%s: something that ran was touched:\n%s", wrong.name, r.out)
		}
	}
	w.write(good)
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}

// A create that cannot work is one clear error, and leaves nothing.
func TestAccWrongCreateLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, wrong := range []struct {
		name string
		edit func(w *world, config string) string
		says []string
	}{
		{"a server that exits at once", func(_ *world, c string) string {
			return strings.Replace(c, `"server"] }`, `"server"], environment = { NODE_EXIT = "7" } }`, 1)
		}, []string{"exited with code 7", "node ends as it was told"}},
		{"a server that never listens", func(w *world, c string) string {
			c = strings.Replace(c, w.node+`", "server"`, w.node+`", "worker"`, 1)
			return strings.Replace(c, `framework = "custom"`, "framework = \"custom\"\n  timeouts = { create = \"2s\" }", 1)
		}, []string{"did not answer in time"}},
		{"a root that is a file", func(w *world, c string) string {
			must(w.t, os.WriteFile(w.root, nil, 0o600))
			return c
		}, []string{"root"}},
		{"a root that everybody may write to", func(w *world, c string) string {
			must(w.t, os.Mkdir(w.root, 0o700))
			must(w.t, os.Chmod(w.root, 0o777)) //nolint:gosec // that is what is tested
			return c
		}, []string{"root"}},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cluster("ci", 2)
			w.write(wrong.edit(w, w.read()))
			r := w.run("apply", "-auto-approve", "-no-color", "-input=false")
			if n := strings.Count(r.out, "Error:"); r.code == 0 || n != 1 {
				t.Errorf("exit code %d and %d errors:\n%s", r.code, n, r.out)
			}
			for _, text := range wrong.says {
				if !strings.Contains(strings.Join(strings.Fields(r.out), " "), text) {
					t.Errorf("the message lacks %q:\n%s", text, r.out)
				}
			}
			w.nothingLeft()
		})
	}
}

// Terraform drops a misspelt key inside a nested attribute before the provider
// sees it: the documentation says so, and this is why.
func TestAccMisspeltNestedKeyIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster("ci", 1)
	w.write(strings.Replace(w.read(), "port      = 0", "port = 0\n    prot = 1", 1))
	w.mustRun("validate", "-no-color")
	if docs, err := os.ReadFile(filepath.Join("..", "..", "docs", "index.md")); err != nil || !strings.Contains(string(docs), "misspelt") {
		t.Errorf("the documentation does not warn of it (%v)", err)
	}
}
