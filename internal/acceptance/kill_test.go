// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// moments is how often each combination of operation and victim is cut off:
// six combinations, so 54 moments in all.
const moments = 9

// Whatever is killed, and whenever: the next apply ends in exactly the wanted
// cluster, and the destroy after it leaves no process and no file. After a
// create that was cut off, sweep alone does, too.
func TestAccKill(t *testing.T) {
	cutOffEach(t, func(t *testing.T, op operation) {
		for i := range moments {
			w := newWorld(t)
			wanted := op.cutOffIn(t, w, i, 1200*time.Millisecond)
			if op.before < 0 && i%3 == 2 {
				if s := w.self("sweep", "--owner", "ci", "--yes"); s.code != 0 {
					t.Fatalf("sweep ended with %d: %s", s.code, s.out)
				}
				// A file that was being written has no owner yet, and counts as
				// left behind only after a while.
				testenv.Eventually(t, "a sweep of all to find the rest", func() bool {
					if len(w.files()) > 0 {
						w.self("sweep", "--all", "--yes")
					}
					return len(w.files()) == 0
				})
				w.nothingLeft()
				continue
			}
			w.apply()
			w.expect(wanted)
			w.emptyPlan()
			w.destroy()
			w.nothingLeft()
		}
	})
}

// operation is what a kill cuts off, on any backend.
type operation struct {
	name   string
	before int        // workers that are there; -1: no cluster
	after  int        // workers wanted; -1: destroy
	victim string     // what is killed: the provider or terraform
	random *rand.Rand // gives the same moments in every run
}

// cutOffEach runs a test, in parallel, for each combination of operation and victim.
func cutOffEach(t *testing.T, test func(t *testing.T, op operation)) {
	for _, op := range []operation{
		{name: "create", before: -1, after: 4},
		{name: "scale", before: 2, after: 6},
		{name: "destroy", before: 3, after: -1},
	} {
		for _, victim := range []string{"provider", "terraform"} {
			cut := op // each has its own: they run at once
			cut.victim, cut.random = victim, rand.New(rand.NewPCG(uint64(len(op.name)), uint64(len(victim))))
			t.Run(op.name+"/"+victim, func(t *testing.T) {
				t.Parallel()
				test(t, cut)
			})
		}
	}
}

// command gives the CLI's arguments, and the workers that the configuration
// names: when a destroy was cut off, the apply after it brings them back.
func (op operation) command() (args []string, wanted int) {
	args = []string{"apply", "-auto-approve", "-no-color", "-input=false"}
	if op.after < 0 {
		args[0] = "destroy"
		return args, op.before
	}
	return args, op.after
}

// cutOffIn makes what the operation begins with, starts it, and cuts it off. It
// gives the workers that the next apply is to end with.
func (op operation) cutOffIn(t *testing.T, w cuttable, moment int, within time.Duration) (wanted int) {
	t.Helper()
	if op.before >= 0 {
		w.cluster("ci", op.before)
		w.apply()
	}
	args, wanted := op.command()
	w.cluster("ci", wanted)
	// From the provider's start on: nothing can be lost before.
	at := time.Duration(op.random.IntN(int(within.Milliseconds()))) * time.Millisecond
	w.cutOff(op.victim, at, args...)
	t.Logf("moment %d: %s killed %v after the provider's start", moment, op.victim, at)
	return wanted
}

// cuttable is a world of any backend.
type cuttable interface {
	cluster(owner string, workers int)
	apply() string
	cutOff(victim string, after time.Duration, args ...string)
}

// cutOff starts the program and kills it, or the provider it has started,
// some time after the provider appeared.
func (w *world) cutOff(victim string, after time.Duration, args ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	c := w.command(ctx, args...)
	must(w.t, c.Start())
	done := make(chan struct{})
	go func() {
		_ = c.Wait() // how it ends is not what is tested
		close(done)
	}()
	ended := func() bool { return closed(done) }
	for w.providerPID() == 0 && !ended() && ctx.Err() == nil {
		time.Sleep(2 * time.Millisecond)
	}
	select {
	case <-done: // it was quicker than the moment that was chosen
		return
	case <-time.After(after):
	}
	if victim == "terraform" {
		must(w.t, c.Process.Kill())
	} else {
		// Terraform uses one provider process to validate, one to plan and one
		// to apply: whichever is there now, or comes next.
		for !ended() {
			if pid := w.providerPID(); pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	<-done
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// providerPID is the newest provider process, 0 if there is none.
func (w *world) providerPID() int {
	pid := 0
	for _, p := range w.processes() {
		if len(p.args) > 0 && filepath.Base(p.args[0]) == filepath.Base(w.provider) && p.pid > pid {
			pid = p.pid
		}
	}
	return pid
}

// One Ctrl-C ends cleanly, two end at once; both leave nothing that the next
// apply does not put right.
func TestAccInterrupt(t *testing.T) {
	for _, times := range []int{1, 2} {
		t.Run(fmt.Sprint(times), func(t *testing.T) {
			t.Parallel()
			for _, at := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, 900 * time.Millisecond, 1300 * time.Millisecond} {
				w := newWorld(t)
				w.cluster("ci", 8)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				c := w.command(ctx, "apply", "-auto-approve", "-no-color", "-input=false")
				out := &strings.Builder{}
				c.Stdout, c.Stderr = out, out
				must(t, c.Start())
				time.Sleep(at)
				for range times {
					_ = syscall.Kill(-c.Process.Pid, syscall.SIGINT) // the whole group, as a terminal does
					time.Sleep(50 * time.Millisecond)
				}
				_ = c.Wait()
				cancel()
				if strings.Contains(out.String(), "panic") || strings.Contains(out.String(), "bug in the provider") {
					t.Fatalf("after %d interrupts:\n%s", times, out)
				}
				w.apply()
				w.expect(8)
				w.emptyPlan()
				w.destroy()
				w.nothingLeft()
			}
		})
	}
}

// Terraform is killed while a create hangs: the provider goes, too.
func TestAccNoProviderStaysBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// A server that never listens: create waits for it.
	w.write(fmt.Sprintf(`
terraform {
  required_providers { dockerparallel = { source = "dockerparallel/dockerparallel" } }
}
provider "dockerparallel" {
  owner   = "ci"
  process = { root = %q }
}
resource "dockerparallel_cluster" "sim" {
  name   = "sim"
  server = {
    container = { command = [%q, "worker"] }
    port      = 1
  }
}
`, w.root, w.node))
	c := w.command(t.Context(), "apply", "-auto-approve", "-no-color", "-input=false")
	c.Env = append(c.Env, "TF_LOG=TRACE", "TF_LOG_PATH="+filepath.Join(w.dir, "log"))
	must(t, c.Start())
	deadline := time.Now().Add(time.Minute)
	for len(w.running("worker")) == 0 {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(w.dir, "log"))
			t.Fatalf("the server's process was never started:\n%s", log)
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(t, c.Process.Kill())
	_ = c.Wait()
	w.nothingLeft()
}
