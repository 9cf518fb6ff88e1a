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

// PoolQuery asks how a pool is.
type PoolQuery struct {
	// Scope names the pool.
	Scope Scope
	// Slots as the caller remembers them; nil if it remembers none.
	Slots []Handle
	// Others that the caller remembers, from an earlier PoolView.
	Others []Handle
	// KnownLaunch and KnownHash as in [PoolRequest].
	KnownLaunch string
	KnownHash   string
	// Launch of a server that is not the cluster's own, for pools that name
	// one themselves; "" looks the cluster's server up.
	Launch string
	OnExit OnExit
	// WaitFor tells whether initializing workers count as achieved.
	WaitFor WaitFor
}

// PoolView is a pool as the world shows it.
type PoolView struct {
	// Server of the cluster; not looked up if the query names a launch.
	Server Server
	// Launch that counts: workers of another one are connected to a server
	// that is no more, and achieve nothing.
	Launch string
	// Slots of the query with the dead ones empty; workers that were in none
	// are in the first empty ones, or appended.
	Slots []Handle
	// Others are the pool's containers that fill no slot, one handle for each
	// of their workers: they have stopped, do not run yet, or are of another
	// launch. Without a Lister only the caller can remember them, and they belong
	// into Known of the requests that follow until a view shows them no more.
	Others []Handle
	// Achieved is the number of slots that are not empty.
	Achieved int
	PoolCounts
	Started map[Handle]time.Time
	// Outdated is how many of those that count run another spec than the query
	// knows; 0 if it knows none.
	Outdated int
	// Newest is the latest container that is alive; nil if there is none. Its
	// labels tell what the pool was launched with.
	Newest *Member
}

// PoolStatus shows a pool as it is now, in one list, and one more call if a
// remembered worker is missing from it. It never changes anything, and a
// backend that does not answer is an error, never an empty pool.
func (m *Manager) PoolStatus(ctx context.Context, q PoolQuery) (PoolView, error) {
	if err := checkScope(q.Scope); err != nil {
		return PoolView{}, err
	}
	all, err := m.Containers(ctx, Selector{Namespace: q.Scope.Namespace, Cluster: q.Scope.Cluster})
	if err != nil {
		return PoolView{}, err
	}
	var servers, workers []Member
	for _, c := range all {
		switch {
		case c.Role == RoleServer:
			servers = append(servers, c)
		case c.Pool == q.Scope.Pool:
			workers = append(workers, c)
		}
	}
	v := PoolView{Launch: q.Launch, Started: map[Handle]time.Time{}}
	if q.Launch == "" {
		sortServers(servers)
		if v.Server, err = m.serverFor(ctx, q.Scope, servers); err != nil {
			return PoolView{}, err
		}
		if v.Server.Status == StatusRunning {
			v.Launch = v.Server.Launch
		}
	}
	workers, err = m.recallWorkers(ctx, workers, recalled{Scope: q.Scope, Handles: slices.Concat(q.Slots, q.Others), Launch: q.KnownLaunch, Hash: q.KnownHash, Patient: true})
	if err != nil {
		return PoolView{}, err
	}
	v.fill(q, workers)
	return v, nil
}

// serverFor is serverAmong, with the handle from the secret where the backend
// cannot list.
func (m *Manager) serverFor(ctx context.Context, scope Scope, servers []Member) (Server, error) {
	if m.can.Lister == nil {
		s, err := m.getSecret(ctx, scope)
		if err != nil {
			return Server{}, err
		}
		if s != nil && s.Handle != "" {
			return m.ServerStatus(ctx, scope, s.Handle)
		}
	}
	return m.serverAmong(ctx, scope, servers)
}

func (v *PoolView) fill(q PoolQuery, workers []Member) {
	slices.SortFunc(workers, func(a, b Member) int { return newest(b, a) }) // oldest first
	live := make(map[Handle]int, len(workers))                              // workers that still need a slot
	var order []Member
	for i := range workers {
		c := &workers[i]
		counts := c.Status == StatusRunning || (c.Status == StatusInitializing && q.WaitFor == WaitForNone) || isCompleted(*c, q.OnExit, v.Launch)
		if v.Launch == "" || c.Launch != v.Launch {
			v.Others = append(v.Others, perWorker([]Member{*c})...)
			continue
		}
		if c.alive() {
			v.Newest = c
		}
		if counts || c.alive() {
			v.count(*c)
		}
		if counts {
			live[c.Handle] = c.Workers
			order = append(order, *c)
			v.Started[c.Handle] = c.StartedAt
			if q.KnownHash != "" && c.SpecHash != q.KnownHash {
				v.Outdated += c.Workers
			}
		} else {
			v.Others = append(v.Others, perWorker([]Member{*c})...)
		}
	}
	v.Slots = make([]Handle, len(q.Slots))
	for i, h := range q.Slots {
		if live[h] > 0 {
			v.Slots[i] = h
			live[h]--
		}
	}
	var rest []Member
	for _, c := range order {
		if c.Workers = live[c.Handle]; c.Workers > 0 {
			rest = append(rest, c)
		}
	}
	v.Slots = fillSlots(v.Slots, rest)
	for _, h := range v.Slots {
		if h != "" {
			v.Achieved++
		}
	}
}

