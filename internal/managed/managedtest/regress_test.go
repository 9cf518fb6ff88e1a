// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// created is a user whose cluster of n workers runs.
func created(t *testing.T, o managedtest.MemoryOptions, n int) *user {
	t.Helper()
	op := operation{first: true, before: func(_ *testing.T, u *user) { u.workers = n }}
	u := op.prepare(t, o)
	if err := within(t, u.apply); err != nil {
		t.Fatal(err)
	}
	return u
}

// TestWorkersWithinTheVisibilityLag: what was started a moment ago may be in no
// list and no status. It is not dead, and not started again.
func TestWorkersWithinTheVisibilityLag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUser(managedtest.MemoryOptions{HiddenFor: 3 * time.Second})
		if err := within(t, u.applyServer); err != nil {
			t.Fatal(err)
		}
		u.workers = 3
		req, err := u.poolRequest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		req.WaitFor = managed.WaitForNone
		res, err := u.m.SetWorkerNumber(t.Context(), req)
		if err != nil || slices.Contains(res.Slots, "") || res.Initializing != 3 {
			t.Fatalf("started without waiting: slots %q, %d initializing, %v", res.Slots, res.Initializing, err)
		}
		v, err := u.m.PoolStatus(t.Context(), managed.PoolQuery{Scope: req.Scope, Slots: res.Slots, KnownLaunch: req.Server.Launch, KnownHash: req.Worker.Hash(), WaitFor: req.WaitFor})
		if err != nil || !slices.Equal(v.Slots, res.Slots) {
			t.Errorf("a refresh makes %q of %q (%v)", v.Slots, res.Slots, err)
		}
	})
}

// TestPassingFailuresAreTriedAgain: a worker that ended for a reason that can
// pass is started again, a few times, and never in a loop.
func TestPassingFailuresAreTriedAgain(t *testing.T) {
	t.Parallel()
	full := managedtest.Program{Refused: true, Passing: true, Reason: "no room"}
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 1)
		u.world.Next(2, full)
		u.workers = 3
		if err := within(t, u.apply); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := u.slotsAreTheWorld(); err != nil {
			t.Error(err)
		}
		u.world.Next(100, full)
		before := u.world.Count(managedtest.VerbRun)
		u.workers = 4
		var short *managed.ShortfallError
		if err := within(t, u.apply); !errors.As(err, &short) || short.Achieved != 3 {
			t.Errorf("without room: %v", err)
		}
		if runs := u.world.Count(managedtest.VerbRun) - before; runs < 2 || runs > 5 {
			t.Errorf("without room it tried %d times", runs)
		}
	})
}

// TestStartDeadline: what does not start in its time counts as stopped, is
// replaced, and removed.
func TestStartDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{Properties: managed.Properties{StartDeadline: time.Minute}}, 1)
		u.world.Next(1, managedtest.Program{NeverStarts: true})
		u.workers = 2
		begun := time.Now()
		var short *managed.ShortfallError
		if err := within(t, u.apply); !errors.As(err, &short) || short.Achieved != 1 {
			t.Errorf("a worker that never starts: %v", err)
		}
		if took := time.Since(begun); took < time.Minute || took > 2*time.Minute {
			t.Errorf("it was given up after %v", took)
		}
		u.settle(t)
	})
}

