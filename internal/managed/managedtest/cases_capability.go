// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// capabilityCases are about what a backend can do beyond the three verbs.
func capabilityCases() []testCase {
	return []testCase{
		{"decorated_backend_can_the_same", nil, decoratedCanTheSame},
		{"tables_accept_the_templates", nil, tablesAccept},
		{"preflight", []Capability{CapPreflighter}, preflight},
		{"free_port", []Capability{CapPortPicker}, freePort},
		{"prepare_and_cleanup", []Capability{CapPreparer}, prepareAndCleanup},
		{"secret_store", []Capability{CapSecretStore}, secretStore},
		{"secrets_stay_secret", []Capability{CapLister, CapSecretStore}, secretsStaySecret},
		{"log_of_a_container", []Capability{CapLogReader}, logOfContainer},
		{"endpoint_and_dial", []Capability{CapEndpointer}, endpointAndDial},
		{"artifacts_are_listed_and_killed", []Capability{CapLister, CapPreparer, CapArtifactKiller}, artifacts},
	}
}

func decoratedCanTheSame(l *lab) {
	calls := map[string]int{}
	around := func(ctx context.Context, c *managed.Call, next func(context.Context) error) error {
		l.mu.Lock()
		calls[c.Verb]++
		l.mu.Unlock()
		return next(ctx)
	}
	d := managed.Decorate(managed.Decorate(l.backend, around), around)
	if got, want := Shown(managed.CapabilitiesOf(d)), Shown(l.can); !slices.Equal(got, want) {
		l.Errorf("decorated it can %v, bare %v", got, want)
	}
	if d.Properties() != l.backend.Properties() {
		l.Errorf("decorated it has other properties")
	}
	m := managed.NewManager(&watch{Backend: d, l: l}, managed.Options{Owner: owner})
	_, server := l.startServer(m, l.scope)
	p := l.pool(m, l.scope, "w", server)
	p.must(2)
	p.must(0)
	l.must(errOf(m.Cleanup(l.ctx, managed.CleanupRequest{Scope: l.scope, Known: []managed.Handle{server.Handle}})), "Cleanup through decorators")
	l.checkNothingLeft(l.ctx, l.scope)
	if log := managed.CapabilitiesOf(d).LogReader; log != nil {
		if _, err := log.Tail(l.ctx, "no-such-container", 1); managed.ClassOf(err) != managed.ClassNotFound {
			l.Errorf("a decorated error lost its class: %v", err)
		}
	}
	if calls["run"] < 4 || calls["run"]%2 != 0 {
		l.Errorf("two decorators saw %d Runs", calls["run"])
	}
}

func tablesAccept(l *lab) {
	for role, t := range map[managed.Role]managed.Template{
		managed.RoleServer: l.suite.Server.Template, managed.RoleWorker: l.suite.Worker,
	} {
		if l.can.Validator != nil {
			spec := managed.ContainerSpec{
				Image: t.Image, Entrypoint: t.Entrypoint, Command: t.Command, Environment: t.Environment, Hardware: t.Hardware,
				StopSignal: t.StopSignal, StopGrace: t.StopGrace, Options: t.Options,
			}
			for _, p := range l.can.Validator.Validate(role, spec) {
				if !p.Warning {
					l.Errorf("the suite's %s is refused: %s: %s", role, p.Attribute, p.Detail)
				}
			}
		}
		if l.can.Packer != nil {
			if n := l.can.Packer.MaxWorkersPerContainer(t.Hardware); n < 1 {
				l.Errorf("%d workers fit into a container", n)
			}
		}
	}
}

func preflight(l *lab) {
	req := l.request(inPool(l.scope, "w"), l.suite.Worker, 1)
	l.prepare(req.Scope)
	for range 2 {
		l.must(l.can.Preflighter.Preflight(l.ctx, req, nil), "Preflight")
	}
	if l.startedSoFar() != 0 || len(l.listed(l.scope)) != 0 {
		l.Errorf("Preflight started something")
	}
}

func freePort(l *lab) {
	for range 3 {
		port, err := l.can.PortPicker.FreePort(l.ctx)
		l.must(err, "FreePort")
		if port < 1024 || port > 65535 {
			l.Errorf("FreePort answered %d", port)
		}
	}
}

