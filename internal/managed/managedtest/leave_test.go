// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// told is a framework whose server knows what a test says.
type told struct {
	managedtest.Plain
	workers []managed.RegisteredWorker
	fails   error
	drained *[]string
}

func (f told) RegisteredWorkers(ctx context.Context, _ managed.DialFunc, _ managed.Facts) ([]managed.RegisteredWorker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f.workers, f.fails
}

func (told) TellsIdle() {}

func (f told) Drain(ctx context.Context, _ managed.DialFunc, _ managed.Facts, containers []string) error {
	if f.drained == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	*f.drained = append(*f.drained, containers...)
	return nil
}

func TestWorkersThatDoNotRegister(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u, req := grows(t, 1, 3)
		req.WaitFor = managed.WaitForRegistered
		_, err := u.m.SetWorkerNumber(t.Context(), req)
		says(t, err, "", "cannot count")
		first := "container-" + string(u.pool.slots[0])
		for _, f := range []told{
			{workers: make([]managed.RegisteredWorker, 1)},
			{workers: []managed.RegisteredWorker{{Container: first, Workers: 2}, {Container: first}, {Container: "one that died"}}},
		} {
			req.Framework = f
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err = u.m.SetWorkerNumber(ctx, req)
			var short *managed.ShortfallError
			if !errors.As(err, &short) || !short.Registered || short.Achieved != 1 {
				t.Errorf("one of three registers: %v", err)
			}
			says(t, err, managed.ClassDeadline, "registered with the server")
			if named := f.workers[0].Container != ""; named {
				says(t, err, "", "it runs, but did not register with the server")
				if strings.Contains(err.Error(), string(u.pool.slots[0])) {
					t.Errorf("the one that registered is blamed: %v", err)
				}
			}
		}
		u.settle(t)
	})
}

// TestRollWaitsForRegistration: new workers that the server does not get to
// know replace no more than the update policy gives away.
func TestRollWaitsForRegistration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 3)
		old := u.pool.slots
		u.version++
		req, err := u.poolRequest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f := told{drained: new([]string)}
		for _, h := range old {
			f.workers = append(f.workers, managed.RegisteredWorker{Container: "container-" + string(h)})
		}
		req.Framework, req.WaitFor, req.Worker.StopGrace = f, managed.WaitForRegistered, time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		req.MinWorkers, req.Gang = 2, managed.GangHard // which are there: those with the old spec
		res, err := u.m.SetWorkerNumber(ctx, req)
		if err != nil {
			says(t, err, "", "did not register")
		}
		if !slices.ContainsFunc(res.Notices, func(n managed.Notice) bool { return strings.Contains(n.Detail, "did not register") }) && err == nil {
			t.Errorf("nobody says who did not register: %+v", res.Notices)
		}
		stay := slices.DeleteFunc(slices.Clone(res.Slots), func(h managed.Handle) bool { return !slices.Contains(old, h) })
		if len(stay) != 2 || len(*f.drained) != 1 {
			t.Errorf("of %q, %q stayed, and %q were drained", old, stay, *f.drained)
		}

		// Once it knows them, the update goes on.
		for n := range 20 {
			f.workers = append(f.workers, managed.RegisteredWorker{Container: fmt.Sprintf("container-mem-%07d", n)})
		}
		u.pool.slots = res.Slots
		if req, err = u.poolRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		req.Framework, req.WaitFor, req.Worker.StopGrace = f, managed.WaitForRegistered, time.Minute
		if res, err = u.m.SetWorkerNumber(t.Context(), req); err != nil || res.Outdated != 0 {
			t.Errorf("%d are outdated: %v", res.Outdated, err)
		}
	})
}

// TestRollSaysWhyNobodyIsCounted: the server cannot be asked.
func TestRollSaysWhyNobodyIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 3)
		u.version++
		req, err := u.poolRequest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		req.Framework = told{drained: new([]string), fails: managed.Errorf(managed.ClassTransient, "", "connection refused")}
		req.WaitFor = managed.WaitForRegistered
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		_, err = u.m.SetWorkerNumber(ctx, req)
		says(t, err, "", "connection refused")
		if strings.Contains(err.Error(), "did not register") {
			t.Errorf("workers are blamed for it: %v", err)
		}
	})
}

