// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package frameworks

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// runs counts how often each task has run: they write their names into a file.
func runs(t *testing.T, file string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	n := map[string]int{}
	for line := range strings.Lines(string(text)) {
		n[strings.TrimSpace(line)]++
	}
	return n
}

// release ends the tasks that wait for it.
func release(t *testing.T, notes string) {
	t.Helper()
	if err := os.WriteFile(notes+".released", nil, 0o600); err != nil {
		t.Error(err)
	}
}

// daskTasks is Python for tasks that leave a note when they begin. One of a
// negative time lasts until it is released.
func daskTasks(file string) string {
	encoded, _ := json.Marshal(file) // a string of Python, too
	return `
import os, sys, time

def task(name, seconds=0, *needs):
    with open(` + string(encoded) + `, "a") as f:
        f.write(name + "\n")
    time.sleep(max(0, seconds))
    while seconds < 0 and not os.path.exists(` + string(encoded) + ` + ".released"):
        time.sleep(0.05)
    return name + "!"

def on(container):
    return dict(workers=["dockerparallel:ns:sim:big:" + container], allow_other_workers=True, pure=False)

def say(*what):
    print(*what, flush=True)

def heard():
    return sys.stdin.readline().strip()
`
}

// TestDaskDrain: a worker that runs a task, has more waiting and holds results
// leaves. Nothing is lost, and nothing runs twice.
func TestDaskDrain(t *testing.T) {
	t.Parallel()
	// The one that stays takes nothing from the other by itself.
	c := startDask(t, []string{"sh"}, "127.0.0.1", nil, "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING=False", "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION=inf")
	notes := t.TempDir() + "/notes"
	leaving := c.workers(t, []string{"sh"}, nil, "big", "a", 1)
	c.await(t, "big", "a")
	p := c.python(t, daskTasks(notes)+`
[scattered] = client.scatter(["only on a"])
held = [client.submit(task, "held%d" % i, pure=False) for i in range(3)]
distributed.wait(held)
long = client.submit(task, "long", -1, pure=False)
time.sleep(0.3) # it has to begin before the others
# These wait behind it: some for their turn, one for its result.
queued = [client.submit(task, "queued%d" % i, 0.1, scattered, pure=False) for i in range(4)]
bound = client.submit(task, "bound", **on("a")) # dask sends it there even if the worker is paused
after = client.submit(task, "after", 0, long, pure=False)
say("ready")
heard()
late = [client.submit(task, "late%d" % i, 0.1, pure=False) for i in range(8)]
say(client.gather(late))
heard()
say(client.gather([scattered] + held + [long] + queued + [bound, after]))
heard() # it wants the results as long as it lives
`)
	p.want("ready")
	staying := c.workers(t, []string{"sh"}, nil, "big", "b", 1)
	c.await(t, "big", "a busy,b")

	begun := time.Now()
	drained := make(chan error, 1)
	go func() { drained <- dask{}.Drain(t.Context(), c.dial, c.facts, []string{"a", "gone"}) }()
	// While it is drained, others work: new tasks, and those that waited.
	testenv.Eventually(t, "a paused worker", func() bool { return c.identity(t)["dockerparallel:ns:sim:big:a"]["status"] == "closing_gracefully" })
	p.tell("late")
	p.want("['late0!', 'late1!', 'late2!', 'late3!', 'late4!', 'late5!', 'late6!', 'late7!']")
	testenv.Eventually(t, "what waited to run elsewhere", func() bool { n := runs(t, notes); return n["queued0"]+n["queued1"]+n["queued2"]+n["queued3"] == 4 })
	select {
	case err := <-drained:
		t.Fatalf("it was drained after %s, with its task running: %v", time.Since(begun), err)
	default:
	}
	release(t, notes)
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if got := c.registered(t, "big"); !strings.HasPrefix(got, "b") {
		t.Errorf("registered: %s", got)
	}
	// The signal that follows may find it on its way out, or gone.
	_ = leaving.cmd.Process.Signal(syscall.SIGTERM)
	if code := leaving.wait(t, time.Minute); code != 0 {
		t.Errorf("exit code %d:\n%s", code, leaving.output)
	}
	p.tell("gather")
	p.want("['only on a', 'held0!', 'held1!', 'held2!', 'long!', 'queued0!', 'queued1!', 'queued2!', 'queued3!', 'bound!', 'after!']")
	for name, n := range runs(t, notes) {
		if n != 1 {
			t.Errorf("%s has run %d times", name, n)
		}
	}
	if got := len(runs(t, notes)); got != 3+1+4+1+1+8 {
		t.Errorf("%d tasks have run: %v", got, runs(t, notes))
	}

	// Nobody is left to take the results of the last one.
	err := dask{}.Drain(t.Context(), c.dial, c.facts, []string{"b"})
	if managed.ClassOf(err) != managed.ClassTransient || !strings.Contains(err.Error(), "no other worker can take") {
		t.Errorf("draining the last worker: %v", err)
	}
	staying.signal(t, syscall.SIGTERM)
	if code := staying.wait(t, time.Minute); code != 0 {
		t.Errorf("exit code %d:\n%s", code, staying.output)
	}
}

