// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"errors"
	"slices"
	"sync"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// clusterCases are about whose a cluster is, what lives beside it, and that
// nothing stays behind.
func clusterCases() []testCase {
	lister := []Capability{CapLister}
	return []testCase{
		{"same_owner_takes_over", lister, sameOwner},
		{"foreign_owner_is_refused", lister, foreignRefused},
		{"foreign_owner_adopts", lister, foreignAdopts},
		{"foreign_owner_forces", lister, foreignForces},
		{"no_owner_is_nobody", lister, noOwner},
		{"pool_of_another_owner", lister, poolOfAnotherOwner},
		{"two_clusters_side_by_side", nil, twoClusters},
		{"two_namespaces", nil, twoNamespaces},
		{"restart_keeps_launch", []Capability{CapLister, CapSecretStore}, restartKeepsLaunch},
		{"cleanup_shallow", nil, func(l *lab) { cleanup(l, false) }},
		{"cleanup_deep", nil, func(l *lab) { cleanup(l, true) }},
		{"cleanup_of_what_died", nil, cleanupOfDead},
		{"cleanup_refuses_an_empty_scope", nil, cleanupEmptyScope},
		{"leftovers_and_sweep", lister, leftoversAndSweep},
	}
}

func sameOwner(l *lab) {
	m := l.client(owner, nil)
	s, server := l.startServer(m, l.scope)
	p := l.pool(m, l.scope, "w", server)
	p.must(2)
	n := l.startedSoFar()
	// A create that was interrupted before its state was written, again.
	again := l.client(owner, nil)
	s2, server2 := l.startServer(again, l.scope)
	if s2.Handle != s.Handle || s2.Launch != s.Launch || server2 != server {
		l.Errorf("the same owner's create started another server")
	}
	q := l.pool(again, l.scope, "w", server2)
	q.must(3)
	if l.startedSoFar() != n+1 {
		l.Errorf("%d containers were started, not 1", l.startedSoFar()-n)
	}
	// With another spec the server cannot be taken over: it gives way.
	req := l.serverRequest(l.scope)
	req.Server.Environment = l.changed().Environment
	s3, err := again.RunServer(l.ctx, req)
	l.must(err, "RunServer with another spec")
	if s3.Launch == s.Launch {
		l.Errorf("a server of another spec was taken over")
	}
	l.eventually(l.ctx, "the old server is gone", func() string { return joined(l.alive(l.ctx, []managed.Handle{s.Handle})) })
}

// theirs is a cluster that somebody else made.
func (l *lab) theirs(by string) (managed.Server, *pool) {
	m := l.client(by, nil)
	s, server := l.startServer(m, l.scope)
	p := l.pool(m, l.scope, "w", server)
	p.must(2)
	return s, p
}

func foreignRefused(l *lab) {
	s, p := l.theirs("somebody")
	n := l.startedSoFar()
	m := l.client(owner, nil)
	var exists *managed.ExistsError
	if _, err := m.RunServer(l.ctx, l.serverRequest(l.scope)); !errors.As(err, &exists) || len(exists.Members) != 1 || exists.Members[0].Handle != s.Handle {
		l.Errorf("creating what exists: %v", err)
	}
	q := l.pool(m, l.scope, "w", p.req.Server)
	exists = nil
	if res, err := q.set(3); !errors.As(err, &exists) || len(exists.Members) != 2 || res.Touched {
		l.Errorf("creating a pool that exists: %v (touched %t)", err, res.Touched)
	}
	var foreign *managed.ForeignError
	if err := errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope})); !errors.As(err, &foreign) || len(foreign.Members) != 3 {
		l.Errorf("destroying a foreign cluster: %v", err)
	}
	l.must(m.StopServer(l.ctx, l.scope, ""), "StopServer of a foreign cluster")
	if alive := l.alive(l.ctx, l.handlesIn(l.scope)); len(alive) != 3 || l.startedSoFar() != n {
		l.Errorf("after being refused, %d of 3 containers are alive, and %d were started", len(alive), l.startedSoFar()-n)
	}
	p.count(2)
}

