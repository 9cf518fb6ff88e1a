// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package frameworks

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// rqJobs is a user's code: what workers import.
const rqJobs = `
import os
import time


def square(n):
    return n * n


def hold(path):
    for _ in range(1000):
        if os.path.exists(path):
            return "released"
        time.sleep(0.02)
    raise TimeoutError(path)
`

// rqCluster is a server and a folder with the code.
type rqCluster struct {
	*redisProcess
	code string
}

func newRQCluster(t *testing.T) *rqCluster {
	t.Helper()
	testenv.Need(t, testenv.Redis, testenv.RQ)
	c := &rqCluster{redisProcess: startRedis(t, []string{"sh"}, nastyPassword), code: t.TempDir()}
	c.facts.Host, c.facts.Pool = "127.0.0.1", "big"
	if err := os.WriteFile(filepath.Join(c.code, "jobs.py"), []byte(rqJobs), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// start starts a container of a pool as the framework says, with the variables
// that core and backend add.
func (c *rqCluster) start(t *testing.T, options Values, pool, name string, workers int) *crew {
	t.Helper()
	f := c.facts
	f.Pool, f.Workers = pool, workers
	fw := rq{configured: configured{options}}
	env := append(variablesOf(fw, managed.RoleWorker, f),
		"PATH="+os.Getenv("PATH"), "PYTHONPATH="+c.code,
		managed.EnvQueue+"="+f.Cluster, managed.EnvWorkers+"="+strconv.Itoa(workers), managed.EnvContainer+"="+name)
	w := startContainer(t, fw.Defaults(managed.RoleWorker).Command, env...)
	t.Cleanup(func() {
		for _, form := range passwordForms(nastyPassword) {
			if strings.Contains(w.output.String(), form) {
				t.Errorf("a worker has printed the password:\n%s", w.output)
			}
		}
	})
	return w
}

// workers that are registered, by container, and how many of those are busy.
func (c *rqCluster) workers(t *testing.T, pool string) (all, busy map[string]int) {
	t.Helper()
	f := c.facts
	f.Pool = pool
	list, err := rq{}.RegisteredWorkers(t.Context(), c.dial, f)
	if err != nil {
		t.Fatal(err)
	}
	all, busy = map[string]int{}, map[string]int{}
	for _, w := range list {
		all[w.Container]++
		if w.Busy {
			busy[w.Container]++
		}
	}
	return all, busy
}

func (c *rqCluster) awaitWorkers(t *testing.T, pool string, want map[string]int) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprint("workers ", want), func() bool {
		all, _ := c.workers(t, pool)
		return maps.Equal(all, want)
	})
}

// python runs the code that Client gives, unchanged, and then more.
func (c *rqCluster) python(t *testing.T, more string) string {
	t.Helper()
	code := rq{}.Client(managed.ClientFacts{Cluster: c.facts.Cluster, Host: "127.0.0.1", Port: c.facts.Port}).Python
	cmd := exec.CommandContext(t.Context(), testenv.SystemPython, "-c", code+more+"\ndockerparallel_deregister()\n")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), managed.PasswordVariable + "=" + nastyPassword}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the client's code: %v\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// awaitJobs prints what jobs has come to, at most after ten seconds.
const awaitJobs = `
import time
for _ in range(200):
    if all(job.get_status() in ("finished", "failed") for job in jobs): break
    time.sleep(0.05)
print([job.return_value() for job in jobs])
`

// hold puts a job into the queue that lasts until the file exists, and gives
// its id.
func (c *rqCluster) hold(t *testing.T, file string) string {
	t.Helper()
	return c.python(t, fmt.Sprintf("print(queue.enqueue('jobs.hold', %q).id)", file))
}

func (c *rqCluster) wantResult(t *testing.T, id, want string) {
	t.Helper()
	got := c.python(t, fmt.Sprintf("jobs = [queue.fetch_job(%q)]%s", id, awaitJobs))
	if got != want {
		t.Errorf("job %s came to %s, want %s", id, got, want)
	}
}

