// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// fork is a script whose descendants ignore the stop signal: one in the
// group, one in a session of its own. It says their pids.
const fork = `trap "" TERM
sleep 1000 & echo $!
setsid sleep 1001 & echo $!
echo ready
`

func descendants(t *testing.T, b *Backend, h managed.Handle) []int {
	t.Helper()
	var log string
	eventually(t, "the script is ready", func() bool {
		log = logOf(t, b, h)
		return strings.Contains(log, "ready")
	})
	var pids []int
	for _, line := range strings.Fields(log) {
		if pid, err := strconv.Atoi(line); err == nil {
			pids = append(pids, pid)
		}
	}
	if len(pids) != 2 {
		t.Fatalf("log %q", log)
	}
	return pids
}

func TestKillReachesDescendants(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs the marks, and setsid")
	}
	tests := map[string]struct {
		script string
		before func(e *entry) // what happens before Kill
	}{
		"the worker waits":     {fork + "wait", nil},
		"the worker ended":     {fork + "exit 0", nil},
		"no supervisor":        {fork + "wait", func(e *entry) { _ = syscall.Kill(e.run.supervisor.pid, syscall.SIGKILL) }},
		"neither of the first": {fork + "wait", killBoth},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			req := request(1, "sh", "-c", tt.script)
			req.Spec.StopGrace = 50 * time.Millisecond
			h := mustRun(t, b, req)[0]
			pids := descendants(t, b, h)
			e, err := b.findOne(h)
			if err != nil {
				t.Fatal(err)
			}
			if tt.before != nil {
				tt.before(e)
			}
			mustKill(t, b, h)
			for _, pid := range append(pids, pidOf(t, h), e.run.supervisor.pid) {
				if alive(t, pid) {
					t.Errorf("process %d is alive", pid)
				}
			}
			if files := filesBelow(t, e.place.dir); len(files) > 0 {
				t.Errorf("left %v", files)
			}
		})
	}
}

func killBoth(e *entry) {
	_ = syscall.Kill(e.run.supervisor.pid, syscall.SIGKILL)
	_ = syscall.Kill(e.run.worker.pid, syscall.SIGKILL)
}

func TestEndOfWorkerEndsItsGroup(t *testing.T) {
	b := newBackend(t)
	h := mustRun(t, b, request(1, "sh", "-c", "sleep 1000 & echo $!"))[0]
	if o := stopped(t, b, h); o.ExitCode == nil || *o.ExitCode != 0 {
		t.Errorf("%+v", o)
	}
	pid, err := strconv.Atoi(logOf(t, b, h))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child is gone", func() bool { return !alive(t, pid) })
}

func TestStopSignalAndGrace(t *testing.T) {
	for _, signal := range []string{"", "SIGINT", "QUIT", "10", "SIGWINCH"} {
		b := newBackend(t)
		out := filepath.Join(t.TempDir(), "out")
		req := request(1, "sh", "-c", `trap "echo asked >`+out+`; exit" INT TERM QUIT USR1 WINCH; echo up; while :; do sleep 0.01; done`)
		req.Spec.StopSignal = signal
		req.Spec.StopGrace = time.Minute
		h := mustRun(t, b, req)[0]
		eventually(t, "the trap is set", func() bool { return logOf(t, b, h) == "up" })
		mustKill(t, b, h)
		if data, err := os.ReadFile(out); err != nil || string(data) != "asked\n" {
			t.Errorf("signal %q: %q %v", signal, data, err)
		}
	}
	b := newBackend(t)
	stubborn := []string{"sh", "-c", `trap "" TERM; echo up; while :; do sleep 0.01; done`}
	req := request(2, stubborn...)
	req.Spec.StopGrace = 300 * time.Millisecond
	handles := mustRun(t, b, req)
	for _, h := range handles {
		eventually(t, "the trap is set", func() bool { return logOf(t, b, h) == "up" })
	}
	begin := time.Now()
	mustKill(t, b, handles...)
	if d := time.Since(begin); d < 300*time.Millisecond || d > 10*time.Second {
		t.Errorf("killed after %v", d)
	}
	// A caller that gives up ends the grace.
	req = request(1, stubborn...)
	req.Spec.StopGrace = time.Minute
	h := mustRun(t, b, req)[0]
	eventually(t, "the trap is set", func() bool { return logOf(t, b, h) == "up" })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin = time.Now()
	if err := b.Kill(ctx, []managed.Handle{h}); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("killed after %v", d)
	}
	if observe1(t, b, h).Known || alive(t, pidOf(t, h)) {
		t.Error("it is still there")
	}
}