// Numbers are a pool's workers by status.
type Numbers struct {
	Initializing int
	Running      int
}

// WorkerNumbers counts the workers of a pool, or with an empty Pool of the
// whole cluster, that are connected to the server's current launch. Without a
// running server there are none.
func (m *Manager) WorkerNumbers(ctx context.Context, scope Scope) (Numbers, error) {
	clusters, err := m.Clusters(ctx, Selector{Namespace: scope.Namespace, Cluster: scope.Cluster})
	if err != nil || len(clusters) == 0 {
		return Numbers{}, err
	}
	var n Numbers
	for _, p := range clusters[0].Pools {
		if scope.Pool == "" || p.Name == scope.Pool {
			n.Running += p.Running
			n.Initializing += p.Initializing
		}
	}
	return n, nil
}

// ClusterExists tells whether there is a server, running or about to, under
// the cluster's name.
func (m *Manager) ClusterExists(ctx context.Context, scope Scope) (bool, error) {
	s, err := m.ServerStatus(ctx, scope, "")
	return s.Status == StatusRunning || s.Status == StatusInitializing, err
}

// Cluster is a cluster as the world shows it.
type Cluster struct {
	Namespace string
	Name      string
	Owner     string
	Framework string
	Server    Server
	// Pools in the order of their names. They count the workers of the
	// server's current launch; Members has all of them.
	Pools []Pool
	// CreatedAt is when its oldest container was made.
	CreatedAt time.Time
}

// Pool is a worker pool as the world shows it.
type Pool struct {
	Name  string
	Owner string
	PoolCounts
	Members []Member
}

// Clusters lists the clusters that a selector matches, in one list, in the
// order of namespace and name. A cluster of which only workers are left is
// among them: it has no server.
func (m *Manager) Clusters(ctx context.Context, sel Selector) ([]Cluster, error) {
	all, err := m.Containers(ctx, Selector{Namespace: sel.Namespace, Cluster: sel.Cluster})
	if err != nil {
		return nil, err
	}
	byScope := map[Scope][]Member{}
	if sel.Namespace != "" && sel.Cluster != "" {
		byScope[Scope{Namespace: sel.Namespace, Cluster: sel.Cluster}] = nil // its server may be from elsewhere
	}
	for _, c := range all {
		s := Scope{Namespace: c.Namespace, Cluster: c.Cluster}
		byScope[s] = append(byScope[s], c)
	}
	var out []Cluster
	for scope, members := range byScope {
		c, err := m.cluster(ctx, scope, members)
		if err != nil {
			return nil, err
		}
		if c.Server.Found || len(members) > 0 {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Cluster) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

func (m *Manager) cluster(ctx context.Context, scope Scope, members []Member) (Cluster, error) {
	c := Cluster{Namespace: scope.Namespace, Name: scope.Cluster}
	var servers []Member
	pools := map[string]*Pool{}
	for _, w := range members {
		if !w.CreatedAt.IsZero() && (c.CreatedAt.IsZero() || w.CreatedAt.Before(c.CreatedAt)) {
			c.CreatedAt = w.CreatedAt
		}
		if w.Role == RoleServer {
			servers = append(servers, w)
			continue
		}
		p := pools[w.Pool]
		if p == nil {
			p = &Pool{Name: w.Pool, Owner: w.Owner}
			pools[w.Pool] = p
		}
		p.Members = append(p.Members, w)
	}
	sortServers(servers)
	var err error
	if c.Server, err = m.serverAmong(ctx, scope, servers); err != nil {
		return c, err
	}
	if len(servers) > 0 && c.Server.Status == StatusRunning {
		if c.Server.Endpoint, err = m.endpoint(ctx, servers[0]); err != nil && ClassOf(err) != ClassNotFound {
			return c, err
		}
	}
	c.Owner, c.Framework = c.Server.Owner, c.Server.Framework
	for _, p := range pools {
		slices.SortFunc(p.Members, func(a, b Member) int { return newest(b, a) })
		for _, w := range p.Members {
			if w.alive() && c.Server.Status == StatusRunning && w.Launch == c.Server.Launch {
				p.count(w)
			}
		}
		if !c.Server.Found {
			c.Owner, c.Framework = p.Owner, p.Members[0].Framework
		}
		c.Pools = append(c.Pools, *p)
	}
	slices.SortFunc(c.Pools, func(a, b Pool) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

// Reconnect finds a cluster again by its name: what the container labels tell
// of its server and pools. A cluster without a server is an error of
// ClassNotFound.
func (m *Manager) Reconnect(ctx context.Context, scope Scope) (Cluster, error) {
	if err := checkScope(scope); err != nil {
		return Cluster{}, err
	}
	found, err := m.Clusters(ctx, Selector{Namespace: scope.Namespace, Cluster: scope.Cluster})
	if err != nil {
		return Cluster{}, err
	}
	if len(found) == 0 || !found[0].Server.Found {
		return Cluster{}, Errorf(ClassNotFound, "", "there is no cluster %q in namespace %q on this backend", scope.Cluster, scope.Namespace)
	}
	return found[0], nil
}