// TestDaskDrainOfAll: there is nobody to hand anything to, but what runs is
// finished, whoever waits for it gets it, and nothing new begins. A packed
// container leaves as a whole, and by itself.
func TestDaskDrainOfAll(t *testing.T) {
	t.Parallel()
	c := startDask(t, []string{"sh"}, "127.0.0.1", nil)
	notes := t.TempDir() + "/notes"
	all := c.workers(t, []string{"sh"}, nil, "big", "a", 3)
	c.await(t, "big", "a,a,a")
	p := c.python(t, daskTasks(notes)+`
futures = {f.key: f for f in client.map(task, ["t%d" % i for i in range(12)], [-1] * 12)}
say("ready")
for i in range(3):
    future = next(distributed.as_completed(list(futures.values())))
    say("result" if future.result().endswith("!") else "none")
    del futures[future.key], future # or the worker would have to hold it
heard()
`)
	p.want("ready")
	c.await(t, "big", "a busy,a busy,a busy")
	drained := make(chan error, 1)
	go func() { drained <- dask{}.Drain(t.Context(), c.dial, c.facts, []string{"a"}) }()
	testenv.Eventually(t, "three paused workers", func() bool {
		n := 0
		for _, w := range c.identity(t) {
			if w["status"] == "closing_gracefully" {
				n++
			}
		}
		return n == 3
	})
	release(t, notes)
	if err := <-drained; err != nil && !strings.Contains(err.Error(), "no other worker can take") {
		t.Error(err)
	}
	for range 3 {
		p.want("result")
	}
	if n := runs(t, notes); len(n) != 3 || n["t0"]+n["t1"]+n["t2"] != 3 {
		t.Errorf("the runs are %v", n)
	}
	all.signal(t, syscall.SIGTERM) // to those whose results came too late to be let go
	if code := all.wait(t, time.Minute); code != 0 {
		t.Errorf("exit code %d:\n%s", code, all.output)
	}
}

