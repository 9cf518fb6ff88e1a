// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// refresh asks after the cluster and then after n pools at once, and tells how
// many lists and readings of the secret that cost.
func refresh(t *testing.T, u *user, reader managed.Backend, n int) (lists, secrets int, view managed.PoolView) {
	t.Helper()
	lists, secrets = u.world.Count(managedtest.VerbList), u.world.Count(managedtest.VerbGetSecret)
	m := managed.NewManager(reader, managed.Options{Owner: "me"})
	if _, err := m.ServerStatus(t.Context(), u.scope, ""); err != nil {
		t.Fatal(err)
	}
	var g sync.WaitGroup
	for i := range n {
		g.Go(func() {
			q := managed.PoolQuery{Scope: u.poolScope(), Slots: u.pool.slots, KnownLaunch: u.pool.launch, KnownHash: u.pool.hash, WaitFor: managed.WaitForRunning}
			if i > 0 {
				q.Scope.Pool, q.Slots = "another", nil
			}
			v, err := m.PoolStatus(t.Context(), q)
			if err != nil {
				t.Error(err)
			}
			if i == 0 {
				view = v
			}
		})
	}
	g.Wait()
	return u.world.Count(managedtest.VerbList) - lists, u.world.Count(managedtest.VerbGetSecret) - secrets, view
}

// TestReaderSharesOneList: a refresh costs one list, whatever the number of
// pools, and one reading of the secret where the server has no container.
func TestReaderSharesOneList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{Latency: 10 * time.Millisecond}, 3)
		_, reader := managed.WithReader(u.client)
		lists, secrets, v := refresh(t, u, reader, 5)
		if lists != 1 || secrets != 0 || v.Achieved != 3 {
			t.Errorf("%d lists, %d readings of the secret, %d workers", lists, secrets, v.Achieved)
		}
		u.world.Vanish(u.server.Handle)
		time.Sleep(time.Second)
		if lists, secrets, v = refresh(t, u, reader, 5); lists != 1 || secrets != 1 || v.Server.Status != managed.StatusStopped {
			t.Errorf("without a server: %d lists, %d readings of the secret, server %s", lists, secrets, v.Server.Status)
		}
	})
}

// TestReaderAfterAChange: what the same process has changed is seen at once,
// also if the change failed, and so is what did not answer.
func TestReaderAfterAChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 3)
		work, reader := managed.WithReader(u.client)
		refresh(t, u, reader, 1)
		if err := work.Kill(t.Context(), u.pool.slots[:1]); err != nil {
			t.Fatal(err)
		}
		if lists, _, v := refresh(t, u, reader, 1); lists != 1 || v.Achieved != 2 {
			t.Errorf("after a kill: %d lists, %d workers", lists, v.Achieved)
		}
		u.world.SetFaults(managedtest.Fault{Verb: managedtest.VerbKill, Kind: managedtest.LostReply})
		if err := work.Kill(t.Context(), u.pool.slots[1:2]); err == nil {
			t.Fatal("the kill did not fail")
		}
		if lists, _, v := refresh(t, u, reader, 1); lists != 1 || v.Achieved != 1 {
			t.Errorf("after a kill that failed: %d lists, %d workers", lists, v.Achieved)
		}
		time.Sleep(time.Second)
		u.world.SetFaults(managedtest.Fault{Verb: managedtest.VerbList, Call: 1, Kind: managedtest.Fail})
		if _, err := managed.NewManager(reader, managed.Options{}).ServerStatus(t.Context(), u.scope, ""); err == nil {
			t.Error("a list that failed was not told")
		}
		if lists, _, v := refresh(t, u, reader, 1); lists != 1 || v.Achieved != 1 {
			t.Errorf("after a list that failed: %d lists, %d workers", lists, v.Achieved)
		}
	})
}
