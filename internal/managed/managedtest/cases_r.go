// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"context"
	"slices"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// rCases are the tests of the R packages; see allCases for what became of each.
func rCases() []testCase {
	lister := []Capability{CapLister}
	return []testCase{
		{"T1-T10_life", nil, life},
		{"T11-T19_reconnect", lister, reconnect},
		{"D1_connect_before_server", nil, connectBeforeServer},
		{"D2_show_never_fails", lister, showNeverFails},
		{"D4_server_alone", nil, serverAlone},
		{"D5_workers", nil, workers},
		{"D6_update", nil, update},
		{"D7_credentials", lister, credentials},
		{"D9_reconnect_counts", lister, reconnectCounts},
		{"D10_reconnect_to_nothing", nil, reconnectToNothing},
		{"P1_server_from_elsewhere", nil, serverFromElsewhere},
	}
}

// numbers are a cluster's workers, which are known from a list alone.
func (l *lab) numbers(m *managed.Manager, scope managed.Scope, want int, step string) {
	if l.can.Lister == nil {
		return
	}
	l.eventually(l.ctx, step, func() string {
		n, err := m.WorkerNumbers(l.ctx, scope)
		l.must(err, "%s: WorkerNumbers", step)
		if n.Running+n.Initializing != want {
			return sprintf("%d running and %d initializing workers, not %d", n.Running, n.Initializing, want)
		}
		return ""
	})
}

func (l *lab) exists(m *managed.Manager, scope managed.Scope, want bool, step string) {
	if l.can.Lister == nil {
		return
	}
	l.eventually(l.ctx, step, func() string {
		got, err := m.ClusterExists(l.ctx, scope)
		l.must(err, "%s: ClusterExists", step)
		if got != want {
			return sprintf("ClusterExists is %t", got)
		}
		return ""
	})
}

func life(l *lab) {
	m := l.client(owner, nil)
	for range 2 { // T1 to T4
		l.numbers(m, l.scope, 0, "T2, T4")
		l.exists(m, l.scope, false, "T3")
	}
	s, server := l.startServer(m, l.scope) // T5 and T7
	l.exists(m, l.scope, true, "T5")
	l.numbers(m, l.scope, 0, "T5")
	p := l.pool(m, l.scope, "w", server)
	p.must(5) // T6
	l.numbers(m, l.scope, 5, "T6")
	l.must(l.answers(m, s), "T7: the server does not answer")
	p.must(0) // T8
	l.numbers(m, l.scope, 0, "T8")
	l.must(m.StopServer(l.ctx, l.scope, s.Handle), "T9: StopServer")
	l.exists(m, l.scope, false, "T9")
	if alive := l.alive(l.ctx, l.handlesIn(l.scope)); len(alive) > 0 {
		l.Errorf("T10: still alive: %s", joined(alive))
	}
	// D8: and once more is no error.
	l.must(m.StopServer(l.ctx, l.scope, s.Handle), "StopServer twice")
}

// answers tells whether the server takes a connection.
func (l *lab) answers(m *managed.Manager, s managed.Server) error {
	if _, err := m.ConnectServer(l.ctx, l.scope, s.Launch); err != nil {
		return err
	}
	if l.can.Prober == nil {
		return nil
	}
	conn, err := l.can.Prober.Dial(l.ctx, s.Handle, managed.PortMain)
	if err != nil {
		return err
	}
	return conn.Close()
}

func reconnect(l *lab) {
	m := l.client(owner, nil)
	_, server := l.startServer(m, l.scope)
	l.pool(m, l.scope, "w", server).must(1)
	l.numbers(m, l.scope, 1, "T11")

	l.must(errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope})), "T12: Cleanup")
	l.checkNothingLeft(l.ctx, l.scope)

	m = l.client(owner, nil)
	l.exists(m, l.scope, false, "T13")
	s, server := l.startServer(m, l.scope)
	l.pool(m, l.scope, "w", server).must(1)
	l.numbers(m, l.scope, 1, "T14")

	m = l.client(owner, nil) // T15
	l.exists(m, l.scope, true, "T16")
	c, err := m.Reconnect(l.ctx, l.scope)
	l.must(err, "T17: Reconnect")
	if c.Server.Handle != s.Handle || c.Server.Launch != s.Launch || c.Server.Status != managed.StatusRunning || c.Owner != owner {
		l.Errorf("T17: Reconnect found the server %+v, not %s", c.Server, s.Handle)
	}
	if len(c.Pools) != 1 || c.Pools[0].Name != "w" || c.Pools[0].Running+c.Pools[0].Initializing != 1 {
		l.Errorf("T17: Reconnect found the pools %+v", c.Pools)
	}
	v, err := m.PoolStatus(l.ctx, managed.PoolQuery{Scope: inPool(l.scope, "w")})
	l.must(err, "T17: PoolStatus")
	if v.Achieved != 1 || len(v.Slots) != 1 || v.Newest == nil {
		l.Errorf("T17: PoolStatus shows %+v", v)
	}
	again, err := m.ConnectServer(l.ctx, l.scope, "")
	l.must(err, "T17: ConnectServer")
	if again != server {
		l.Errorf("T17: the server is reached in another way than before, or with another password")
	}

	l.must(errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope})), "T18: Cleanup")
	l.exists(m, l.scope, false, "T18")
	l.numbers(m, l.scope, 0, "T18")
	l.checkNothingLeft(l.ctx, l.scope) // T19
}

