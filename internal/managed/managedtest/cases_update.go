// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// updateCases are about workers of an old spec giving way to new ones.
func updateCases() []testCase {
	return []testCase{
		{"update_rolling", nil, func(l *lab) { rolling(l, 4, 1, 0) }},
		{"update_rolling_half", nil, func(l *lab) { rolling(l, 4, 2, 0) }},
		{"update_rolling_surge", nil, func(l *lab) { rolling(l, 3, 0, 1) }},
		{"update_rolling_packed", nil, rollingPacked},
		{"update_recreate", nil, recreate},
		{"update_on_replacement", nil, onReplacement},
		{"update_of_labels_restarts_nothing", nil, labelsRestartNothing},
		{"update_that_fails_keeps_the_old", nil, failedUpdate},
		{"update_and_scale", nil, updateAndScale},
	}
}

// changed is the suite's worker with another spec.
func (l *lab) changed() managed.Template {
	t := l.suite.Worker
	t.Environment = maps.Clone(t.Environment)
	if t.Environment == nil {
		t.Environment = map[string]string{}
	}
	t.Environment["CONFORMANCE_CHANGE"] = "1"
	return t
}

// gauge watches how many workers of a pool run while an operation works: it
// looks whenever one is about to be stopped, and after each start.
type gauge struct {
	l    *lab
	pool managed.Scope

	mu          sync.Mutex
	on          bool
	least, most int
}

func (l *lab) gauge(pool string) *gauge {
	return &gauge{l: l, pool: inPool(l.scope, pool), least: 1 << 30}
}

// hooks of a client that the gauge reads.
func (g *gauge) hooks() *watch {
	return &watch{
		run: func(_ context.Context, _ managed.RunRequest, next func() ([]managed.Handle, error)) ([]managed.Handle, error) {
			handles, err := next()
			g.read(nil)
			return handles, err
		},
		kill: func(_ context.Context, handles []managed.Handle, next func() error) error {
			g.read(handles)
			return next()
		},
	}
}

func (g *gauge) read(without []managed.Handle) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.on {
		return
	}
	handles := g.l.handlesIn(g.pool)
	seen, err := g.l.backend.Status(g.l.ctx, handles)
	if err != nil {
		g.l.Errorf("Status: %v", err)
		return
	}
	g.l.mu.Lock()
	defer g.l.mu.Unlock()
	running, alive := 0, 0
	for h, o := range seen {
		n := g.l.started[h].Spec.Workers
		if o.Known && o.Status != managed.StatusStopped {
			alive += n
			if o.Status == managed.StatusRunning && !slices.Contains(without, h) {
				running += n
			}
		}
	}
	if without != nil {
		g.least = min(g.least, running)
	}
	g.most = max(g.most, alive)
}

func (g *gauge) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.on = true
}

// check compares what was seen with the limits of a policy.
func (g *gauge) check(least, most int) {
	if g.least < least || g.most > most {
		g.l.Errorf("between %d and %d workers were there during the update, not between %d and %d", g.least, g.most, least, most)
	}
}

// gauged is a pool of n workers of the suite's spec, and its gauge.
func (l *lab) gauged(n, maxWorkers int) (*pool, *gauge) {
	g := l.gauge("w")
	m := l.client(owner, g.hooks())
	_, server := l.startServer(m, l.scope)
	p := l.pool(m, l.scope, "w", server)
	p.req.MaxWorkers = maxWorkers
	p.must(n)
	g.start()
	return p, g
}

// replaced checks that n workers of the new spec took the place of the old.
func (p *pool) replaced(n int, before []managed.Handle) {
	res, err := p.replan(n)
	p.exact(n, res, err)
	if res.Outdated != 0 {
		p.l.Errorf("%d workers are outdated after an update", res.Outdated)
	}
	for _, h := range before {
		if slices.Contains(p.slots, h) {
			p.l.Errorf("%s has the old spec and is still there", h)
		}
	}
	p.l.eventually(p.l.ctx, "the old workers are gone", func() string { return joined(p.l.alive(p.l.ctx, before)) })
}