func TestRQWorkers(t *testing.T) {
	t.Parallel()
	c := newRQCluster(t)
	single := c.start(t, nil, "big", "single", 1)
	packed := c.start(t, nil, "big", "packed", 3)
	other := c.start(t, nil, "bigger", "other", 1)
	c.awaitWorkers(t, "big", map[string]int{"single": 1, "packed": 3})
	c.awaitWorkers(t, "bigger", map[string]int{"other": 1})
	if _, busy := c.workers(t, "big"); len(busy) != 0 {
		t.Errorf("without a job, %v are busy", busy)
	}
	for _, w := range []*crew{single, packed} {
		for _, pid := range w.session(t) {
			arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			for _, form := range passwordForms(nastyPassword) {
				if strings.Contains(string(arguments), form) {
					t.Errorf("process %d shows the password: %q", pid, arguments)
				}
			}
		}
	}

	// Work is done.
	if got, want := c.python(t, "jobs = [queue.enqueue('jobs.square', n) for n in range(8)]"+awaitJobs), "[0, 1, 4, 9, 16, 25, 36, 49]"; got != want {
		t.Errorf("the jobs came to %s, want %s", got, want)
	}
	// An idle worker leaves at once, and is forgotten.
	other.signal(t, syscall.SIGTERM)
	if code := other.wait(t, time.Minute); code != 0 {
		t.Errorf("an idle worker ended with %d:\n%s", code, other.output)
	}
	c.awaitWorkers(t, "bigger", map[string]int{})

	// A job for each: all are busy. (One after the other, or a worker that has
	// not yet noted that it has one would be asked too early.)
	release := filepath.Join(t.TempDir(), "release")
	var ids []string
	for range 4 {
		ids = append(ids, c.hold(t, release))
	}
	testenv.Eventually(t, "four busy workers", func() bool {
		_, busy := c.workers(t, "big")
		return maps.Equal(busy, map[string]int{"single": 1, "packed": 3})
	})

	// Asked to stop, they finish.
	single.signal(t, syscall.SIGTERM)
	packed.signal(t, syscall.SIGTERM)
	single.await(t, "Warm shut down requested", 1)
	packed.await(t, "Warm shut down requested", 3)
	for _, w := range []*crew{single, packed} {
		select {
		case <-w.exited:
			t.Errorf("a busy worker did not wait for its job:\n%s", w.output)
		default:
		}
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, w := range map[string]*crew{"single": single, "packed": packed} {
		if code := w.wait(t, time.Minute); code != 0 {
			t.Errorf("%s ended with %d:\n%s", what, code, w.output)
		}
	}
	for _, id := range ids {
		c.wantResult(t, id, "['released']")
	}
	c.awaitWorkers(t, "big", map[string]int{})
}

// TestRQBusyWorkerIsTold: with one job, one of two containers is busy.
func TestRQBusyWorkerIsTold(t *testing.T) {
	t.Parallel()
	c := newRQCluster(t)
	c.start(t, nil, "big", "one", 1)
	c.start(t, nil, "big", "two", 1)
	c.awaitWorkers(t, "big", map[string]int{"one": 1, "two": 1})
	release := filepath.Join(t.TempDir(), "release")
	id := c.hold(t, release)
	testenv.Eventually(t, "a busy worker", func() bool {
		_, busy := c.workers(t, "big")
		return len(busy) == 1
	})
	if all, busy := c.workers(t, "big"); len(all) != 2 || len(busy) != 1 {
		t.Errorf("of %v, %v are busy, want one", all, busy)
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.wantResult(t, id, "['released']")
	testenv.Eventually(t, "no busy worker", func() bool {
		_, busy := c.workers(t, "big")
		return len(busy) == 0
	})
}

// TestRQKilledWorker: a container does not go on with fewer workers than it
// should have.
func TestRQKilledWorker(t *testing.T) {
	t.Parallel()
	c := newRQCluster(t)
	for workers := range 3 {
		t.Run(strconv.Itoa(workers+1), func(t *testing.T) {
			t.Parallel()
			pool := "pool" + strconv.Itoa(workers)
			w := c.start(t, nil, pool, "box", workers+1)
			c.awaitWorkers(t, pool, map[string]int{"box": workers + 1})
			pids := w.rqPIDs(t)
			if len(pids) != workers+1 {
				t.Fatalf("%d rq processes, want %d", len(pids), workers+1)
			}
			if err := syscall.Kill(slices.Max(pids), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			code := w.wait(t, time.Minute)
			if workers > 0 && code != 128+int(syscall.SIGKILL) {
				t.Errorf("exit code %d:\n%s", code, w.output)
			} else if workers == 0 && code != -1 { // by the signal itself
				t.Errorf("exit code %d:\n%s", code, w.output)
			}
			// The others said goodbye; RQ itself forgets the killed one later.
			c.awaitWorkers(t, pool, map[string]int{"box": 1})
		})
	}
}

// rqPIDs are the worker processes of a container.
func (c *crew) rqPIDs(t *testing.T) (pids []int) {
	t.Helper()
	for _, pid := range c.session(t) {
		arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(arguments), "rq\x00worker\x00") && !strings.HasPrefix(string(arguments), "sh\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestRQServerRestart: workers that reconnect to a server that has forgotten
// them still count.
func TestRQServerRestart(t *testing.T) {
	t.Parallel()
	c := newRQCluster(t)
	w := c.start(t, nil, "big", "box", 2)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.output)
		}
	})
	// A worker that is still starting would end with its server.
	db := c.client(t, "")
	for _, worker := range []string{":box:1", ":box:2"} {
		testenv.Eventually(t, "an idle worker", func() bool {
			return db.HGet(t.Context(), rqWorkerKey+redisPoolName(c.facts)+worker, "state").Val() == "idle"
		})
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-c.exited; err == nil {
		t.Error("a server that was killed ended with 0")
	}
	again := tryRedis(t, []string{"sh"}, nastyPassword, c.facts.Port)
	if again == nil {
		t.Skip("skipped: somebody else has taken the server's port")
	}
	again.facts = c.facts
	c.redisProcess = again
	c.awaitWorkers(t, "big", map[string]int{"box": 2})
	if got := c.python(t, "jobs = [queue.enqueue('jobs.square', 6)]"+awaitJobs); got != "[36]" {
		t.Errorf("a job after the restart came to %s", got)
	}
}

// TestRQOptions: workers of several queues that end when these are empty, and
// jobs whose time comes later.
func TestRQOptions(t *testing.T) {
	t.Parallel()
	c := newRQCluster(t)
	const enqueue = "urgent = rq.Queue('urgent', connection=connection)\njobs = [queue.enqueue('jobs.square', 2), urgent.enqueue('jobs.square', 3), queue.enqueue('jobs.square', 4)]\n"
	for _, workers := range []int{1, 2} {
		c.python(t, enqueue)
		burst := c.start(t, Values{rqBurst: true, rqQueues: []string{"urgent", "sim"}}, "big", "burst"+strconv.Itoa(workers), workers)
		if code := burst.wait(t, time.Minute); code != 0 {
			t.Errorf("%d workers in burst mode ended with %d:\n%s", workers, code, burst.output)
		}
		// The output has colours: "\x1b[32murgent\x1b[39;49;00m: \x1b[34mjobs.square(3)".
		if got := burst.output.String(); strings.Count(got, "Job OK") != 3 {
			t.Errorf("not all jobs were done:\n%s", got)
		} else if workers == 1 && strings.Index(got, "jobs.square(3)") > strings.Index(got, "jobs.square(2)") {
			t.Errorf("the urgent queue did not come first:\n%s", got)
		}
	}
	scheduler := c.start(t, Values{rqScheduler: true}, "big", "scheduler", 1)
	c.awaitWorkers(t, "big", map[string]int{"scheduler": 1})
	if got := c.python(t, "from datetime import timedelta\njobs = [queue.enqueue_in(timedelta(seconds=1), 'jobs.square', 5)]"+awaitJobs); got != "[25]" {
		t.Errorf("a scheduled job came to %s", got)
	}
	scheduler.signal(t, syscall.SIGTERM)
	if code := scheduler.wait(t, time.Minute); code != 0 {
		t.Errorf("a worker with a scheduler ended with %d:\n%s", code, scheduler.output)
	}
}

// TestRQShellClient pastes the client code into shells, unchanged.
func TestRQShellClient(t *testing.T) {
	t.Parallel()
	testenv.Need(t, testenv.Redis, testenv.RQ)
	for _, password := range []string{nastyPassword, " blank at both ends ", "%41%n\\n\\", "line\nbreak\n!", "-n", strings.Repeat("long$", 100)} {
		s := startRedis(t, []string{"sh"}, password)
		code := rq{}.Client(managed.ClientFacts{Cluster: "sim", Host: "127.0.0.1", Port: s.facts.Port}).Shell +
			"dockerparallel_deregister\necho \"left:$RQ_REDIS_URL$DOCKERPARALLEL_QUEUE\"\n"
		for name, shell := range shells(t) {
			cmd := exec.Command(shell[0], append(shell[1:], "-c", code)...)
			// Whatever else rq would read loses against what the code sets.
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), managed.PasswordVariable + "=" + password, "REDIS_URL=redis://nowhere:1/0"}
			out, err := cmd.CombinedOutput()
			if got := string(out); err != nil || !strings.Contains(got, "0 workers, 1 queues") || !strings.HasSuffix(got, "left:\n") {
				t.Errorf("%s, password %q: %v\n%s", name, password, err, got)
			}
			cmd = exec.Command(shell[0], append(shell[1:], "-c", code)...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), managed.PasswordVariable) {
				t.Errorf("%s without a password: %q, %v", name, out, err)
			}
		}
		s.stop(t)
	}
}