func connectBeforeServer(l *lab) {
	ctx, cancel := context.WithTimeout(l.ctx, 300*time.Millisecond)
	defer cancel()
	if a, err := l.client(owner, nil).ConnectServer(ctx, l.scope, ""); err == nil {
		l.Errorf("connected to a server that does not exist: %s:%d", a.Host, a.Port)
	}
}

func showNeverFails(l *lab) {
	m := l.client(owner, nil)
	show := func(when string) {
		_, err := m.ServerStatus(l.ctx, l.scope, "")
		l.must(err, "ServerStatus %s", when)
		_, err = m.PoolStatus(l.ctx, managed.PoolQuery{Scope: inPool(l.scope, "w")})
		l.must(err, "PoolStatus %s", when)
		_, err = m.WorkerNumbers(l.ctx, l.scope)
		l.must(err, "WorkerNumbers %s", when)
		_, err = m.Clusters(l.ctx, managed.Selector{Namespace: l.scope.Namespace, Cluster: l.scope.Cluster})
		l.must(err, "Clusters %s", when)
		_, err = m.ClusterExists(l.ctx, l.scope)
		l.must(err, "ClusterExists %s", when)
		_, err = m.Credentials(l.ctx, l.scope)
		l.must(err, "Credentials %s", when)
		_, err = m.Leftovers(l.ctx, managed.Selector{Namespace: l.scope.Namespace, Cluster: l.scope.Cluster})
		l.must(err, "Leftovers %s", when)
	}
	show("of nothing")
	if l.startedSoFar() > 0 {
		l.Errorf("a look started something")
	}
	l.numbers(m, l.scope, 0, "D3")
	s, server := l.startServer(m, l.scope)
	show("of a server")
	l.pool(m, l.scope, "w", server).must(2)
	show("of a cluster")
	l.killOutside(s.Handle)
	show("of a cluster whose server was killed")
	l.must(m.StopServer(l.ctx, l.scope, s.Handle), "StopServer")
	show("of workers without a server")
}

func serverAlone(l *lab) {
	m := l.client(owner, nil)
	req := l.serverRequest(l.scope)
	req.Server.Record = managed.Record{Spec: []byte(`{"image":"as written"}`)}
	s, err := m.RunServer(l.ctx, req)
	l.must(err, "RunServer")
	l.numbers(m, l.scope, 0, "D4")
	if (s.Endpoint.PrivateIP == "") != (s.Endpoint.PrivatePort == 0) || (s.Endpoint.PublicIP == "") != (s.Endpoint.PublicPort == 0) {
		l.Errorf("the endpoint has half a pair: %+v", s.Endpoint)
	}
	seen, err := m.ServerStatus(l.ctx, l.scope, s.Handle)
	l.must(err, "ServerStatus")
	if seen.Handle != s.Handle || seen.Endpoint != s.Endpoint || seen.Launch != s.Launch || seen.Status != managed.StatusRunning {
		l.Errorf("ServerStatus shows %+v after RunServer returned %+v", seen, s)
	}
	if l.can.Lister == nil {
		return
	}
	if r, err := managed.ParseRecord(seen.Record); err != nil || string(r.Spec) != string(req.Server.Record.Spec) {
		l.Errorf("the record came back as %q (%v)", r.Spec, err)
	}
	if seen.SpecHash != req.Server.Hash() || seen.Framework != l.suite.Framework.Name() || seen.Owner != owner {
		l.Errorf("the server came back as %+v", seen)
	}
}

func workers(l *lab) {
	m := l.client(owner, nil)
	_, server := l.startServer(m, l.scope)
	p := l.pool(m, l.scope, "w", server)
	res := p.must(5)
	if len(containersOf(res.Slots)) != 5 {
		l.Errorf("5 workers, one in each container, are in %d", len(containersOf(res.Slots)))
	}
	for h, at := range res.Started {
		if !at.IsZero() && time.Since(at) > time.Hour {
			l.Errorf("%s started at %v", h, at)
		}
	}
	for _, r := range l.requests {
		if r.Role == managed.RoleWorker && (r.Spec.Image != l.suite.Worker.Image || r.Spec.Workers != 1 ||
			r.Spec.Environment[managed.EnvServerHost] != server.Host || r.Spec.Environment[managed.EnvQueue] != l.scope.Cluster) {
			l.Errorf("a worker was asked for with image %q, %d workers and the environment %v", r.Spec.Image, r.Spec.Workers, r.Spec.Environment)
		}
	}
}

