// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// operation is one thing that a user does, which is then made to go wrong.
type operation struct {
	name string
	// before brings the world to where the operation begins; from a cluster
	// with three workers unless first is true, then from nothing.
	first   bool
	start   int // workers
	packing int
	before  func(*testing.T, *user)
	do      func(*user, context.Context) error
}

func operations() []operation {
	wish := func(n int) func(*testing.T, *user) { return func(_ *testing.T, u *user) { u.workers = n } }
	change := func(n int, s managed.UpdatePolicy) func(*testing.T, *user) {
		return func(_ *testing.T, u *user) { u.workers, u.version, u.update = n, 1, s }
	}
	apply := (*user).apply
	return []operation{
		{name: "create", first: true, before: wish(3), do: apply},
		{name: "create packed", first: true, packing: 2, before: wish(5), do: apply},
		{name: "up", start: 2, before: wish(4), do: apply},
		{name: "up packed", start: 2, packing: 4, before: wish(7), do: apply},
		{name: "down", start: 4, before: wish(2), do: apply},
		{name: "down to nothing", start: 2, before: wish(0), do: apply},
		{name: "down packed", start: 10, packing: 4, before: wish(9), do: apply},
		{name: "rolling", start: 3, before: change(3, managed.UpdatePolicy{Strategy: managed.StrategyRolling, MaxUnavailable: 1}), do: apply},
		{name: "rolling up with surge", start: 2, before: change(3, managed.UpdatePolicy{Strategy: managed.StrategyRolling, MaxSurge: 1}), do: apply},
		{name: "recreate", start: 2, before: change(2, managed.UpdatePolicy{Strategy: managed.StrategyRecreate}), do: apply},
		{name: "hard gang up", start: 2, before: func(_ *testing.T, u *user) { u.workers, u.gang = 4, managed.GangHard }, do: apply},
		{name: "heal workers", start: 3, do: apply, before: func(t *testing.T, u *user) {
			kill(t, u, u.pool.slots[0])
			u.world.Vanish(u.pool.slots[2])
		}},
		{name: "heal server", start: 2, do: apply, before: func(t *testing.T, u *user) { kill(t, u, u.server.Handle) }},
		{name: "destroy", start: 3, do: (*user).destroy},
	}
}

func kill(t *testing.T, u *user, h managed.Handle) {
	t.Helper()
	if err := u.world.Stop(h, 137); err != nil {
		t.Fatal(err)
	}
}

// prepare a user up to where the operation begins.
func (op *operation) prepare(t *testing.T, o managedtest.MemoryOptions) *user {
	t.Helper()
	u := newUser(o)
	u.maxWorkers = max(1, op.packing)
	if !op.first {
		u.workers = op.start
		if err := within(t, u.apply); err != nil {
			t.Fatalf("before the operation: %v", err)
		}
		time.Sleep(10 * time.Second)
		u.check(t)
	}
	if op.before != nil {
		op.before(t, u)
	}
	u.world.SetFaults()
	return u
}

// faults are all the ways in which one call can go wrong.
func faults() []managedtest.Fault {
	all := []managedtest.Fault{
		{Kind: managedtest.Hang},
		{Kind: managedtest.Hang, Done: true},
		{Kind: managedtest.Late, Delay: 10 * time.Second},
		{Kind: managedtest.LostReply},
		{Kind: managedtest.Partial},
		{Kind: managedtest.Partial, Count: 1},
		{Kind: managedtest.Partial, Count: 1, Class: managed.ClassCapacity},
		{Kind: managedtest.Crash},
		{Kind: managedtest.Crash, Done: true},
	}
	for _, class := range []managed.Class{managed.ClassTransient, managed.ClassCapacity, managed.ClassUnavailable, managed.ClassPermission} {
		all = append(all, managedtest.Fault{Kind: managedtest.Fail, Class: class})
	}
	for _, lie := range []managedtest.Lie{
		managedtest.TooFew, managedtest.TooMany, managedtest.Duplicate, managedtest.Nameless, managedtest.Stranger, managedtest.NotDone,
	} {
		all = append(all, managedtest.Fault{Kind: managedtest.Wrong, Lie: lie})
	}
	return all
}

func nameOf(f managedtest.Fault) string {
	return fmt.Sprintf("%s %s %s%d done=%t", f.Kind, f.Lie, f.Class, f.Count, f.Done)
}

// TestFaults lets each call of each operation go wrong in each way. The world
// that this leaves is put right by one clean apply, and a destroy leaves nothing.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]managedtest.MemoryOptions{
		"immediate":  {},
		"small runs": {Properties: managed.Properties{BatchSize: 1, Concurrency: 1}},
		"slow": {
			StartDelay: time.Second, StopDelay: time.Second, HiddenFor: time.Second, Latency: 10 * time.Millisecond,
			Properties: managed.Properties{SettleTime: time.Second, PollInterval: 100 * time.Millisecond},
		},
	} {
		for _, op := range operations() {
			t.Run(name+"/"+op.name, func(t *testing.T) {
				t.Parallel()
				op.allFaults(t, o, faults())
			})
		}
	}
}

func (op *operation) allFaults(t *testing.T, o managedtest.MemoryOptions, kinds []managedtest.Fault) {
	t.Helper()
	var calls []managedtest.Call
	synctest.Test(t, func(t *testing.T) { // without a fault
		u := op.prepare(t, o)
		before := len(u.world.Calls())
		if err := within(t, func(ctx context.Context) error { return op.do(u, ctx) }); err != nil {
			t.Fatal(err)
		}
		calls = u.world.Calls()[before:]
		u.settle(t)
	})
	for i, call := range calls {
		for _, f := range kinds {
			if !f.Affects(call.Verb) {
				continue
			}
			f.Call = i + 1
			t.Run(fmt.Sprintf("call %d %s %s", f.Call, call.Verb, nameOf(f)), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					u := op.prepare(t, o)
					before := len(u.world.Calls())
					u.world.SetFaults(f)
					saved := *u
					err := within(t, func(ctx context.Context) error { return op.do(u, ctx) })
					if f.Kind == managedtest.Crash {
						u.server, u.pool = saved.server, saved.pool // nothing was written
					}
					time.Sleep(10 * time.Second) // somebody has to notice, and apply again
					u.settle(t)
					if t.Failed() {
						t.Logf("the operation had said: %v", err)
						for i, c := range u.world.Calls()[before:] {
							t.Logf("%d %s", i+1, c)
						}
					}
				})
			})
		}
	}
}
