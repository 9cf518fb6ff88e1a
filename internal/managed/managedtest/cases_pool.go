// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// poolCases are about the number of workers: M1 to M10 of
// ManagedCloudProvider, and what it never tested.
func poolCases() []testCase {
	lister := []Capability{CapLister}
	return []testCase{
		{"M1_handles_per_worker", nil, handlesPerWorker},
		{"M3_reconnect_twice", lister, reconnectTwice},
		{"M4_absolute_target", nil, absoluteTarget},
		{"M5_dead_are_dropped", nil, deadAreDropped},
		{"M6_scale_down_is_exact", nil, scaleDownExact},
		{"M7_victims_in_order", nil, victimsInOrder},
		{"M8_kill_once_and_unique", nil, killOnceUnique},
		{"M9_no_server_no_workers", nil, noServerNoWorkers},
		{"worker_death_heals_one", nil, workerDeath},
		{"shared_container_death", nil, sharedDeath},
		{"server_death_restarts_all", nil, serverDeath},
		{"restart_the_same_cluster", nil, restartCluster},
		{"handles_forgotten_are_found", lister, handlesForgotten},
		{"two_pools_side_by_side", nil, twoPools},
		{"two_scale_downs_at_once", lister, twoScaleDowns},
		{"cancel_in_mid_run", nil, cancelMidRun},
	}
}

// clusterWithPool is what most cases need: a server and a pool on it.
func (l *lab) clusterWithPool(maxWorkers int) (managed.Server, *pool) {
	m := l.client(owner, nil)
	s, server := l.startServer(m, l.scope)
	p := l.pool(m, l.scope, "w", server)
	p.req.MaxWorkers = maxWorkers
	return s, p
}

// packing tells how many workers of the suite's hardware share a container.
func (l *lab) packing(wanted int) int {
	if l.can.Packer != nil {
		wanted = min(wanted, l.can.Packer.MaxWorkersPerContainer(l.suite.Worker.Hardware))
	}
	if wanted < 2 {
		l.Skipf("the backend puts one worker into a container")
	}
	return wanted
}

func handlesPerWorker(l *lab) {
	k := l.packing(4)
	_, p := l.clusterWithPool(k)
	res := p.must(2*k + 1)
	if got, want := sizes(res.Slots), []int{1, k, k}; !slices.Equal(got, want) {
		l.Errorf("%d workers, at most %d in a container, are packed as %v", 2*k+1, k, got)
	}
	for h := range res.Started {
		if !slices.Contains(res.Slots, h) {
			l.Errorf("Started tells of %s, which is in no slot", h)
		}
	}
	for _, r := range l.requests {
		if w := r.Spec.Workers; r.Role == managed.RoleWorker && (r.Spec.Hardware != l.suite.Worker.Hardware.Times(w) || r.Spec.Environment[managed.EnvWorkers] != sprintf("%d", w)) {
			l.Errorf("a container of %d workers has the hardware %+v and the environment %v", w, r.Spec.Hardware, r.Spec.Environment)
		}
	}
}

func reconnectTwice(l *lab) {
	k := l.packing(4)
	_, p := l.clusterWithPool(k)
	want := p.must(k + 1).Slots
	slices.Sort(want)
	m := l.client(owner, nil)
	for range 3 {
		c, err := m.Reconnect(l.ctx, l.scope)
		l.must(err, "Reconnect")
		if len(c.Pools) != 1 || c.Pools[0].Running+c.Pools[0].Initializing != k+1 || len(c.Pools[0].Members) != 2 {
			l.Errorf("Reconnect counts %+v", c.Pools)
		}
		v, err := m.PoolStatus(l.ctx, managed.PoolQuery{Scope: p.req.Scope})
		l.must(err, "PoolStatus")
		if got := slices.Sorted(slices.Values(v.Slots)); !slices.Equal(got, want) {
			l.Errorf("after a reconnect the slots are %q, not %q", got, want)
		}
		// What was found again, once more: not doubled.
		v, err = m.PoolStatus(l.ctx, managed.PoolQuery{Scope: p.req.Scope, Slots: v.Slots})
		l.must(err, "PoolStatus")
		if len(v.Slots) != k+1 || v.Achieved != k+1 {
			l.Errorf("a second look at %d workers shows %d", k+1, len(v.Slots))
		}
	}
	l.numbers(m, l.scope, k+1, "after three reconnects")
}

