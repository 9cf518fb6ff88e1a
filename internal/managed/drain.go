// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"slices"
	"time"
)

// drain has workers that are about to leave finish what they do, where a stop
// signal alone would lose something. Whatever they say, they leave: rest is for
// that. If they were told, they take no task any more and have to go, whoever
// gives up; so rest outlasts ctx by their grace, for the tasks that they are at,
// and the time of any clean-up. Call done when they are gone.
func (m *Manager) drain(ctx context.Context, fw Framework, server ServerAddress, facts Facts, grace time.Duration, members []Member) (rest context.Context, done func()) {
	drainer, ok := fw.(Drainer)
	if !ok || grace <= 0 || ctx.Err() != nil {
		return ctx, func() {}
	}
	var names []string
	for _, c := range members {
		if c.Name != "" && c.Status == StatusRunning && c.Launch == server.Launch {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return ctx, func() {}
	}
	log := m.opts.Log.With("cluster", facts.Cluster, "pool", facts.Pool)
	begun := time.Now()
	log.InfoContext(ctx, "having workers finish their tasks", "containers", len(names), "grace", grace)
	bounded, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := drainer.Drain(bounded, m.dialer(fw, server), facts, names); err != nil {
		log.InfoContext(ctx, "not all workers could be drained; they get their stop signal", "error", err.Error(), "after", time.Since(begun))
	}
	return Outlast(ctx, m.opts.CleanupTime+grace)
}

// drainPool drains what is ours of a whole pool, if its cluster has a server
// now that knows the workers. A pool that leaves a server which is gone, or that
// cannot be asked, just leaves.
func (m *Manager) drainPool(ctx context.Context, req CleanupRequest, sel Selector, ours func(Member) bool) (rest context.Context, done func()) {
	nothing := func() {}
	if _, ok := req.Drain.Framework.(Drainer); !ok {
		return ctx, nothing
	}
	members, err := m.Containers(ctx, sel)
	members = slices.DeleteFunc(members, func(c Member) bool { return !ours(c) })
	if err != nil || len(members) == 0 {
		return ctx, nothing
	}
	s, err := m.ServerStatus(ctx, clusterScope(req.Scope), "")
	if err != nil || s.Status != StatusRunning {
		return ctx, nothing
	}
	secret, err := m.getSecret(ctx, req.Scope)
	if err != nil || secret == nil || secret.Launch != s.Launch {
		return ctx, nothing
	}
	server := addressOf(s, secret)
	facts := poolFacts(req.Scope, req.Drain.Framework, server)
	facts.Hardware = req.Drain.Hardware
	return m.drain(ctx, req.Drain.Framework, server, facts, req.Drain.Grace, members)
}

// Outlast gives a context that ends some time after ctx has. Call stop when it
// is no longer needed.
func Outlast(ctx context.Context, d time.Duration) (longer context.Context, stop func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() { forget(); cancel() }
}