func TestRecycledPid(t *testing.T) {
	b := newBackend(t)
	h := mustRun(t, b, request(1, "sleep", "1000"))[0]
	e, err := b.findOne(h)
	if err != nil {
		t.Fatal(err)
	}
	// The same pids, started at another time.
	run := fmt.Sprintf("supervisor %d 5\nworker %d 5\n", e.run.supervisor.pid, e.run.worker.pid)
	if err := os.WriteFile(filepath.Join(e.dir, runFile), []byte(run), 0o600); err != nil {
		t.Fatal(err)
	}
	recycled := managed.Handle(strconv.Itoa(e.run.worker.pid) + "-5")
	if o := observe1(t, b, recycled); o.Status != managed.StatusStopped {
		t.Errorf("%+v", o)
	}
	if alive := (&victim{entry: &entry{run: runState{worker: processID{e.run.worker.pid, "5"}}}}); true {
		alive.see(map[int]procInfo{e.run.worker.pid: {pid: e.run.worker.pid, start: e.run.worker.start}})
		if alive.worker.pid != 0 || alive.ours {
			t.Error("a recycled pid is taken for ours")
		}
	}
	eventually(t, "the old handle is not known after its process", func() bool {
		_ = syscall.Kill(-e.run.supervisor.pid, syscall.SIGKILL)
		return !observe1(t, b, h).Known
	})
}

func TestInheritedDescriptorsAreClosed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	b := newBackend(t)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	// As a parent that knows nothing of close-on-exec would leave it.
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFD, 0); errno != 0 {
		t.Fatal(errno)
	}
	h := mustRun(t, b, request(1, "sleep", "1000"))[0]
	// The shell has some of its own until it becomes the program.
	eventually(t, "the program starts", func() bool { return programOf(t, h) == "sleep" })
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pidOf(t, h)))
	if err != nil || len(fds) != 3 {
		t.Errorf("%v %v", fds, err)
	}
}

func TestNoZombies(t *testing.T) {
	b := newBackend(t)
	for _, h := range mustRun(t, b, request(5, "true")) {
		e, err := b.findOne(h)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the supervisor is reaped", func() bool {
			live, err := b.table.lookup([]int{e.run.supervisor.pid})
			return err == nil && len(live) == 0
		})
	}
	eventually(t, "the reaper ends", func() bool {
		b.kids.mu.Lock()
		defer b.kids.mu.Unlock()
		return !b.kids.running
	})
}

// TestStopSignalLeavesTasksAlone: a worker's program gets the signal, and lets
// the process that does its task finish, which knows nothing of signals.
func TestStopSignalLeavesTasksAlone(t *testing.T) {
	b := newBackend(t)
	done := filepath.Join(t.TempDir(), "done")
	h := mustRun(t, b, request(1, "sh", "-c", `trap "asked=1" TERM
(sleep 0.5; echo finished >`+done+`) &
task=$!
echo up
while kill -0 $task 2>/dev/null; do wait $task; done
[ "$asked" = 1 ]`))[0]
	eventually(t, "the task is under way", func() bool { return logOf(t, b, h) == "up" })
	mustKill(t, b, h)
	if data, err := os.ReadFile(done); err != nil || string(data) != "finished\n" {
		t.Errorf("the task wrote %q, %v", data, err)
	}
}