func absoluteTarget(l *lab) {
	_, p := l.clusterWithPool(1)
	for _, n := range []int{1, 4, 4, 2, 3, 0, 1} {
		before := slices.Clone(p.slots)
		p.must(n)
		stay := 0
		for _, h := range p.slots {
			if slices.Contains(before, h) {
				stay++
			}
		}
		if want := min(len(before), n); stay != want {
			l.Errorf("from %d to %d workers, %d stayed instead of %d", len(before), n, stay, want)
		}
	}
	// A half-empty container is never filled, a new one is started.
	k := l.packing(4)
	p.must(0)
	p.req.MaxWorkers = k
	p.must(1)
	p.must(2)
	if got := sizes(p.slots); !slices.Equal(got, []int{1, 1}) {
		l.Errorf("a second worker was packed as %v", got)
	}
}

func deadAreDropped(l *lab) {
	_, p := l.clusterWithPool(1)
	p.must(3)
	victim := p.slots[1]
	l.killOutside(victim)
	v := p.refresh()
	if len(v.Slots) != 3 || v.Slots[1] != "" || v.Achieved != 2 || v.Running+v.Initializing != 2 {
		l.Errorf("after the death of the second worker PoolStatus shows %q, %d achieved", v.Slots, v.Achieved)
	}
	if l.can.Lister != nil {
		l.numbers(p.m, l.scope, 2, "after a death")
	}
}

func scaleDownExact(l *lab) {
	k := l.packing(4)
	_, p := l.clusterWithPool(k)
	p.must(2*k + 2) // e.g. 10 workers in 3 containers
	if got := len(p.containers()); got != 3 {
		l.Errorf("%d workers are in %d containers", 2*k+2, got)
	}
	// From 10 to 9: only what has to move moves.
	before := p.containers()
	p.must(2*k + 1)
	survivors := 0
	for _, h := range p.containers() {
		if slices.Contains(before, h) {
			survivors++
		}
	}
	if survivors != 2 {
		l.Errorf("from %d to %d workers, %d of 3 containers survived instead of 2", 2*k+2, 2*k+1, survivors)
	}
	for n := 2 * k; n >= 0; n -= max(1, k/2) {
		p.must(n)
	}
	p.must(0)
}

func victimsInOrder(l *lab) {
	_, p := l.clusterWithPool(1)
	p.must(1)
	first := p.slots[0]
	l.spread()
	p.must(2)
	second := p.slots[1]
	l.spread()
	p.must(3)
	third := p.slots[2]
	p.must(2) // the newest leaves
	if !slices.Equal(p.slots, []managed.Handle{first, second}) {
		l.Errorf("newest: of %q there are %q left", []managed.Handle{first, second, third}, p.slots)
	}
	p.req.ScaleIn = managed.ScaleInOldest
	p.must(1)
	if !slices.Equal(p.slots, []managed.Handle{second}) {
		l.Errorf("oldest: of %q there are %q left", []managed.Handle{first, second}, p.slots)
	}
}

// spread lets so much time pass that a backend tells two start times apart.
func (l *lab) spread() {
	_ = sleep(l.ctx, 20*time.Millisecond)
}

func killOnceUnique(l *lab) {
	k := l.packing(2)
	_, p := l.clusterWithPool(k)
	p.must(3 * k)
	want := p.containers()
	l.mu.Lock()
	l.kills = nil
	l.mu.Unlock()
	p.must(0)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.kills) != 1 || !slices.Equal(slices.Sorted(slices.Values(l.kills[0])), want) {
		l.Errorf("scaling %q to 0 sent the kills %q", want, l.kills)
	}
}