func foreignAdopts(l *lab) {
	s, p := l.theirs("somebody")
	n := l.startedSoFar()
	m := l.client(owner, nil)
	req := l.serverRequest(l.scope)
	req.OnExisting = managed.OnExistingAdopt
	s2, err := m.RunServer(l.ctx, req)
	l.must(err, "RunServer, adopting")
	if s2.Handle != s.Handle || s2.Launch != s.Launch {
		l.Errorf("adopting %s gave %s", s.Handle, s2.Handle)
	}
	server, err := m.ConnectServer(l.ctx, l.scope, s2.Launch)
	l.must(err, "ConnectServer")
	q := l.pool(m, l.scope, "w", server)
	q.req.OnExisting = managed.OnExistingAdopt
	q.must(2)
	if l.startedSoFar() != n || !slices.Equal(q.containers(), p.containers()) {
		l.Errorf("adopting started %d containers", l.startedSoFar()-n)
	}
	q.must(3)
	q.must(1)
	q.destroy()
	l.must(errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope, Known: []managed.Handle{s2.Handle}})), "Cleanup of what was adopted")
	l.checkNothingLeft(l.ctx, l.scope)
}

func foreignForces(l *lab) {
	l.theirs("somebody")
	m := l.client(owner, nil)
	l.must(errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope, Force: true})), "Cleanup by force")
	l.checkNothingLeft(l.ctx, l.scope)
}

func noOwner(l *lab) {
	s, _ := l.theirs("")
	m := l.client("", nil)
	var exists *managed.ExistsError
	if _, err := m.RunServer(l.ctx, l.serverRequest(l.scope)); !errors.As(err, &exists) {
		l.Errorf("an empty owner took over what an empty owner made: %v", err)
	}
	if alive := l.alive(l.ctx, []managed.Handle{s.Handle}); len(alive) != 1 {
		l.Errorf("the server is gone")
	}
	l.must(errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope})), "Cleanup")
	l.checkNothingLeft(l.ctx, l.scope)
}

func poolOfAnotherOwner(l *lab) {
	m := l.client(owner, nil)
	s, server := l.startServer(m, l.scope)
	mine := l.pool(m, l.scope, "mine", server)
	mine.must(1)
	guest := l.pool(l.client("guest", nil), l.scope, "theirs", server)
	guest.must(2)
	// An operation on my pool leaves theirs alone, and the cluster's destroy is
	// refused while they are in it.
	mine.must(2)
	var foreign *managed.ForeignError
	if err := errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope, Known: []managed.Handle{s.Handle}})); !errors.As(err, &foreign) || len(foreign.Members) != 2 {
		l.Errorf("destroying a cluster with guests: %v", err)
	}
	guest.count(2)
	mine.destroy()
	guest.count(2)
	guest.destroy()
	l.must(errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope})), "Cleanup")
	l.checkNothingLeft(l.ctx, l.scope)
}

// sideBySide starts two clusters at once, destroys the first and looks after
// the second.
func (l *lab) sideBySide(a, b managed.Scope) {
	m := l.client(owner, nil)
	var g sync.WaitGroup
	pools := make([]*pool, 2)
	errs := make([]error, 2)
	for i, scope := range []managed.Scope{a, b} {
		g.Go(func() {
			s, err := m.RunServer(l.ctx, l.serverRequest(scope))
			if err != nil {
				errs[i] = err
				return
			}
			server, err := m.ConnectServer(l.ctx, scope, s.Launch)
			if err != nil {
				errs[i] = err
				return
			}
			pools[i] = l.pool(m, scope, "w", server)
			_, errs[i] = pools[i].set(2)
		})
	}
	g.Wait()
	l.must(errors.Join(errs...), "two clusters at once")
	if pools[0].req.Server.Password == pools[1].req.Server.Password {
		l.Errorf("two clusters have the same password")
	}
	l.must(errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: a, Known: append(pools[0].slots, pools[0].req.Server.Handle)})), "Cleanup of one cluster")
	l.checkNothingLeft(l.ctx, a)
	pools[1].count(2)
	pools[1].must(3)
	l.numbers(m, b, 3, "the other cluster")
	l.exists(m, a, false, "the first cluster")
	l.exists(m, b, true, "the other cluster")
	l.must(errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: b, Known: append(pools[1].slots, pools[1].req.Server.Handle)})), "Cleanup of the other cluster")
	l.checkNothingLeft(l.ctx, b)
}

func twoClusters(l *lab) {
	// One's name is the beginning of the other's.
	b := l.scope
	b.Cluster += "-b"
	l.sideBySide(l.scope, l.track(b))
}

