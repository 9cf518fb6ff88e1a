// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"slices"
	"time"
)

// servers lists the server containers of a cluster, the newest alive first.
func (m *Manager) servers(ctx context.Context, scope Scope, known Handle) ([]Member, error) {
	found, err := m.Containers(ctx, Selector{Namespace: scope.Namespace, Cluster: scope.Cluster, Role: RoleServer})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && known != "" {
		if found, err = m.recall(ctx, scope, known); err != nil {
			return nil, err
		}
	}
	sortServers(found)
	return found, nil
}

// sortServers puts the one that counts first: the newest that is alive.
func sortServers(servers []Member) {
	slices.SortFunc(servers, func(a, b Member) int {
		if a.alive() != b.alive() {
			return trueFirst(a.alive())
		}
		return newest(a, b)
	})
}

// recall asks after a server that no list shows but the caller remembers.
func (m *Manager) recall(ctx context.Context, scope Scope, known Handle) ([]Member, error) {
	seen, err := m.backend.Status(ctx, []Handle{known})
	if err != nil {
		return nil, wrap(err, "asking after the server of cluster "+scope.Cluster)
	}
	o := m.timely(seen[known], time.Now())
	if !o.Known {
		return nil, nil
	}
	c := Member{Handle: known, Observation: o, Labels: Labels{Namespace: scope.Namespace, Cluster: scope.Cluster, Role: RoleServer, Owner: m.opts.Owner}}
	if s, err := m.getSecret(ctx, scope); err != nil {
		return nil, err
	} else if s != nil {
		c.Launch, c.Framework, c.Owner = s.Launch, s.Framework, s.Owner
	}
	return []Member{c}, nil
}

func serverOf(c Member, e Endpoint) Server {
	return Server{
		Found: true, Handle: c.Handle, Launch: c.Launch, Owner: c.Owner, Framework: c.Framework, SpecHash: c.SpecHash,
		Record: c.Record, Observation: c.Observation, Endpoint: e, Endpoints: c.Endpoints, Exports: c.Exports,
	}
}

// ServerStatus shows the cluster's server as it is now, in one list. Known is
// the handle the caller remembers, "" if none. It never changes anything, and
// a backend that does not answer is an error, never "stopped".
func (m *Manager) ServerStatus(ctx context.Context, scope Scope, known Handle) (Server, error) {
	if err := checkScope(scope); err != nil {
		return Server{}, err
	}
	found, err := m.servers(ctx, scope, known)
	if err != nil {
		return Server{}, err
	}
	s, err := m.serverAmong(ctx, scope, found)
	if err != nil || s.External || s.Status != StatusRunning {
		return s, err
	}
	if s.Endpoint, err = m.endpoint(ctx, found[0]); ClassOf(err) == ClassNotFound {
		return s, nil // it went just now
	}
	return s, err
}

// serverAmong picks the cluster's server out of a sorted list. Its address is
// there if the list tells it.
func (m *Manager) serverAmong(ctx context.Context, scope Scope, found []Member) (Server, error) {
	if len(found) == 0 {
		s, err := m.getSecret(ctx, scope)
		if err != nil {
			return Server{}, err
		}
		if s != nil && s.External != nil {
			return externalServer(s), nil
		}
		return Server{Observation: Observation{Status: StatusStopped, Reason: "there is no server"}}, nil
	}
	return serverOf(found[0], found[0].Endpoints[PortMain]), nil
}

// ServerEndpoint is where the cluster's server is reached.
func (m *Manager) ServerEndpoint(ctx context.Context, scope Scope) (Endpoint, error) {
	s, err := m.ServerStatus(ctx, scope, "")
	if err == nil && s.Status == StatusStopped {
		err = Errorf(ClassNotFound, "", "cluster %q has no running server", scope.Cluster)
	}
	return s.Endpoint, err
}

// StopServer stops the cluster's server containers of this owner and leaves
// the workers. To remove a whole cluster use [Manager.Cleanup].
func (m *Manager) StopServer(ctx context.Context, scope Scope, known Handle) error {
	if err := checkScope(scope); err != nil {
		return err
	}
	found, err := m.servers(ctx, scope, known)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(c Member) bool { return c.Owner != m.opts.Owner && c.Handle != known })
	return m.kill(ctx, handlesOf(found))
}

// checkScope refuses an empty selector: it would mean everything.
func checkScope(s Scope) error {
	if s.Namespace == "" || s.Cluster == "" {
		return Errorf(ClassInvalid, "", "namespace and cluster may not be empty")
	}
	return nil
}
