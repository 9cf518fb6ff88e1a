// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// TestRandomLives drives clusters through random sequences of wishes, deaths,
// faults and crashes. At the end one clean apply reaches what is wanted, and a
// destroy leaves nothing.
func TestRandomLives(t *testing.T) {
	t.Parallel()
	lives := uint64(400)
	if testing.Short() {
		lives = 50
	}
	for seed := range lives {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomLife(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

// pick one of several.
func pick[E any](r *rand.Rand, of ...E) E { return of[r.IntN(len(of))] }

func randomLife(t *testing.T, r *rand.Rand) {
	t.Helper()
	u := newUser(managedtest.MemoryOptions{
		StartDelay: pick(r, 0, time.Second), HiddenFor: pick(r, 0, time.Second), StopDelay: pick(r, 0, time.Second),
		HiddenLooks: pick(r, 0, 0, 1), StartLooks: pick(r, 0, 0, 2), Latency: pick(r, 0, 10*time.Millisecond),
		Properties: managed.Properties{
			BatchSize: pick(r, 1, 2, 10), Concurrency: pick(r, 1, 4), SettleTime: pick(r, 0, time.Second),
			PollInterval: 50 * time.Millisecond, IdempotentRun: pick(r, true, false),
		},
	})
	u.maxWorkers, u.workers = pick(r, 1, 2, 4), r.IntN(6)
	var story []string
	tell := func(format string, args ...any) { story = append(story, fmt.Sprintf(format, args...)) }
	defer func() {
		if t.Failed() {
			for _, line := range story {
				t.Log(line)
			}
		}
	}()
	for range 3 + r.IntN(8) {
		u.wish(r, tell)
		u.suffer(t, r, tell)
		u.world.SetFaults()
		crash := false
		if r.IntN(3) > 0 {
			f := pick(r, faults()...)
			f.Call = 1 + r.IntN(30)
			crash = f.Kind == managedtest.Crash
			u.world.SetFaults(f)
			tell("call %d of the next operation: %s", f.Call, nameOf(f))
		}
		if r.IntN(2) == 0 {
			u.restart()
		}
		saved := *u
		do, name := (*user).apply, "apply"
		if r.IntN(8) == 0 {
			do, name = (*user).destroy, "destroy"
		}
		err := within(t, func(ctx context.Context) error { return do(u, ctx) })
		tell("%s %d workers, version %d: %v", name, u.workers, u.version, err)
		if crash {
			// A crash that no call came to was none, but a process that ends
			// without writing is possible all the same.
			u.server, u.pool = saved.server, saved.pool
			u.restart()
			tell("the process ended and wrote nothing")
		}
		time.Sleep(10 * time.Second)
	}
	u.settle(t)
}

// wish for something else.
func (u *user) wish(r *rand.Rand, tell func(string, ...any)) {
	switch r.IntN(4) {
	case 0, 1:
		u.workers = r.IntN(8)
	case 2:
		u.version++
		u.update = managed.UpdatePolicy{
			Strategy: pick(r, managed.StrategyRolling, managed.StrategyRecreate), MaxUnavailable: r.IntN(3), MaxSurge: r.IntN(2),
		}
	default:
		u.gang = pick(r, managed.GangHard, managed.GangSoft)
	}
	tell("wanted: %d workers, version %d, %s %+v", u.workers, u.version, u.gang, u.update)
}

// suffer what happens to containers.
func (u *user) suffer(t *testing.T, r *rand.Rand, tell func(string, ...any)) {
	t.Helper()
	if servers := u.alive(managed.RoleServer); len(servers) > 0 && r.IntN(6) == 0 {
		tell("the server %s dies", servers[0].Handle)
		kill(t, u, servers[0].Handle)
	}
	for _, c := range u.alive(managed.RoleWorker) {
		switch r.IntN(10) {
		case 0:
			tell("the worker %s dies", c.Handle)
			kill(t, u, c.Handle)
		case 1:
			tell("the worker %s vanishes", c.Handle)
			u.world.Vanish(c.Handle)
		}
	}
}
