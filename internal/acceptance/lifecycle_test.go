// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

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
)

// kill ends a container as a person or the kernel does, past the provider.
func (w *world) kill(pids ...int) {
	w.t.Helper()
	for _, pid := range pids {
		must(w.t, syscall.Kill(pid, syscall.SIGKILL))
	}
}

// plan gives the text of a plan that is not empty.
func (w *world) plan() string {
	w.t.Helper()
	r := w.run("plan", "-detailed-exitcode", "-no-color", "-input=false")
	if r.code != 2 {
		w.t.Fatalf("plan ended with %d instead of 2:\n%s", r.code, r.out)
	}
	return r.out
}

func (w *world) wants(text string, parts ...string) {
	w.t.Helper()
	for _, part := range parts {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), part) {
			w.t.Fatalf("%q is not in:\n%s", part, text)
		}
	}
}

// without gives the elements of a that are not in b.
func without(a, b []int) []int {
	return slices.DeleteFunc(slices.Clone(a), func(x int) bool { return slices.Contains(b, x) })
}

func TestAccDeadWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster("", 4)
	w.apply()
	w.expect(4)
	w.emptyPlan()
	before := w.running("worker")
	w.kill(before[1])
	w.wants(w.plan(), "worker_count = 3 -> 4", "0 to add, 1 to change, 0 to destroy")
	w.apply()
	w.expect(4)
	after := w.running("worker")
	if lost, added := without(before, after), without(after, before); !slices.Equal(lost, before[1:2]) || len(added) != 1 {
		t.Fatalf("killed %d: lost %v, started %v", before[1], lost, added)
	}
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}

func TestAccDeadServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster("", 3)
	w.apply()
	server, workers := w.running("server"), w.running("worker")
	w.kill(server...)
	w.wants(w.plan(), `status = "stopped" -> "running"`, "2 to change, 0 to destroy")
	w.apply()
	w.expect(3)
	if again := w.running("worker"); len(without(again, workers)) != 3 {
		t.Fatalf("workers of the dead server are still there: %v of %v", again, workers)
	}
	w.emptyPlan()
	// All at once.
	w.kill(append(w.running("server"), w.running("worker")...)...)
	w.apply()
	w.expect(3)
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}

func TestAccScale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster("", 4)
	w.apply()
	four := w.running("worker")
	w.cluster("", 8)
	w.wants(w.plan(), "worker_count = 4 -> 8", "0 to add, 1 to change, 0 to destroy")
	w.apply()
	w.expect(8)
	if lost := without(four, w.running("worker")); len(lost) > 0 {
		t.Fatalf("scaling out stopped %v", lost)
	}
	w.cluster("", 2)
	w.apply()
	w.expect(2)
	if strangers := without(w.running("worker"), four); len(strangers) > 0 {
		t.Fatalf("the newest should have left, but %v are there", strangers)
	}
	w.emptyPlan()
	w.cluster("", 0)
	w.apply()
	w.expect(0)
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}

func TestAccPacking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	packed := func(n int) {
		w.cluster("", n)
		config := w.read()
		w.write(strings.Replace(config, `"worker"] }`, `"worker"], max_workers = 4 }`, 1))
	}
	packed(10)
	w.apply()
	w.expect(3) // containers of 4, 4 and 2
	before := w.running("worker")
	w.emptyPlan()
	packed(9)
	w.apply()
	w.expect(3) // 4, 4 and 1
	if lost := without(before, w.running("worker")); len(lost) != 1 {
		t.Fatalf("one container had to give way to a smaller one, but %v did", lost)
	}
	w.wants(w.mustRun("state", "show", "-no-color", "dockerparallel_worker_pool.workers"), "running_workers = 9", "containers = 3")
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}

func (w *world) read() string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "main.tf"))
	must(w.t, err)
	return string(b)
}

