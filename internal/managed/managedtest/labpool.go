// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func joined[S ~string](all []S) string {
	parts := make([]string, len(all))
	for i, s := range all {
		parts[i] = string(s)
	}
	return strings.Join(parts, ", ")
}

// serverRequest asks for the server of a cluster, as a create does.
func (l *lab) serverRequest(scope managed.Scope) managed.ServerRequest {
	return managed.ServerRequest{Scope: scope, Framework: l.suite.Framework, Server: l.suite.Server, Create: true, OnExisting: managed.OnExistingError}
}

// startServer starts the server of a cluster and connects to it.
func (l *lab) startServer(m *managed.Manager, scope managed.Scope) (managed.Server, managed.ServerAddress) {
	s, err := m.RunServer(l.ctx, l.serverRequest(scope))
	l.must(err, "RunServer")
	if !s.Found || s.Handle == "" || s.Launch == "" || s.Status != managed.StatusRunning {
		l.Fatalf("RunServer returned %+v", s)
	}
	a, err := m.ConnectServer(l.ctx, scope, s.Launch)
	l.must(err, "ConnectServer")
	if a.Launch != s.Launch || a.Password == "" && l.suite.Framework.HasPassword() {
		l.Fatalf("ConnectServer returned launch %q of %q, password %t", a.Launch, s.Launch, a.Password != "")
	}
	return s, a
}

// pool is a worker pool as a Terraform resource knows it: what it wants, and
// what it remembers between two operations.
type pool struct {
	l   *lab
	m   *managed.Manager
	req managed.PoolRequest // the wish, without what is remembered

	slots   []managed.Handle
	others  []managed.Handle
	started map[managed.Handle]time.Time
	launch  string
	hash    string
	created bool
	last    managed.PoolResult
}

// pool makes a pool of the suite's workers.
func (l *lab) pool(m *managed.Manager, scope managed.Scope, name string, server managed.ServerAddress) *pool {
	return &pool{l: l, m: m, req: managed.PoolRequest{
		Scope: inPool(scope, name), Framework: l.suite.Framework, Server: server, Worker: l.suite.Worker, MaxWorkers: 1,
		ScaleIn: managed.ScaleInNewest, Gang: managed.GangSoft, WaitFor: managed.WaitForRunning, OnExit: managed.OnExitReplace,
		Update:     managed.UpdatePolicy{Strategy: managed.StrategyRolling, MaxUnavailable: 1},
		OnExisting: managed.OnExistingError, MinWorkers: -1,
	}}
}

// set brings the pool to n workers, as an apply does: the plan says which
// slots stay, the result is remembered.
func (p *pool) set(n int) (managed.PoolResult, error) {
	return p.apply(n, managed.PlanSlots(p.slots, n, p.req.ScaleIn, p.started))
}

// replan is a set in which the plan keeps no worker by its handle.
func (p *pool) replan(n int) (managed.PoolResult, error) { return p.apply(n, nil) }

func (p *pool) apply(n int, slots []managed.Handle) (managed.PoolResult, error) {
	req := p.req
	req.Workers, req.Slots = n, slots
	req.Known, req.KnownLaunch, req.KnownHash = slices.Concat(p.slots, p.others), p.launch, p.hash
	req.Create = !p.created
	if req.MinWorkers < 0 {
		req.MinWorkers = n
	}
	res, err := p.m.SetWorkerNumber(p.l.ctx, req)
	p.last = res
	if res.Touched {
		p.others = notIn(res.Slots, req.Known)
		p.slots, p.started, p.launch = res.Slots, res.Started, req.Server.Launch
		if res.Outdated == 0 {
			p.hash = req.Worker.Hash()
		}
		// A create that fails with nothing to show for leaves no state.
		p.created = p.created || err == nil || len(p.containers()) > 0
	}
	return res, err
}

