// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// CleanupRequest says what to remove.
type CleanupRequest struct {
	// Scope names a pool, or with an empty Pool a whole cluster.
	Scope Scope
	// Known are handles that the caller remembers: they are ours, whatever
	// their owner label says.
	Known []Handle
	// Force removes the containers of other owners, too.
	Force bool
	// Deep removes everything that the backend ever made, as far as nothing
	// else uses it, and not only what costs money.
	Deep bool
	// Drain, if given, has a pool's workers finish what they do before they
	// are stopped, as far as the cluster's server can be asked for that.
	Drain *PoolDrain
}

// PoolDrain is what a pool's workers have to be to be drained.
type PoolDrain struct {
	Framework Framework
	Hardware  Hardware
	// Grace is the time for it; the stop signal and its grace come after it.
	Grace time.Duration
}

// emptyTime is how long Cleanup waits for a scope to get empty, if its context
// has no earlier deadline: some backends show what they have killed for a while.
const emptyTime = 10 * time.Minute

// Cleanup removes everything of ours in a scope. It goes by labels, not only
// by what the caller remembers, and lists again until the scope is empty. A
// scope in which nothing is left is a success.
//
// A cluster in which containers of another owner are is refused with a
// [ForeignError] unless Force is set; a pool is emptied of ours only. What
// could not be killed is in the error. The notices tell what was left because
// somebody else uses it.
func (m *Manager) Cleanup(ctx context.Context, req CleanupRequest) ([]Notice, error) {
	if err := checkScope(req.Scope); err != nil {
		return nil, err
	}
	known := map[Handle]bool{}
	for _, h := range req.Known {
		known[h] = true
	}
	role := RoleWorker
	if req.Scope.Pool == "" {
		role = ""
	}
	sel := Selector{Namespace: req.Scope.Namespace, Cluster: req.Scope.Cluster, Pool: req.Scope.Pool, Role: role}
	ours := func(c Member) bool { return req.Force || c.Owner == m.opts.Owner || known[c.Handle] }
	if req.Drain != nil {
		var done func()
		ctx, done = m.drainPool(ctx, req, sel, ours)
		defer done()
	}
	if err := m.empty(ctx, req, sel, ours); err != nil {
		return nil, err
	}
	if req.Scope.Pool == "" && m.can.SecretStore != nil {
		if err := m.can.SecretStore.DeleteSecret(ctx, req.Scope); err != nil {
			return nil, wrap(err, "removing the secret of cluster "+req.Scope.Cluster)
		}
	}
	return m.cleanup(ctx, req.Scope, req.Deep)
}

// cleanup removes what the containers of a scope shared.
func (m *Manager) cleanup(ctx context.Context, scope Scope, deep bool) ([]Notice, error) {
	if m.can.Preparer == nil {
		return nil, nil
	}
	left, err := m.can.Preparer.Cleanup(ctx, scope, deep)
	if err != nil {
		return nil, wrap(err, "cleaning up after "+scope.Cluster)
	}
	if len(left) == 0 {
		return nil, nil
	}
	return []Notice{{Summary: "In Use by Others", Detail: strings.Join(left, "\n")}}, nil
}

// empty kills what is ours in a scope, and lists again until nothing is left.
func (m *Manager) empty(ctx context.Context, req CleanupRequest, sel Selector, isOurs func(Member) bool) error {
	deadline := time.Now().Add(emptyTime)
	for p, first := m.newPause(), true; ; first = false {
		all, err := m.Containers(ctx, sel)
		if err != nil {
			return err
		}
		var ours, foreign []Member
		for _, c := range all {
			if isOurs(c) {
				ours = append(ours, c)
			} else {
				foreign = append(foreign, c)
			}
		}
		if req.Scope.Pool == "" && len(foreign) > 0 {
			return &ForeignError{Scope: req.Scope, Members: foreign}
		}
		handles := handlesOf(ours)
		if first {
			// Handles that a list does not show may exist all the same.
			handles = append(handles, req.Known...)
			if m.can.Lister == nil && req.Scope.Pool == "" {
				if s, err := m.getSecret(ctx, req.Scope); err != nil && ClassOf(err) != ClassInvalid { // a damaged one goes, too
					return err
				} else if s != nil {
					handles = append(handles, s.Handle)
				}
			}
		} else if len(ours) == 0 {
			return nil
		}
		handles = unique(handles)
		if len(handles) > 0 {
			m.opts.Log.InfoContext(ctx, "stopping containers", "cluster", req.Scope.Cluster, "pool", req.Scope.Pool, "containers", len(handles))
		}
		if err := m.kill(ctx, handles); err != nil {
			return err
		}
		if m.can.Lister == nil {
			return nil
		}
		if first {
			continue // most backends are done with it at once
		}
		err = p.wait(ctx)
		if err != nil || time.Now().After(deadline) {
			return Errorf(cmp.Or(ClassOf(err), ClassDeadline), "", "%d containers of cluster %q are still there although they were stopped: %s", len(ours), req.Scope.Cluster, describe(ours))
		}
	}
}

// Leftovers are what a selector finds of ours, for a sweep.
type Leftovers struct {
	Members   []Member
	Artifacts []Artifact
}

// Leftovers lists everything that a selector matches, artifacts included.
func (m *Manager) Leftovers(ctx context.Context, sel Selector) (Leftovers, error) {
	sel.Artifacts = true
	inv, err := m.inventory(ctx, sel)
	if err != nil {
		return Leftovers{}, err
	}
	l := Leftovers{Members: m.members(inv, sel)}
	for _, a := range inv.Artifacts {
		if labels, ours := ParseLabels(a.Labels); ours && sel.Matches(labels) {
			l.Artifacts = append(l.Artifacts, a)
		}
	}
	return l, nil
}

// Sweep removes leftovers: the containers, then the artifacts, then what the
// scopes shared. Whether they may go is the caller's decision.
func (m *Manager) Sweep(ctx context.Context, l Leftovers) error {
	if err := m.kill(ctx, handlesOf(l.Members)); err != nil {
		return err
	}
	if len(l.Artifacts) > 0 && m.can.ArtifactKiller != nil {
		if err := m.can.ArtifactKiller.KillArtifacts(ctx, l.Artifacts); err != nil {
			return wrap(err, "removing what clusters shared")
		}
	}
	if m.can.Preparer == nil {
		return nil
	}
	var scopes []Scope
	for _, c := range l.Members {
		scopes = append(scopes, Scope{Namespace: c.Namespace, Cluster: c.Cluster, Pool: c.Pool})
	}
	for _, a := range l.Artifacts {
		labels, _ := ParseLabels(a.Labels)
		scopes = append(scopes, Scope{Namespace: labels.Namespace, Cluster: labels.Cluster})
	}
	// Pools come before their cluster.
	slices.SortFunc(scopes, func(a, b Scope) int { return len(b.Pool) - len(a.Pool) })
	seen := map[Scope]bool{}
	for _, s := range scopes {
		if seen[s] || checkScope(s) != nil {
			continue
		}
		seen[s] = true
		if _, err := m.cleanup(ctx, s, false); err != nil {
			return err
		}
	}
	return nil
}