// TestInitializingFillsNoSlot: a worker that does not run yet fills no slot,
// unless nobody waits for it; it is in Others, and not forgotten.
func TestInitializingFillsNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 1)
		req, err := u.poolRequest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		u.world.Next(1, managedtest.Program{NeverStarts: true})
		req.Workers, req.MinWorkers, req.WaitFor = 2, 2, managed.WaitForNone
		req.Slots = append(slices.Clone(u.pool.slots), "")
		res, err := u.m.SetWorkerNumber(t.Context(), req)
		if err != nil || slices.Contains(res.Slots, "") || res.Running != 1 || res.Initializing != 1 {
			t.Fatalf("without waiting: %q, %d running, %d initializing (%v)", res.Slots, res.Running, res.Initializing, err)
		}
		q := managed.PoolQuery{Scope: req.Scope, Slots: res.Slots, WaitFor: managed.WaitForRunning}
		v, err := u.m.PoolStatus(t.Context(), q)
		if err != nil || v.Achieved != 1 || v.Slots[1] != "" || v.Initializing != 1 || !slices.Equal(v.Others, res.Slots[1:]) {
			t.Errorf("waiting: %q, %d achieved, others %q (%v)", v.Slots, v.Achieved, v.Others, err)
		}
		q.WaitFor = managed.WaitForNone
		if v, err = u.m.PoolStatus(t.Context(), q); err != nil || v.Achieved != 2 {
			t.Errorf("not waiting: %d achieved (%v)", v.Achieved, err)
		}
	})
}

// TestListThatShowsTooMuch: what a backend lists beyond what was asked for is
// not touched.
func TestListThatShowsTooMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 2)
		neighbour := *u
		neighbour.scope.Cluster, neighbour.server, neighbour.pool = "neighbour", nil, nil
		neighbour.restart()
		if err := within(t, neighbour.apply); err != nil {
			t.Fatal(err)
		}
		u.world.SetFaults(
			managedtest.Fault{Verb: managedtest.VerbList, Kind: managedtest.Wrong, Lie: managedtest.Stranger},
			managedtest.Fault{Verb: managedtest.VerbStatus, Kind: managedtest.Wrong, Lie: managedtest.Stranger},
		)
		for _, n := range []int{3, 1} {
			u.workers = n
			if err := within(t, u.apply); err != nil {
				t.Fatal(err)
			}
		}
		if err := within(t, u.destroy); err != nil {
			t.Fatal(err)
		}
		u.world.SetFaults()
		neighbour.check(t)
	})
}

// TestDeafServer: a server that runs and does not answer is waited for until
// the time is over, and then nothing is left of it.
func TestDeafServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUser(managedtest.MemoryOptions{})
		u.world.Next(1, managedtest.Program{Deaf: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := u.applyServer(ctx)
		if managed.ClassOf(err) != managed.ClassDeadline {
			t.Errorf("a deaf server: %v (class %q)", err, managed.ClassOf(err))
		}
		u.checkGone(t)
	})
}

// TestCallsDoNotGrowWithWorkers: an apply of what is there, and a refresh, make
// as many calls for a thousand workers as for one.
func TestCallsDoNotGrowWithWorkers(t *testing.T) {
	t.Parallel()
	count := func(n int) (calls int) {
		synctest.Test(t, func(t *testing.T) {
			u := created(t, managedtest.MemoryOptions{Properties: managed.Properties{BatchSize: 1000}}, n)
			before := u.world.Count("")
			if err := within(t, u.apply); err != nil {
				t.Fatal(err)
			}
			calls = u.world.Count("") - before
		})
		return calls
	}
	if one, many := count(1), count(1000); one != many {
		t.Errorf("%d calls for 1 worker, %d for 1000", one, many)
	}
}

// TestTokens: each Run has a token of its own, which is in its labels.
func TestTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{Properties: managed.Properties{BatchSize: 1}}, 5)
		seen := map[string]bool{}
		for _, c := range u.world.Calls() {
			if c.Verb != managedtest.VerbRun {
				continue
			}
			token := c.Run.Token
			if token == "" || seen[token] || c.Run.Spec.Labels[managed.LabelToken] != token {
				t.Errorf("a Run has the token %q and the label %q (seen before: %t)", token, c.Run.Spec.Labels[managed.LabelToken], seen[token])
			}
			seen[token] = true
		}
		if len(seen) != 6 {
			t.Errorf("%d Runs for a server and five workers", len(seen))
		}
	})
}