func prepareAndCleanup(l *lab) {
	p, pool := l.can.Preparer, inPool(l.scope, "w")
	for range 2 {
		l.must(p.Prepare(l.ctx, l.scope, nil), "Prepare of a cluster")
		l.must(p.Prepare(l.ctx, pool, nil), "Prepare of a pool")
	}
	req := l.request(pool, l.suite.Worker, 1)
	h := l.run(req)[0]
	// In use, so nothing happens.
	l.must(errOf(p.Cleanup(l.ctx, pool, false)), "Cleanup of a pool in use")
	l.must(errOf(p.Cleanup(l.ctx, l.scope, false)), "Cleanup of a cluster in use")
	l.must(errOf(p.Cleanup(l.ctx, l.scope, true)), "deep Cleanup of a cluster in use")
	if o := l.statusOf(h, managed.StatusRunning); o.Status != managed.StatusRunning {
		l.Errorf("cleaning up what is in use stopped a container")
	}
	l.run(l.again(req, 1)) // and it still can be used
	l.must(l.backend.Kill(l.ctx, l.handlesIn(l.scope)), "Kill")
	l.checkNothingLeft(l.ctx, pool)
	for range 2 {
		l.must(errOf(p.Cleanup(l.ctx, pool, false)), "Cleanup of a pool")
		l.must(errOf(p.Cleanup(l.ctx, l.scope, false)), "shallow Cleanup")
		l.must(errOf(p.Cleanup(l.ctx, l.scope, true)), "deep Cleanup")
	}
	l.checkNothingLeft(l.ctx, l.scope)
}

func secretStore(l *lab) {
	s := l.can.SecretStore
	other := l.cluster("other")
	labels := func(scope managed.Scope) map[string]string {
		return managed.Labels{Namespace: scope.Namespace, Cluster: scope.Cluster, Owner: owner}.Map()
	}
	get := func(scope managed.Scope, want []byte, when string) {
		l.eventually(l.ctx, "GetSecret "+when, func() string {
			b, err := s.GetSecret(l.ctx, scope)
			l.must(err, "GetSecret")
			if !bytes.Equal(b, want) || want == nil && b != nil {
				return sprintf("%d bytes came back, not %d", len(b), len(want))
			}
			return ""
		})
	}
	l.prepare(l.scope)
	l.prepare(other)
	get(l.scope, nil, "before there is one")
	l.must(s.DeleteSecret(l.ctx, l.scope), "DeleteSecret of nothing")
	first, second := []byte(`{"password":"grün $HOME \"'"}`), bytes.Repeat([]byte("0123456789abcdef"), 256)
	l.must(s.PutSecret(l.ctx, l.scope, first, labels(l.scope)), "PutSecret")
	get(l.scope, first, "after a put")
	l.must(s.PutSecret(l.ctx, l.scope, second, labels(l.scope)), "PutSecret again")
	get(l.scope, second, "after a replacement by 4 KB")
	l.must(s.PutSecret(l.ctx, other, first, labels(other)), "PutSecret of another cluster")
	l.must(s.DeleteSecret(l.ctx, l.scope), "DeleteSecret")
	get(l.scope, nil, "after a delete")
	get(other, first, "of another cluster")
	l.must(s.DeleteSecret(l.ctx, l.scope), "DeleteSecret twice")
	l.must(s.PutSecret(l.ctx, l.scope, first, labels(l.scope)), "PutSecret after a delete")
	get(l.scope, first, "after a put, a delete and a put")
}