func rolling(l *lab, n, unavailable, surge int) {
	p, g := l.gauged(n, 1)
	before := p.containers()
	p.req.Worker = l.changed()
	p.req.Update = managed.UpdatePolicy{Strategy: managed.StrategyRolling, MaxUnavailable: unavailable, MaxSurge: surge}
	p.replaced(n, before)
	g.check(n-unavailable, n+surge)
	// And once more: there is nothing to do.
	started := l.startedSoFar()
	p.must(n)
	if l.startedSoFar() != started {
		l.Errorf("an update that was done is done again")
	}
}

func rollingPacked(l *lab) {
	k := l.packing(2)
	p, g := l.gauged(3*k, k)
	before := p.containers()
	p.req.Worker = l.changed()
	p.req.Update = managed.UpdatePolicy{Strategy: managed.StrategyRolling, MaxUnavailable: 1}
	p.replaced(3*k, before)
	g.check(2*k, 3*k) // a step is never smaller than one container
}

func recreate(l *lab) {
	p, g := l.gauged(3, 1)
	before := p.containers()
	p.req.Worker = l.changed()
	p.req.Update = managed.UpdatePolicy{Strategy: managed.StrategyRecreate}
	p.replaced(3, before)
	g.check(0, 3) // old and new are never there at once
}

func onReplacement(l *lab) {
	p, _ := l.gauged(3, 1)
	before := slices.Clone(p.slots)
	p.req.Worker = l.changed()
	p.req.Update = managed.UpdatePolicy{Strategy: managed.StrategyOnReplacement}
	res, err := p.replan(3)
	p.exact(3, res, err)
	if !slices.Equal(slices.Sorted(slices.Values(p.slots)), slices.Sorted(slices.Values(before))) || res.Outdated != 3 {
		l.Errorf("on_replacement made %q, %d outdated, of %q", p.slots, res.Outdated, before)
	}
	res = p.must(4)
	tells := l.can.Lister != nil // else all workers are taken for the last spec's
	if tells && res.Outdated != 3 {
		l.Errorf("with one new worker, %d of 4 are outdated", res.Outdated)
	}
	l.killOutside(before[0])
	p.refresh()
	res = p.must(4)
	if tells && res.Outdated != 2 {
		l.Errorf("with two new workers, %d of 4 are outdated", res.Outdated)
	}
}

func labelsRestartNothing(l *lab) {
	p, _ := l.gauged(2, 1)
	before := slices.Clone(p.slots)
	p.req.Worker.Labels = map[string]string{"team": "other"}
	p.req.Worker.StopGrace *= 2
	res, err := p.replan(2)
	p.exact(2, res, err)
	if !slices.Equal(slices.Sorted(slices.Values(p.slots)), slices.Sorted(slices.Values(before))) {
		l.Errorf("a change of labels made %q of %q", p.slots, before)
	}
}

// failedUpdate rolls to a spec that does not work: the first step says so, and
// the old workers go on.
func failedUpdate(l *lab) {
	p, _ := l.gauged(4, 1)
	before := p.containers()
	p.req.Worker = l.suite.FailingWorker
	res, err := p.replan(4)
	var short *managed.ShortfallError
	if !errors.As(err, &short) {
		l.Errorf("an update to workers that fail: %v", err)
	}
	stay := 0
	for _, h := range before {
		if slices.Contains(res.Slots, h) {
			stay++
		}
	}
	if stay != 3 || len(l.alive(l.ctx, before)) != 3 {
		l.Errorf("of 4 old workers %d are in slots and %d alive, not 3", stay, len(l.alive(l.ctx, before)))
	}
	// The way back.
	p.req.Worker = l.suite.Worker
	p.refresh()
	p.must(4)
}

func updateAndScale(l *lab) {
	for _, to := range []int{5, 1} {
		p, _ := l.gauged(3, 1)
		before := p.containers()
		p.req.Worker = l.changed()
		p.replaced(to, before)
		p.destroy()
		l.must(errOf(p.m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope, Known: []managed.Handle{p.req.Server.Handle}})), "Cleanup")
	}
}
