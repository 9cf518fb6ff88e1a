// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// TestFaultsAreTold lets the calls that change something go wrong. Whatever
// the operation then says, its result names exactly what is alive.
func TestFaultsAreTold(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		if op.name == "destroy" {
			continue // it has no result
		}
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			for _, verb := range []managedtest.Verb{managedtest.VerbRun, managedtest.VerbKill, managedtest.VerbPrepare, managedtest.VerbPreflight} {
				for _, f := range faults() {
					if f.Kind == managedtest.Crash || !f.Affects(verb) {
						continue // a crash has no result either
					}
					f.Verb = verb
					for f.Call = 1; f.Call <= 4; f.Call++ {
						t.Run(fmt.Sprintf("%s %d %s", verb, f.Call, nameOf(f)), func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) { op.told(t, f) })
						})
					}
				}
			}
		})
	}
}

func (op *operation) told(t *testing.T, f managedtest.Fault) {
	t.Helper()
	u := op.prepare(t, managedtest.MemoryOptions{Properties: managed.Properties{BatchSize: 2}})
	before := len(u.world.Calls())
	u.world.SetFaults(f)
	err := within(t, func(ctx context.Context) error { return op.do(u, ctx) })
	if servers := u.alive(managed.RoleServer); u.server == nil && len(servers) > 0 {
		t.Errorf("a create failed and left the server %s (%v)", servers[0].Handle, err)
	}
	var alive, told []managed.Handle
	for _, c := range u.alive(managed.RoleWorker) {
		alive = append(alive, c.Handle)
	}
	if u.pool != nil {
		for _, h := range slices.Concat(u.pool.slots, u.pool.others) {
			if h != "" && !slices.Contains(told, h) {
				told = append(told, h)
			}
		}
	}
	slices.Sort(told)
	var untold []managed.Handle
	for _, h := range alive {
		if !slices.Contains(told, h) {
			untold = append(untold, h)
		}
	}
	if len(untold) > 0 {
		t.Errorf("alive and not told of: %q; told: %q (%v)", untold, told, err)
		for i, c := range u.world.Calls()[before:] {
			t.Logf("%d %s", i+1, c)
		}
	}
	time.Sleep(10 * time.Second)
	u.settle(t)
}