// notIn are the remembered handles that no slot has: until a refresh shows
// them no more, they may be there.
func notIn(slots, known []managed.Handle) []managed.Handle {
	return slices.DeleteFunc(slices.Clone(known), func(h managed.Handle) bool { return h == "" || slices.Contains(slots, h) })
}

// must is a set that has to work, exactly.
func (p *pool) must(n int) managed.PoolResult {
	res, err := p.set(n)
	p.exact(n, res, err)
	return res
}

// exact tells how a result falls short of n workers, no more and no fewer.
func (p *pool) exact(n int, res managed.PoolResult, err error) {
	l := p.l
	l.must(err, "SetWorkerNumber(%d)", n)
	if !res.Touched || len(res.Slots) != n || slices.Contains(res.Slots, "") {
		l.Fatalf("SetWorkerNumber(%d) returned the slots %q (touched %t, %v)", n, res.Slots, res.Touched, res.Notices)
	}
	if got := res.Running + res.Initializing + res.Completed; got != n {
		l.Errorf("SetWorkerNumber(%d) counts %d running, %d initializing and %d completed workers", n, res.Running, res.Initializing, res.Completed)
	}
	if want := len(p.containers()); res.Completed == 0 && res.Containers != want {
		l.Errorf("SetWorkerNumber(%d) counts %d containers, its slots name %d", n, res.Containers, want)
	}
	p.count(n)
}

// count compares the world with n workers: through the cluster's list, and
// through the remembered slots.
func (p *pool) count(n int) {
	l := p.l
	if l.can.Lister != nil {
		l.eventually(l.ctx, "WorkerNumbers", func() string {
			got, err := p.m.WorkerNumbers(l.ctx, p.req.Scope)
			l.must(err, "WorkerNumbers")
			if got.Running+got.Initializing != n && p.last.Completed == 0 && p.req.Server.Handle != "" {
				return sprintf("%d running and %d initializing, not %d", got.Running, got.Initializing, n)
			}
			return ""
		})
	}
	v := p.status()
	if v.Running+v.Initializing+v.Completed != n || len(v.Slots) < n {
		l.Errorf("PoolStatus counts %d running, %d initializing, %d completed workers and %d slots, not %d", v.Running, v.Initializing, v.Completed, len(v.Slots), n)
	}
}

// status is what a refresh sees.
func (p *pool) status() managed.PoolView {
	v, err := p.m.PoolStatus(p.l.ctx, managed.PoolQuery{
		Scope: p.req.Scope, Slots: p.slots, Others: p.others, KnownLaunch: p.launch, KnownHash: p.hash, Launch: p.req.Server.Launch,
		OnExit: p.req.OnExit, WaitFor: p.req.WaitFor,
	})
	p.l.must(err, "PoolStatus")
	return v
}

// refresh remembers what there is, as Read does.
func (p *pool) refresh() managed.PoolView {
	v := p.status()
	p.slots, p.started, p.others = v.Slots, v.Started, v.Others
	return v
}

// containers of the pool's slots.
func (p *pool) containers() []managed.Handle { return containersOf(p.slots) }

func containersOf(slots []managed.Handle) []managed.Handle {
	set := map[managed.Handle]bool{}
	for _, h := range slots {
		if h != "" {
			set[h] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// sizes are the workers per container of slots, in ascending order.
func sizes(slots []managed.Handle) []int {
	n := map[managed.Handle]int{}
	for _, h := range slots {
		if h != "" {
			n[h]++
		}
	}
	return slices.Sorted(maps.Values(n))
}

// destroy removes the pool.
func (p *pool) destroy() {
	err := errOf(p.m.Cleanup(p.l.ctx, managed.CleanupRequest{Scope: p.req.Scope, Known: slices.Concat(p.slots, p.others)}))
	p.l.must(err, "Cleanup of pool %s", p.req.Scope.Pool)
	p.slots, p.others, p.created = nil, nil, false
	p.l.checkNothingLeft(p.l.ctx, p.req.Scope)
}