func noServerNoWorkers(l *lab) {
	s, p := l.clusterWithPool(1)
	p.must(2)
	l.killOutside(s.Handle)
	l.numbers(p.m, l.scope, 0, "without a server")
	if alive := l.alive(l.ctx, p.containers()); len(alive) != 2 {
		l.Errorf("%d of 2 workers survived their server", len(alive))
	}
	// R leaked them: without a server it stopped nothing.
	known := append(slices.Clone(p.slots), s.Handle)
	l.must(errOf(p.m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope, Known: known})), "Cleanup")
	l.checkNothingLeft(l.ctx, l.scope)
}

func workerDeath(l *lab) {
	_, p := l.clusterWithPool(1)
	p.must(4)
	before := slices.Clone(p.slots)
	l.killOutside(before[2])
	p.refresh()
	n := l.startedSoFar()
	p.must(4)
	if l.startedSoFar() != n+1 {
		l.Errorf("one worker died and %d were started", l.startedSoFar()-n)
	}
	for i, h := range before {
		if (p.slots[i] == h) != (i != 2) {
			l.Errorf("slot %d held %s and holds %s", i, h, p.slots[i])
		}
	}
	// Without a refresh in between, the plan wants to keep what is dead: the
	// operation says so, and the next one mends it.
	l.killOutside(p.slots[0])
	res, err := p.set(4)
	l.must(err, "SetWorkerNumber with a worker that died after the plan")
	if len(res.Notices) == 0 || res.Slots[0] != p.slots[0] {
		l.Errorf("a worker that died after the plan: slots %q, notices %v", res.Slots, res.Notices)
	}
	p.refresh()
	p.must(4)
}

func sharedDeath(l *lab) {
	k := l.packing(4)
	_, p := l.clusterWithPool(k)
	p.must(2 * k)
	dead, stays := p.slots[0], p.slots[2*k-1]
	l.killOutside(dead)
	v := p.refresh()
	if v.Achieved != k || len(v.Slots) != 2*k {
		l.Errorf("the death of a container of %d shows as %d workers left of %d", k, v.Achieved, 2*k)
	}
	n := l.startedSoFar()
	p.must(2 * k)
	if l.startedSoFar() != n+1 || !slices.Contains(p.slots, stays) || slices.Contains(p.slots, dead) {
		l.Errorf("healing started %d containers; the slots are %q", l.startedSoFar()-n, p.slots)
	}
}

// healServer starts a cluster's server anew and connects the pool to it.
func (p *pool) healServer(old managed.Server) managed.Server {
	l := p.l
	req := l.serverRequest(l.scope)
	req.Create, req.Known = false, old.Handle
	s, err := p.m.RunServer(l.ctx, req)
	l.must(err, "RunServer")
	if s.Launch == old.Launch || s.Handle == old.Handle {
		l.Fatalf("a new server has the launch %q and handle %q, as the old one", s.Launch, s.Handle)
	}
	a, err := p.m.ConnectServer(l.ctx, l.scope, s.Launch)
	l.must(err, "ConnectServer")
	if a.Password != p.req.Server.Password {
		l.Errorf("a new launch has another password")
	}
	l.numbers(p.m, l.scope, 0, "workers of an old launch")
	p.req.Server = a
	return s
}

// restarted checks that the pool comes back on a new launch.
func (p *pool) restarted(n int, before []managed.Handle) {
	l := p.l
	if v := p.refresh(); v.Achieved != 0 {
		l.Errorf("%d workers of an old launch count", v.Achieved)
	}
	p.must(n)
	for _, h := range before {
		if slices.Contains(p.slots, h) {
			l.Errorf("worker %s of the old launch is still counted", h)
		}
	}
	l.eventually(l.ctx, "workers of the old launch are gone", func() string { return joined(l.alive(l.ctx, before)) })
}

func serverDeath(l *lab) {
	s, p := l.clusterWithPool(1)
	p.must(3)
	before := slices.Clone(p.slots)
	l.killOutside(s.Handle)
	seen, err := p.m.ServerStatus(l.ctx, l.scope, s.Handle)
	l.must(err, "ServerStatus")
	if seen.Status != managed.StatusStopped {
		l.Errorf("a killed server is %q", seen.Status)
	}
	l.exists(p.m, l.scope, false, "after the server's death")
	p.healServer(s)
	p.restarted(3, before)
}