func twoNamespaces(l *lab) {
	b := l.scope
	b.Namespace += "-2"
	l.sideBySide(l.scope, l.track(b))
}

// restartKeepsLaunch is for backends whose servers have stable names: the
// workers find the new server by themselves and stay.
func restartKeepsLaunch(l *lab) {
	if !l.backend.Properties().StableServerName {
		l.Skipf("the backend's servers have no stable names")
	}
	m := l.client(owner, nil)
	s, server := l.startServer(m, l.scope)
	p := l.pool(m, l.scope, "w", server)
	if _, counts := l.suite.Framework.(managed.WorkerLister); counts {
		p.req.WaitFor = managed.WaitForRegistered
	}
	p.must(2)
	before := slices.Clone(p.slots)
	l.killOutside(s.Handle)
	req := l.serverRequest(l.scope)
	req.Create, req.Known, req.KeepLaunch = false, s.Handle, s.Launch
	again, err := m.RunServer(l.ctx, req)
	l.must(err, "RunServer under the old launch")
	if again.Launch != s.Launch || again.Handle == s.Handle || again.Endpoint.PrivateIP != s.Endpoint.PrivateIP || again.Endpoint.PrivatePort != s.Endpoint.PrivatePort {
		l.Errorf("the server came back as launch %s at %+v, and was %s at %+v", again.Launch, again.Endpoint, s.Launch, s.Endpoint)
	}
	server, err = m.ConnectServer(l.ctx, l.scope, s.Launch)
	l.must(err, "ConnectServer")
	p.req.Server = server
	p.must(2) // waits until they have connected again
	if !slices.Equal(p.slots, before) {
		l.Errorf("the workers %q were restarted: %q", before, p.slots)
	}
	l.must(l.can.SecretStore.DeleteSecret(l.ctx, l.scope), "DeleteSecret")
	l.killOutside(again.Handle)
	if _, err := m.RunServer(l.ctx, req); !errors.Is(err, managed.ErrLaunchLost) {
		l.Errorf("without its secret the launch was kept: %v", err)
	}
}

func cleanup(l *lab, deep bool) {
	s, p := l.clusterWithPool(1)
	p.must(2)
	p.must(3)
	known := append(slices.Clone(p.slots), s.Handle)
	for range 2 { // twice is no error
		l.must(errOf(p.m.Cleanup(l.ctx, managed.CleanupRequest{Scope: p.req.Scope, Known: p.slots, Deep: deep})), "Cleanup of a pool")
		l.checkNothingLeft(l.ctx, p.req.Scope)
	}
	if alive := l.alive(l.ctx, []managed.Handle{s.Handle}); len(alive) != 1 {
		l.Errorf("the server went with its pool")
	}
	for range 2 {
		l.must(errOf(p.m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope, Known: known, Deep: deep})), "Cleanup of a cluster")
		l.checkNothingLeft(l.ctx, l.scope)
	}
}

func cleanupOfDead(l *lab) {
	s, p := l.clusterWithPool(1)
	p.must(2)
	known := append(slices.Clone(p.slots), s.Handle)
	for _, h := range known {
		l.killOutside(h)
	}
	l.must(errOf(p.m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope, Known: known})), "Cleanup of a dead cluster")
	l.checkNothingLeft(l.ctx, l.scope)
}

func cleanupEmptyScope(l *lab) {
	_, p := l.clusterWithPool(1)
	p.must(1)
	for _, scope := range []managed.Scope{{}, {Namespace: l.scope.Namespace}, {Cluster: l.scope.Cluster}} {
		if err := errOf(p.m.Cleanup(l.ctx, managed.CleanupRequest{Scope: scope, Force: true})); err == nil {
			l.Errorf("an empty scope %+v was cleaned up", scope)
		}
	}
	p.count(1)
}

func leftoversAndSweep(l *lab) {
	_, p := l.clusterWithPool(1)
	p.must(2)
	m := l.client("sweeper", nil)
	left, err := m.Leftovers(l.ctx, managed.Selector{Namespace: l.scope.Namespace, Cluster: l.scope.Cluster})
	l.must(err, "Leftovers")
	if len(left.Members) != 3 {
		l.Errorf("%d containers are left over, not 3", len(left.Members))
	}
	l.must(m.Sweep(l.ctx, left), "Sweep")
	l.eventually(l.ctx, "Sweep", func() string { return joined(l.alive(l.ctx, l.handlesIn(l.scope))) })
}