// A change of the workers' environment replaces them in place, step by step.
func TestAccRollingUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster("", 4)
	w.apply()
	server, before := w.running("server"), w.running("worker")
	w.write(strings.Replace(w.read(), `"worker"] }`, `"worker"], environment = { LEVEL = "2" } }`, 1))
	w.wants(w.plan(), "0 to add, 1 to change, 0 to destroy")
	w.apply()
	w.expect(4)
	if same := without(before, without(before, w.running("worker"))); len(same) > 0 {
		t.Fatalf("%v were not replaced", same)
	}
	if !slices.Equal(server, w.running("server")) {
		t.Fatal("the server was restarted")
	}
	w.emptyPlan()

	// Workers that cannot live leave those that do alone.
	good := w.running("worker")
	w.write(strings.Replace(w.read(), `LEVEL = "2"`, `NODE_EXIT = "3"`, 1))
	r := w.run("apply", "-auto-approve", "-no-color")
	if r.code == 0 {
		t.Fatalf("workers that exit at once were accepted:\n%s", r.out)
	}
	w.wants(r.out, "exited with code 3", "node ends as it was told")
	if left := w.running("worker"); len(left) < 3 || len(without(left, good)) > 0 {
		t.Fatalf("of the good workers %v only %v are left", good, left)
	}
	w.write(strings.Replace(w.read(), `NODE_EXIT = "3"`, `LEVEL = "3"`, 1))
	w.apply()
	w.expect(4)
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}

func TestAccAdoptAndRefuse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster("", 3)
	w.apply()
	server, workers := w.running("server"), w.running("worker")
	forget := func() {
		w.mustRun("state", "rm", "dockerparallel_worker_pool.workers", "dockerparallel_cluster.sim")
	}
	same := func() {
		t.Helper()
		if !slices.Equal(server, w.running("server")) || !slices.Equal(workers, w.running("worker")) {
			t.Fatal("something was restarted")
		}
	}
	forget()
	r := w.run("apply", "-auto-approve", "-no-color")
	if r.code == 0 {
		t.Fatalf("a cluster of nobody was taken over:\n%s", r.out)
	}
	w.wants(r.out, "terraform import dockerparallel_cluster", fmt.Sprint(server[0]))
	same()

	w.write(strings.ReplaceAll(w.read(), `name      = "sim"`, "name      = \"sim\"\n  on_existing = \"adopt\""))
	w.write(strings.ReplaceAll(w.read(), `name         = "default"`, "name         = \"default\"\n  on_existing = \"adopt\""))
	w.apply()
	same()
	w.emptyPlan()

	forget()
	w.cluster("", 3)
	w.mustRun("import", "-no-color", "dockerparallel_cluster.sim", "sim")
	w.mustRun("import", "-no-color", "dockerparallel_worker_pool.workers", "sim/default")
	w.emptyPlan()
	same()
	w.destroy()
	w.nothingLeft()
}

// With the same owner, an interrupted create is finished, and another owner
// is refused.
func TestAccOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster("me", 2)
	w.apply()
	workers := w.running("worker")
	w.mustRun("state", "rm", "dockerparallel_worker_pool.workers", "dockerparallel_cluster.sim")
	w.cluster("you", 2)
	if r := w.run("apply", "-auto-approve", "-no-color"); r.code == 0 {
		t.Fatalf("the cluster of another owner was taken over:\n%s", r.out)
	}
	w.cluster("me", 2)
	w.apply()
	if !slices.Equal(workers, w.running("worker")) {
		t.Fatal("our own workers were restarted")
	}
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}

// What dies between plan and apply: a worker is a warning, the server an error
// of that apply, at once; the next apply puts both right.
func TestAccDeathBetweenPlanAndApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster("ci", 3)
	w.apply()
	w.cluster("ci", 4)
	w.mustRun("plan", "-out=saved", "-no-color", "-input=false")
	w.kill(w.running("worker")[0])
	w.wants(w.mustRun("apply", "-no-color", "-input=false", "saved"), "Workers Stopped Between Plan and Apply")
	w.wants(w.plan(), "worker_count = 3 -> 4")
	w.apply()
	w.expect(4)
	w.emptyPlan()

	w.cluster("ci", 5)
	w.mustRun("plan", "-out=saved", "-no-color", "-input=false")
	w.kill(w.running("server")...)
	begun := time.Now()
	r := w.run("apply", "-no-color", "-input=false", "saved")
	if took := time.Since(begun); r.code == 0 || took > 30*time.Second {
		t.Fatalf("exit code %d after %v:\n%s", r.code, took, r.out)
	}
	w.wants(r.out, "does not run", "killed by SIGKILL")
	w.apply()
	w.expect(5)
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}