func update(l *lab) {
	m := l.client(owner, nil)
	s, server := l.startServer(m, l.scope)
	p := l.pool(m, l.scope, "w", server)
	before := p.must(2)
	n := l.startedSoFar()
	after := p.must(2)
	if !slices.Equal(before.Slots, after.Slots) || l.startedSoFar() != n {
		l.Errorf("an update of nothing made %q into %q", before.Slots, after.Slots)
	}
	l.must(m.StopServer(l.ctx, l.scope, s.Handle), "StopServer")
	l.numbers(m, l.scope, 0, "after a stop")
}

func credentials(l *lab) {
	m := l.client(owner, nil)
	c, err := m.Credentials(l.ctx, l.scope)
	l.must(err, "Credentials of nothing")
	if c != nil {
		l.Fatalf("there are credentials of a cluster that does not exist")
	}
	s, server := l.startServer(m, l.scope)
	c, err = l.client("somebody", nil).Credentials(l.ctx, l.scope)
	l.must(err, "Credentials")
	if c == nil {
		l.Fatalf("there are no credentials")
	}
	if c.Password != server.Password || c.Endpoint != s.Endpoint || c.Launch != s.Launch || c.Framework != l.suite.Framework.Name() {
		l.Errorf("the credentials are for %s at %+v, password right: %t", c.Framework, c.Endpoint, c.Password == server.Password)
	}
}

func reconnectCounts(l *lab) {
	for _, n := range []int{5, 0} {
		scope := l.cluster("d9")
		m := l.client(owner, nil)
		_, server := l.startServer(m, scope)
		l.pool(m, scope, "w", server).must(n)
		second := l.client(owner, nil)
		l.exists(second, scope, true, "D9")
		_, err := second.Reconnect(l.ctx, scope)
		l.must(err, "D9: Reconnect")
		l.numbers(second, scope, n, "D9")
	}
}

func reconnectToNothing(l *lab) {
	m := l.client(owner, nil)
	if _, err := m.Reconnect(l.ctx, l.scope); managed.ClassOf(err) != managed.ClassNotFound {
		l.Errorf("D10: Reconnect to nothing: %v (class %q)", err, managed.ClassOf(err))
	}
	l.exists(m, l.scope, false, "D10")
}

func serverFromElsewhere(l *lab) {
	m := l.client(owner, nil)
	req := l.serverRequest(l.scope)
	req.Server.SameLAN = false
	req.External = &managed.External{
		Endpoint: managed.Endpoint{PublicIP: "192.0.2.7", PublicPort: 7001, PrivateIP: "10.255.0.7", PrivatePort: 7002},
		Password: "theirs",
	}
	s, err := m.RunServer(l.ctx, req)
	l.must(err, "RunServer")
	if !s.Found || !s.External || s.Handle != "" || s.Status != managed.StatusRunning || l.startedSoFar() != 0 {
		l.Fatalf("RunServer made of a server from elsewhere %+v, and started %d containers", s, l.startedSoFar())
	}
	l.exists(m, l.scope, true, "P1")
	server, err := m.ConnectServer(l.ctx, l.scope, s.Launch)
	l.must(err, "ConnectServer")
	if server.Host != "192.0.2.7" || server.Port != 7001 || server.Password.Reveal() != "theirs" {
		l.Errorf("workers are told of %s:%d, its own password: %t", server.Host, server.Port, server.Password == "theirs")
	}
	p := l.pool(m, l.scope, "w", server)
	p.must(4)
	l.numbers(m, l.scope, 4, "P1")
	for _, r := range l.requests {
		if r.Spec.Environment[managed.EnvServerHost] != "192.0.2.7" || r.Spec.Environment[managed.EnvServerPort] != "7001" ||
			r.Spec.SecretEnvironment[managed.EnvServerPassword] != "theirs" {
			l.Errorf("a worker's environment is %v", r.Spec.Environment)
		}
	}
	l.must(m.StopServer(l.ctx, l.scope, ""), "StopServer")
	l.exists(m, l.scope, true, "P1, after StopServer")
	p.must(4)
	p.must(0)
	p.destroy()
	l.must(errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope})), "Cleanup")
	l.checkNothingLeft(l.ctx, l.scope)
}