func secretsStaySecret(l *lab) {
	password := "hush-" + strings.TrimPrefix(l.scope.Cluster, "c-")
	m := l.client(owner, nil)
	req := l.serverRequest(l.scope)
	req.Password = managed.Secret(password)
	s, err := m.RunServer(l.ctx, req)
	l.must(err, "RunServer")
	server, err := m.ConnectServer(l.ctx, l.scope, s.Launch)
	l.must(err, "ConnectServer")
	if server.Password.Reveal() != password {
		l.Errorf("the password that was given is not the one that is kept")
	}
	p := l.pool(m, l.scope, "w", server)
	p.must(1)
	inv, err := l.can.Lister.List(l.ctx, managed.Selector{Namespace: l.scope.Namespace, Cluster: l.scope.Cluster, Artifacts: true})
	l.must(err, "List")
	shown, err := json.Marshal(inv)
	l.must(err, "encoding the inventory")
	if strings.Contains(string(shown), password) {
		l.Errorf("the password is in what List shows")
	}
	for _, r := range l.requests {
		spec := r.Spec
		spec.SecretEnvironment = nil
		shown, err := json.Marshal(spec)
		l.must(err, "encoding a spec")
		if strings.Contains(string(shown), password) {
			l.Errorf("the password is in a %s's spec outside of the secret environment", r.Role)
		}
		if !slices.Contains(slices.Collect(maps.Values(r.Spec.SecretEnvironment)), password) {
			l.Errorf("the password is not in a %s's secret environment", r.Role)
		}
	}
}

func logOfContainer(l *lab) {
	h := l.start(inPool(l.scope, "w"), l.suite.FailingWorker, 1)[0]
	l.statusOf(h, managed.StatusStopped)
	l.eventually(l.ctx, "the log of what has ended", func() string {
		lines, err := l.can.LogReader.Tail(l.ctx, h, 5)
		l.must(err, "Tail")
		for _, c := range l.listed(l.scope) {
			if c.Handle == h && c.Name != "" && !slices.Contains(lines, c.Name) {
				return sprintf("the container is named %q and prints %q", c.Name, lines)
			}
		}
		if len(lines) > 5 || !strings.Contains(strings.Join(lines, "\n"), l.suite.FailingLine) || len(lines) == 0 {
			return sprintf("%q", lines)
		}
		return ""
	})
	if _, err := l.can.LogReader.Tail(l.ctx, "no-such-container", 5); managed.ClassOf(err) != managed.ClassNotFound {
		l.Errorf("Tail of an unknown handle: %v (class %q)", err, managed.ClassOf(err))
	}
}

func endpointAndDial(l *lab) {
	m := l.client(owner, nil)
	s, server := l.startServer(m, l.scope)
	e, err := l.can.Endpointer.Endpoint(l.ctx, s.Handle, managed.PortMain)
	l.must(err, "Endpoint")
	if e != s.Endpoint {
		l.Errorf("the endpoint is %+v, and was %+v", e, s.Endpoint)
	}
	if (e.PrivateIP == "") != (e.PrivatePort == 0) || (e.PublicIP == "") != (e.PublicPort == 0) || e.PrivateIP == "" && e.PublicIP == "" {
		l.Errorf("the endpoint %+v has no whole pair", e)
	}
	if server.Host == "" || server.Port == 0 {
		l.Errorf("workers cannot reach the server at %q:%d", server.Host, server.Port)
	}
	if l.can.Prober != nil {
		conn, err := l.can.Prober.Dial(l.ctx, s.Handle, managed.PortMain)
		l.must(err, "Dial")
		l.must(conn.Close(), "Close")
		short, cancel := context.WithTimeout(l.ctx, 5*time.Second)
		defer cancel()
		if conn, err := l.can.Prober.Dial(short, "no-such-container", managed.PortMain); err == nil {
			_ = conn.Close() // it should not be there
			l.Errorf("a container that does not exist takes connections")
		}
	}
	l.killOutside(s.Handle)
	short, cancel := context.WithTimeout(l.ctx, 5*time.Second)
	defer cancel()
	if e, err := l.can.Endpointer.Endpoint(short, s.Handle, managed.PortMain); err == nil || short.Err() != nil {
		l.Errorf("the endpoint of a container that has stopped is %+v (%v)", e, err)
	}
}

func artifacts(l *lab) {
	l.must(l.can.Preparer.Prepare(l.ctx, l.scope, nil), "Prepare")
	m := l.client(owner, nil)
	sel := managed.Selector{Namespace: l.scope.Namespace, Cluster: l.scope.Cluster}
	left, err := m.Leftovers(l.ctx, sel)
	l.must(err, "Leftovers")
	for _, a := range left.Artifacts {
		if a.Kind == "" || a.ID == "" {
			l.Errorf("an artifact without a kind or an id: %+v", a)
		}
	}
	for range 2 {
		l.must(m.Sweep(l.ctx, left), "Sweep")
	}
	l.checkNothingLeft(l.ctx, l.scope)
}