// TestIdleWorkersLeaveFirst, and those that leave are drained before they are
// stopped: all at once, and no longer than their grace.
func TestIdleWorkersLeaveFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 6)
		busy := map[managed.Handle]bool{u.pool.slots[1]: true, u.pool.slots[4]: true, u.pool.slots[5]: true}
		var drained []string
		f := told{drained: &drained}
		for _, h := range u.pool.slots {
			f.workers = append(f.workers, managed.RegisteredWorker{Container: "container-" + string(h), Busy: busy[h]})
		}
		req, err := u.poolRequest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		req.Framework, req.Workers, req.MinWorkers, req.ScaleIn = f, 3, 3, managed.ScaleInIdle
		req.Worker.StopGrace = time.Minute
		req.Slots = managed.PlanSlots(u.pool.slots, 3, req.ScaleIn, u.pool.started)
		if slices.ContainsFunc(req.Slots, func(h managed.Handle) bool { return h != "" }) {
			t.Errorf("the plan names survivors: %q", req.Slots)
		}
		res, err := u.m.SetWorkerNumber(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range res.Slots {
			if !busy[h] {
				t.Errorf("%s stayed, of which the busy are %v", h, busy)
			}
		}
		if len(drained) != 3 {
			t.Errorf("drained were %q", drained)
		}
		req.Framework, req.Workers, req.MinWorkers, req.Slots, req.Known = told{workers: f.workers}, 1, 1, nil, nil
		begun := time.Now()
		if res, err = u.m.SetWorkerNumber(t.Context(), req); err != nil || len(res.Slots) != 1 {
			t.Fatalf("with a server that does not let them go: %v", err)
		}
		if d := time.Since(begun); d < time.Minute || d > 2*time.Minute {
			t.Errorf("workers with a grace of a minute left after %s", d)
		}
	})
}

// TestRemovedPoolIsDrained, as long as its server runs.
func TestRemovedPoolIsDrained(t *testing.T) {
	t.Parallel()
	for _, runs := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			u := created(t, managedtest.MemoryOptions{}, 3)
			req, err := u.poolRequest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !runs {
				if err := u.world.Kill(t.Context(), []managed.Handle{u.server.Handle}); err != nil {
					t.Fatal(err)
				}
			}
			var drained []string
			if _, err := u.m.Cleanup(t.Context(), managed.CleanupRequest{
				Scope: req.Scope, Drain: &managed.PoolDrain{Framework: told{drained: &drained}, Grace: time.Minute},
			}); err != nil {
				t.Error(err)
			}
			if want := map[bool]int{true: 3}[runs]; len(drained) != want {
				t.Errorf("drained were %q, and the server runs: %t", drained, runs)
			}
			for _, c := range u.world.Snapshot().Containers {
				if c.Labels[managed.LabelRole] == string(managed.RoleWorker) && c.Status == managed.StatusRunning {
					t.Errorf("%s is still there", c.Handle)
				}
			}
		})
	}
}

// TestRemovedPoolOutlastsItsTime: a drain that takes all the time of the
// operation does not make a failure of what has worked.
func TestRemovedPoolOutlastsItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 3)
		req, err := u.poolRequest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := u.m.Cleanup(ctx, managed.CleanupRequest{
			Scope: req.Scope, Drain: &managed.PoolDrain{Framework: told{}, Grace: 5 * time.Minute},
		}); err != nil {
			t.Error(err)
		}
		if n, err := u.m.WorkerNumbers(t.Context(), req.Scope); err != nil || n.Running != 0 {
			t.Errorf("%+v are left (%v)", n, err)
		}
	})
}

// TestDrainedWorkersKeepTheirGrace, also if the user gives up: they take no
// task any more, so they leave, but are not cut off.
func TestDrainedWorkersKeepTheirGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 3)
		req, err := u.poolRequest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		req.Framework, req.Workers, req.MinWorkers, req.Slots = told{}, 1, 1, nil
		req.Worker.StopGrace = 5 * time.Minute
		u.world.SetFaults(managedtest.Fault{Verb: managedtest.VerbKill, Call: 1, Kind: managedtest.Late, Delay: 3 * time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begun := time.Now()
		res, err := u.m.SetWorkerNumber(ctx, req)
		if d := time.Since(begun); len(res.Slots) != 1 || d < 3*time.Minute {
			t.Errorf("%q stayed after %s: %v", res.Slots, d, err)
		}
		if err != nil && managed.ClassOf(err) != managed.ClassCanceled {
			t.Errorf("workers that need three minutes of their five: %v", err)
		}
	})
}

// TestIdleWorkersThatCannotBeStopped do not take the place of the busy one that
// was to stay.
func TestIdleWorkersThatCannotBeStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 1)
		old := u.pool.slots[0]
		time.Sleep(time.Minute)
		u.workers = 2
		if err := within(t, u.apply); err != nil {
			t.Fatal(err)
		}
		young := u.pool.slots[1]
		req, err := u.poolRequest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		req.Framework = told{drained: new([]string), workers: []managed.RegisteredWorker{{Container: "container-" + string(old)}, {Container: "container-" + string(young), Busy: true}}}
		req.Workers, req.MinWorkers, req.ScaleIn, req.Slots = 1, 1, managed.ScaleInIdle, nil
		u.world.SetFaults(managedtest.Fault{Verb: managedtest.VerbKill, Call: 1, Kind: managedtest.Fail, Class: managed.ClassUnknown})
		res, _ := u.m.SetWorkerNumber(t.Context(), req)
		if !slices.Equal(res.Slots, []managed.Handle{young}) {
			t.Errorf("%q stayed, and %q had a task", res.Slots, young)
		}
		if o, err := u.world.Status(t.Context(), []managed.Handle{young}); err != nil || o[young].Status != managed.StatusRunning {
			t.Errorf("the busy worker is %+v (%v)", o[young], err)
		}
	})
}