// TestDaskDrainOfIdleWorkers is quick, and they leave by themselves.
func TestDaskDrainOfIdleWorkers(t *testing.T) {
	t.Parallel()
	c := startDask(t, []string{"sh"}, "127.0.0.1", nil)
	packed := c.workers(t, []string{"sh"}, nil, "big", "a-1", 2)
	c.workers(t, []string{"sh"}, nil, "big", "a", 1)
	c.workers(t, []string{"sh"}, nil, "small", "a-1", 1)
	c.await(t, "big", "a,a-1,a-1")
	c.await(t, "small", "a-1")
	begun := time.Now()
	if err := (dask{}).Drain(t.Context(), c.dial, c.facts, []string{"a-1", "b"}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if code := packed.wait(t, time.Minute); code != 0 {
		t.Errorf("exit code %d:\n%s", code, packed.output)
	}
	c.await(t, "big", "a")
	c.await(t, "small", "a-1")
}

// TestDaskDrainOfAForeignScheduler: one that somebody else has started, with
// dask's own API and without.
func TestDaskDrainOfAForeignScheduler(t *testing.T) {
	testenv.Need(t, testenv.Dask)
	for what, routes := range map[string]string{"api": daskAllRoutes, "no api": `["distributed.http.scheduler.json", "distributed.http.health"]`} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := &daskCluster{facts: managed.Facts{
				Namespace: "ns", Cluster: "sim", Pool: "big", Host: "127.0.0.1", Port: freePort(t),
				Ports: map[string]int{daskDashboard: freePort(t)}, Hardware: managed.Hardware{CPU: 1024, Memory: 512},
			}}
			startContainer(t, []string{
				"dask", "scheduler", "--host", "127.0.0.1", "--port", strconv.Itoa(c.facts.Port),
				"--dashboard-address", "127.0.0.1:" + strconv.Itoa(c.facts.Ports[daskDashboard]),
			}, "PATH="+os.Getenv("PATH"), daskRoutes+"="+routes)
			testenv.Eventually(t, "a scheduler", func() bool { return dask{}.ProbeServer(t.Context(), c.dial, c.facts) == nil })
			notes := t.TempDir() + "/notes"
			leaving := c.workers(t, []string{"sh"}, nil, "big", "a", 1)
			c.workers(t, []string{"sh"}, nil, "big", "b", 1)
			c.await(t, "big", "a,b")
			p := c.python(t, daskTasks(notes)+`
held = client.submit(task, "held", **on("a"))
distributed.wait(held)
long = client.submit(task, "long", -1, **on("a"))
say("ready")
heard()
say(client.gather([held, long]))
`)
			p.want("ready")
			c.await(t, "big", "a busy,b")
			time.AfterFunc(time.Second, func() { release(t, notes) })
			err := dask{}.Drain(t.Context(), c.dial, c.facts, []string{"a"})
			leaving.signal(t, syscall.SIGTERM)
			if code := leaving.wait(t, time.Minute); code != 0 {
				t.Errorf("exit code %d:\n%s", code, leaving.output)
			}
			p.tell("gather")
			p.want("['held!', 'long!']")
			once := runs(t, notes)["held"] == 1 && runs(t, notes)["long"] == 1
			if what == "api" && (err != nil || !once) {
				t.Errorf("%v, runs %v", err, runs(t, notes))
			}
			if what == "no api" && (err == nil || !strings.Contains(err.Error(), "distributed.http.scheduler.api")) {
				t.Error(err)
			}
		})
	}
}

// TestDaskDrainTakesTooLong: it ends with its context, whatever runs.
func TestDaskDrainTakesTooLong(t *testing.T) {
	t.Parallel()
	c := startDask(t, []string{"sh"}, "127.0.0.1", nil)
	notes := t.TempDir() + "/notes"
	w := c.workers(t, []string{"sh"}, nil, "big", "a", 1)
	c.await(t, "big", "a")
	p := c.python(t, daskTasks(notes)+"\nlong = client.submit(task, 'long', 30)\nsay('ready')\nheard()\n")
	p.want("ready")
	c.await(t, "big", "a busy")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	if err := (dask{}).Drain(ctx, c.dial, c.facts, []string{"a"}); managed.ClassOf(err) != managed.ClassDeadline || time.Since(begun) > 15*time.Second {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
	w.signal(t, syscall.SIGTERM)
	if code := w.wait(t, time.Minute); code != 0 {
		t.Errorf("exit code %d:\n%s", code, w.output)
	}
	p.tell("end")
}