// TestMemoryIsQuick holds the memory backend to what benchmarks of the core
// need of it.
func TestMemoryIsQuick(t *testing.T) {
	const n = 100_000
	m := managedtest.NewMemory(managedtest.MemoryOptions{Properties: managed.Properties{BatchSize: n}})
	scope := managed.Scope{Namespace: "ns", Cluster: "c", Pool: "w"}
	labels := managed.Labels{Namespace: "ns", Cluster: "c", Pool: "w", Role: managed.RoleWorker, Workers: 1}
	if _, err := m.Run(t.Context(), managed.RunRequest{Scope: scope, Role: managed.RoleWorker, Count: n, Spec: managed.ContainerSpec{Labels: labels.Map()}}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	inv, err := m.List(t.Context(), managed.Selector{Namespace: "ns", Cluster: "c", Pool: "w"})
	took := time.Since(begun)
	if err != nil || len(inv.Containers) != n {
		t.Fatalf("%d containers are listed (%v)", len(inv.Containers), err)
	}
	t.Logf("listing %d containers took %v", n, took)
	if took > 2*time.Second { // some 20 ms, if nothing else runs
		t.Errorf("listing %d containers took %v", n, took)
	}
	begun = time.Now()
	for _, c := range inv.Containers {
		m.Vanish(c.Handle)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("removing %d containers one by one took %v", n, took)
	}
}

// TestCutThatFailsCostsNothing: a container with too many workers is to make
// room for a smaller one, which does not start. Its workers go on; the next
// operation tries again.
func TestCutThatFailsCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUser(managedtest.MemoryOptions{})
		u.workers, u.maxWorkers = 4, 4
		if err := within(t, u.apply); err != nil {
			t.Fatal(err)
		}
		before := u.alive(managed.RoleWorker)
		u.workers = 3
		u.world.SetFaults(managedtest.Fault{Verb: managedtest.VerbRun, Kind: managedtest.Fail, Class: managed.ClassCapacity})
		_ = within(t, u.apply)
		u.world.SetFaults()
		after := u.alive(managed.RoleWorker)
		if len(before) != 1 || len(after) != 1 || after[0].Handle != before[0].Handle {
			t.Fatalf("%d containers with workers, want the one that was there: %+v", len(after), after)
		}
		if got := u.pool.slots; len(got) != 3 || got[2] != before[0].Handle {
			t.Errorf("the slots are %v", got)
		}
		if err := within(t, u.apply); err != nil {
			t.Fatal(err)
		}
		u.settle(t)
	})
}

// portTaken is a backend on which the port of the first servers is somebody's.
type portTaken struct {
	*managedtest.Memory
	times int
}

func (b *portTaken) Run(ctx context.Context, req managed.RunRequest) ([]managed.Handle, error) {
	if req.Role == managed.RoleServer && b.times > 0 {
		b.times--
		return nil, managed.Errorf(managed.ClassConflict, "port", "port %d is taken", req.Spec.Ports[0].Number)
	}
	return b.Memory.Run(ctx, req)
}

// TestFreePortThatIsTakenMeanwhile: another free one is as good. A port that
// was asked for is not changed.
func TestFreePortThatIsTakenMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		run := func(port int) error {
			b := &portTaken{Memory: managedtest.NewMemory(managedtest.MemoryOptions{}), times: 2}
			_, err := managed.NewManager(b, managed.Options{Owner: "me"}).RunServer(t.Context(), managed.ServerRequest{
				Scope: managed.Scope{Namespace: "ns", Cluster: "sim"}, Framework: managedtest.Plain{}, Create: true, OnExisting: managed.OnExistingError,
				Server: managed.ServerSpec{Template: program("serve"), Port: port, SameLAN: true},
			})
			return err
		}
		if err := run(0); err != nil {
			t.Error(err)
		}
		says(t, run(6379), managed.ClassConflict, "6379 is taken")
	})
}
