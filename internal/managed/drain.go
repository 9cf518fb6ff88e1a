// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"time"
)

// drain has workers that are about to leave finish what they do, where a stop
// signal alone would lose something. It is true if they were told. Whatever
// they say, they leave, and [Manager.killDrained] is for that.
func (m *Manager) drain(ctx context.Context, fw Framework, server ServerAddress, facts Facts, grace time.Duration, members []Member) bool {
	drainer, ok := fw.(Drainer)
	if !ok || grace <= 0 || ctx.Err() != nil {
		return false
	}
	var names []string
	for _, c := range members {
		if c.Name != "" && c.Status == StatusRunning && c.Launch == server.Launch {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return false
	}
	log := m.opts.Log.With("cluster", facts.Cluster, "pool", facts.Pool)
	begun := time.Now()
	log.InfoContext(ctx, "having workers finish their tasks", "containers", len(names), "grace", grace)
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := drainer.Drain(ctx, m.dialer(fw, server), facts, names); err != nil {
		log.InfoContext(ctx, "not all workers could be drained; they get their stop signal", "error", err.Error(), "after", time.Since(begun))
	}
	return true
}

// killDrained stops containers whose workers take no task any more: they have
// to go, whoever gives up. From then on they have their grace, for the tasks
// that they are at, and the time of any clean-up.
func (m *Manager) killDrained(ctx context.Context, handles []Handle, grace time.Duration) error {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(m.opts.CleanupTime+grace, cancel) })
	defer stop()
	return m.kill(longer, handles)
}

// drainPool drains what a whole pool has, if its cluster has a server now that
// knows the workers. A pool that leaves a server which is gone just leaves.
func (m *Manager) drainPool(ctx context.Context, scope Scope, d PoolDrain, members []Member) bool {
	if _, ok := d.Framework.(Drainer); !ok || len(members) == 0 {
		return false
	}
	s, err := m.ServerStatus(ctx, clusterScope(scope), "")
	if err != nil || s.Status != StatusRunning {
		return false
	}
	secret, err := m.getSecret(ctx, scope)
	if err != nil || secret == nil || secret.Launch != s.Launch {
		return false
	}
	server := addressOf(s, secret)
	facts := poolFacts(scope, d.Framework, server)
	facts.Hardware = d.Hardware
	return m.drain(ctx, d.Framework, server, facts, d.Grace, members)
}
