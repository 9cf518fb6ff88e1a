// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"syscall"
	"testing"
	"time"
)

// dockerMoments is how often each combination of operation and victim is cut
// off on Docker: six combinations.
const dockerMoments = 2

// TestAccDockerKill is TestAccKill on Docker: whatever is killed, and
// whenever, the next apply ends in exactly the wanted cluster, and the destroy
// after it leaves no container, no network and no volume.
func TestAccDockerKill(t *testing.T) {
	cutOffEach(t, func(t *testing.T, op operation) {
		w := newDockerWorld(t)
		for i := range dockerMoments {
			wanted := op.cutOffIn(t, w, i, 2*time.Second)
			if op.before < 0 && i%2 == 1 {
				if s := w.self("sweep", "--namespace", w.namespace, "--owner", "ci", "--yes"); s.code != 0 {
					t.Fatalf("sweep ended with %d: %s", s.code, s.out)
				}
				w.nothingLeft()
				continue
			}
			w.apply()
			if n := len(w.ids("worker")); n != wanted {
				// The engine goes on with the calls that it was given, and may have
				// ended a worker after the apply has seen it.
				t.Logf("%d workers after the first apply", n)
				w.apply()
			}
			w.expect(wanted)
			w.emptyPlan()
			w.destroy()
			w.nothingLeft()
		}
	})
}

// Ctrl-C in mid-apply: it ends soon, and the next apply goes on.
func TestAccDockerInterrupt(t *testing.T) {
	t.Parallel()
	w := newDockerWorld(t)
	for _, at := range []time.Duration{300 * time.Millisecond, 1200 * time.Millisecond} {
		w.cluster("ci", 12)
		c := w.command(t.Context(), "apply", "-auto-approve", "-no-color", "-input=false")
		must(t, c.Start())
		time.Sleep(at)
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGINT) // the whole group, as a terminal does
		begun := time.Now()
		_ = c.Wait()
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("it took %v to end", took)
		}
		w.apply()
		w.expect(12)
		w.emptyPlan()
		w.destroy()
		w.nothingLeft()
	}
}