func restartCluster(l *lab) {
	s, p := l.clusterWithPool(1)
	p.must(2)
	for range 2 {
		before := slices.Clone(p.slots)
		s = p.healServer(s)
		p.restarted(2, before)
	}
	p.destroy()
	known := []managed.Handle{s.Handle}
	l.must(errOf(p.m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope, Known: known})), "Cleanup")
	l.checkNothingLeft(l.ctx, l.scope)
	// The same name again.
	_, server := l.startServer(p.m, l.scope)
	q := l.pool(p.m, l.scope, "w", server)
	q.must(2)
}

func handlesForgotten(l *lab) {
	_, p := l.clusterWithPool(1)
	p.must(3)
	n := l.startedSoFar()
	// As after a crash before the state was written.
	q := l.pool(l.client(owner, nil), l.scope, "w", p.req.Server)
	q.must(3)
	if l.startedSoFar() != n || !slices.Equal(q.containers(), p.containers()) {
		l.Errorf("%d workers were started although 3 were there", l.startedSoFar()-n)
	}
}

func twoPools(l *lab) {
	m := l.client(owner, nil)
	_, server := l.startServer(m, l.scope)
	a, b := l.pool(m, l.scope, "a", server), l.pool(m, l.scope, "b", server)
	both := func(na, nb int) {
		var g sync.WaitGroup
		var ra, rb managed.PoolResult
		var ea, eb error
		g.Go(func() { ra, ea = a.set(na) })
		g.Go(func() { rb, eb = b.set(nb) })
		g.Wait()
		a.exact(na, ra, ea)
		b.exact(nb, rb, eb)
		l.numbers(m, l.scope, na+nb, "two pools")
	}
	both(2, 3)
	both(3, 1)
	for _, h := range a.slots {
		if slices.Contains(b.slots, h) {
			l.Errorf("%s is in both pools", h)
		}
	}
	a.destroy()
	b.count(1)
	l.numbers(m, l.scope, 1, "after one of two pools was destroyed")
}

func twoScaleDowns(l *lab) {
	_, p := l.clusterWithPool(1)
	p.must(6)
	q := *p
	q.m = l.client(owner, nil)
	var g sync.WaitGroup
	for _, one := range []*pool{p, &q} {
		g.Go(func() { _, _ = one.replan(3) }) // either may find what the other has left
	}
	g.Wait()
	l.numbers(p.m, l.scope, 3, "two scale-downs to 3 at once")
}

// cancelMidRun ends the caller's context while workers are being started. What
// runs is in the result, and the next operation makes up for the rest.
func cancelMidRun(l *lab) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	m := l.client(owner, &watch{run: func(_ context.Context, req managed.RunRequest, next func() ([]managed.Handle, error)) ([]managed.Handle, error) {
		handles, err := next()
		if req.Role == managed.RoleWorker {
			cancel()
		}
		return handles, err
	}})
	_, server := l.startServer(m, l.scope)
	p := l.pool(m, l.scope, "w", server)
	p.req.MaxWorkers = 1
	l.ctx, ctx = ctx, l.ctx // the operation works under the context that will be canceled
	res, err := p.set(4)
	l.ctx = ctx
	if !res.Touched {
		l.Fatalf("a canceled operation that started workers says it touched nothing (%v)", err)
	}
	if slices.Contains(res.Slots, "") && err == nil && len(res.Notices) == 0 {
		l.Errorf("a canceled operation fell short without a word")
	}
	for _, h := range l.alive(l.ctx, l.handlesIn(p.req.Scope)) {
		if !slices.Contains(res.Slots, h) {
			l.Errorf("%s was started and is in no slot of %q", h, res.Slots)
		}
	}
	p.m = l.client(owner, nil)
	p.refresh()
	p.must(4)
}
