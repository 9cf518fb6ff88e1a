// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv/apiproxy"
)

// bench is a backend behind a proxy, in a namespace of its own, that leaves
// nothing behind.
type bench struct {
	*Backend
	t       *testing.T
	proxy   *apiproxy.Proxy
	outside *client.Client
	image   string
	scope   managed.Scope
}

func newBench(t *testing.T, cfg Config) *bench {
	t.Helper()
	testenv.Need(t, testenv.Docker)
	return newBenchWith(t, cfg, testenv.Image(t, testenv.DockerHost()))
}

// newBenchWith uses an image that is there.
func newBenchWith(t *testing.T, cfg Config, image string) *bench {
	t.Helper()
	return newBenchOn(t, testenv.DockerHost(), cfg, image)
}

// newBenchOn is on an engine of its own.
func newBenchOn(t *testing.T, host string, cfg Config, image string) *bench {
	t.Helper()
	proxy := testenv.StartAPIProxy(t, host)
	cfg.Host = proxy.Host
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &bench{
		Backend: b, t: t, proxy: proxy, outside: testenv.Engine(t, host), image: image,
		scope: managed.Scope{Namespace: "bench-" + strings.ToLower(rand.Text()[:8]), Cluster: "sim", Pool: "pool"},
	}
	t.Cleanup(func() {
		proxy.Intercept(nil)
		s.clean()
		_ = b.Close()
	})
	return s
}

// clean removes the cluster as the core does, and fails the test if something
// is left.
func (s *bench) clean() {
	s.t.Helper()
	ctx := context.Background()
	var handles []managed.Handle
	for _, c := range s.all() {
		handles = append(handles, managed.Handle(c.ID))
	}
	if err := s.Kill(ctx, handles); err != nil {
		s.t.Error(err)
	}
	cluster := managed.Scope{Namespace: s.scope.Namespace, Cluster: s.scope.Cluster}
	if err := s.DeleteSecret(ctx, cluster); err != nil {
		s.t.Error(err)
	}
	if left, err := s.Cleanup(ctx, cluster, true); err != nil || len(left) > 0 {
		s.t.Error(left, err)
	}
	if left := append(s.all(), s.networks()...); len(left) > 0 {
		s.t.Errorf("left behind: %v", left)
	}
}

type thing struct{ ID, Name, State, Token string }

// all containers of the namespace, the helpers too.
func (s *bench) all() []thing {
	s.t.Helper()
	res, err := s.outside.ContainerList(context.Background(), client.ContainerListOptions{All: true, Filters: s.mine()})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []thing
	for _, c := range res.Items {
		all = append(all, thing{c.ID, strings.Join(c.Names, ","), string(c.State), c.Labels[managed.LabelToken]})
	}
	return all
}

func (s *bench) networks() []thing {
	s.t.Helper()
	res, err := s.outside.NetworkList(context.Background(), client.NetworkListOptions{Filters: s.mine()})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []thing
	for _, n := range res.Items {
		all = append(all, thing{ID: n.ID, Name: n.Name})
	}
	return all
}

func (s *bench) mine() client.Filters {
	return make(client.Filters).Add("label", managed.LabelNamespace+"="+s.scope.Namespace)
}

// worker is a request for one.
func (s *bench) worker(command ...string) managed.RunRequest {
	if len(command) == 0 {
		command = []string{"sleep", "1000"}
	}
	return s.request(managed.RoleWorker, s.scope, managed.ContainerSpec{Image: s.image, Command: command, Workers: 1})
}

func (s *bench) server(command ...string) managed.RunRequest {
	scope := s.scope
	scope.Pool = ""
	if len(command) == 0 {
		command = []string{"/node", "server"}
	}
	return s.request(managed.RoleServer, scope, managed.ContainerSpec{
		Image: s.image, Command: command, Environment: map[string]string{"DOCKERPARALLEL_SERVER_PORT": "7000"},
		Ports: []managed.Port{{Name: managed.PortMain, Number: 7000}},
	})
}

func (s *bench) request(role managed.Role, scope managed.Scope, spec managed.ContainerSpec) managed.RunRequest {
	token := strings.ToLower(rand.Text()[:12])
	spec.Labels = managed.Labels{Namespace: scope.Namespace, Cluster: scope.Cluster, Pool: scope.Pool, Role: role, Workers: spec.Workers, Token: token}.Map()
	return managed.RunRequest{Scope: scope, Role: role, Spec: spec, Count: 1, Token: token}
}

func (s *bench) run(req managed.RunRequest) managed.Handle {
	s.t.Helper()
	handles, err := s.Run(s.t.Context(), req)
	if err != nil || len(handles) != 1 {
		s.t.Fatalf("%v, %v", handles, err)
	}
	return handles[0]
}

func (s *bench) inspectOutside(h managed.Handle) container.InspectResponse {
	s.t.Helper()
	res, err := s.outside.ContainerInspect(s.t.Context(), string(h), client.ContainerInspectOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.Container
}

// TestCalls counts what the engine is asked: two calls for each container, one
// list for a look at all of them.
func TestCalls(t *testing.T) {
	s := newBench(t, Config{})
	ctx := t.Context()
	if err := s.Prepare(ctx, s.scope, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Preflight(ctx, s.worker(), nil); err != nil {
		t.Fatal(err)
	}
	s.proxy.Take()
	const n = 12
	var handles []managed.Handle
	for range n {
		handles = append(handles, s.run(s.worker()))
	}
	wantCalls(t, "starting", s.proxy.Take().Calls, map[string]int{"POST containers/create": n, "POST containers/one/start": n})
	if seen, err := s.Status(ctx, handles); err != nil || len(seen) != n {
		t.Error(seen, err)
	}
	wantCalls(t, "looking", s.proxy.Take().Calls, map[string]int{"GET containers/json": 1})
	if inv, err := s.List(ctx, managed.Selector{Namespace: s.scope.Namespace}); err != nil || len(inv.Containers) != n {
		t.Error(inv, err)
	}
	wantCalls(t, "listing", s.proxy.Take().Calls, map[string]int{"GET containers/json": 1})
	if _, err := s.Status(ctx, handles[:1]); err != nil {
		t.Error(err)
	}
	wantCalls(t, "looking at one", s.proxy.Take().Calls, map[string]int{"GET containers/one/json": 1})
	if err := s.Kill(ctx, handles); err != nil {
		t.Error(err)
	}
	calls := s.proxy.Take().Calls
	if calls["DELETE containers/one"] != n || calls["POST containers/one/kill"] > n || calls["GET containers/json"] > 8 {
		t.Errorf("killing took %v", calls)
	}
}

func wantCalls(t *testing.T, what string, got, want map[string]int) {
	t.Helper()
	maps.DeleteFunc(got, func(name string, _ int) bool {
		return slices.Contains([]string{"GET _ping", "HEAD _ping", "GET info", "GET version"}, name)
	}) // what is asked only once
	if !maps.Equal(got, want) {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

// TestStrangersName: a container of somebody else's has the very name that
// ours was to have.
func TestStrangersName(t *testing.T) {
	s := newBench(t, Config{})
	stranger := ""
	s.proxy.Intercept(func(call string, _ http.ResponseWriter, r *http.Request) apiproxy.Verdict {
		if call == "POST containers/create" && stranger == "" {
			made, err := s.outside.ContainerCreate(context.Background(), client.ContainerCreateOptions{
				Name: r.URL.Query().Get("name"), Config: &container.Config{Image: s.image, Cmd: []string{"sleep", "1000"}},
			})
			if err != nil {
				t.Error(err)
			}
			stranger = made.ID
		}
		return apiproxy.Forward
	})
	h := s.run(s.worker())
	ours, theirs := s.inspectOutside(h), s.inspectOutside(managed.Handle(stranger))
	if string(h) == stranger || !strings.HasPrefix(ours.Name, theirs.Name+"-") || !ours.State.Running || theirs.State.Status != container.StateCreated {
		t.Errorf("ours is %s (%s), the stranger's %s (%s)", ours.Name, ours.State.Status, theirs.Name, theirs.State.Status)
	}
	if _, err := s.outside.ContainerRemove(t.Context(), stranger, client.ContainerRemoveOptions{Force: true}); err != nil {
		t.Error(err)
	}
}

// TestOneNetwork: programs that begin a cluster at the same time end in one
// network.
func TestOneNetwork(t *testing.T) {
	s := newBench(t, Config{})
	const n = 6
	errs := make(chan error, n)
	for range n {
		b, err := New(Config{Config: engine.Config{Host: testenv.DockerHost()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		go func() {
			err := b.Prepare(context.Background(), s.scope, nil)
			if err == nil {
				_, err = b.Run(context.Background(), s.worker())
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	networks := s.networks()
	if len(networks) != 1 || len(s.all()) != n {
		t.Fatalf("networks %v, containers %v", networks, s.all())
	}
	for _, c := range s.all() {
		for _, e := range s.inspectOutside(managed.Handle(c.ID)).NetworkSettings.Networks {
			if e.NetworkID != networks[0].ID {
				t.Errorf("%s is in the network %s", c.Name, e.NetworkID)
			}
		}
	}
}

// TestPublish: on the loopback unless told otherwise; a port that is taken is
// found out before anything is touched.
func TestPublish(t *testing.T) {
	s := newBench(t, Config{})
	req := s.server()
	req.Spec.Ports[0].Publish = &managed.Publish{Address: "127.0.0.1"}
	req.Spec.Ports = append(req.Spec.Ports, managed.Port{Name: "ui", Number: 7001, Publish: &managed.Publish{Address: "127.0.0.1"}}, managed.Port{Name: "inner", Number: 7002})
	h := s.run(req)
	var e managed.Endpoint
	testenv.Eventually(t, "the published port", func() bool {
		var err error
		e, err = s.Endpoint(t.Context(), h, managed.PortMain)
		return err == nil && e.PublicPort != 0
	})
	if e.PublicIP != "127.0.0.1" || e.PrivatePort != 7000 || e.PrivateIP != serverAlias(s.scope.Namespace, s.scope.Cluster) {
		t.Errorf("the endpoint is %+v", e)
	}
	inv, err := s.List(t.Context(), managed.Selector{Namespace: s.scope.Namespace})
	if err != nil || len(inv.Containers) != 1 {
		t.Fatalf("%+v, %v", inv, err)
	}
	for name, public := range map[string]bool{managed.PortMain: true, "ui": true, "inner": false} {
		one, err := s.Endpoint(t.Context(), h, name)
		if err != nil || (one.PublicPort != 0) != public || name != managed.PortMain && one.PublicPort == e.PublicPort {
			t.Errorf("the endpoint of %q is %+v (%v)", name, one, err)
		}
		if listed := inv.Containers[0].Endpoints[name]; listed != one {
			t.Errorf("the list has %+v for %q, not %+v", listed, name, one)
		}
	}
	// Without a way to the container's network and without exec, the
	// published port is asked.
	s.far = true
	s.proxy.Intercept(func(call string, w http.ResponseWriter, _ *http.Request) apiproxy.Verdict {
		if strings.HasSuffix(call, "/exec") {
			http.Error(w, `{"message":"exec is not allowed here: executable file not found"}`, http.StatusForbidden)
			return apiproxy.Answered
		}
		return apiproxy.Forward
	})
	again := s.server()
	again.Spec.Ports[0].Publish = &managed.Publish{Address: "127.0.0.1", Port: e.PublicPort}
	testenv.WantError(t, s.Preflight(t.Context(), again, nil), managed.ClassConflict, "publish", fmt.Sprint(e.PublicPort))
	if err := s.Preflight(t.Context(), again, []managed.Handle{h}); err != nil {
		t.Errorf("the port of the container that is replaced: %v", err)
	}
}

// TestReadiness: a health check decides; else the port; and where nobody can
// look, it says so.
func TestReadiness(t *testing.T) {
	s := newBench(t, Config{})
	ctx := t.Context()
	req := s.server()
	req.Spec.Options = Options{HealthCheck: &HealthCheck{Command: []string{"/bin/sh", "-c", "[ -f /ready ]"}, Interval: "100ms", Retries: 1}}
	h := s.run(req)
	ready := func() *bool {
		t.Helper()
		seen, err := s.Status(ctx, []managed.Handle{h})
		if err != nil {
			t.Fatal(err)
		}
		return seen[h].Ready
	}
	if r := ready(); r == nil || *r {
		t.Errorf("ready is %v, want false", r)
	}
	made, err := s.outside.ExecCreate(ctx, string(h), client.ExecCreateOptions{Cmd: []string{"touch", "/ready"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.outside.ExecStart(ctx, made.ID, client.ExecStartOptions{Detach: true}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the health check to pass", func() bool { r := ready(); return r != nil && *r })

	// Out of reach: the container's own shell looks, and passes bytes on.
	s.far = true
	if err := s.Listens(ctx, h, managed.PortMain); err != nil {
		t.Error(err)
	}
	conn, err := s.Dial(ctx, h, managed.PortMain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(conn, "count pool"); err != nil {
		t.Error(err)
	}
	answer := make([]byte, 2)
	if _, err := conn.Read(answer); err != nil || string(answer) != "0\n" {
		t.Errorf("the server says %q, %v", answer, err)
	}
	_ = conn.Close()
	deaf := s.run(s.worker())
	testenv.WantError(t, s.Listens(ctx, deaf, managed.PortMain), managed.ClassInvalid, "")
	quiet := s.run(s.server("sleep", "1000"))
	testenv.WantError(t, s.Listens(ctx, quiet, managed.PortMain), managed.ClassTransient, "", "nothing in the container listens on port 7000")

	// An image without a shell.
	bare := s.server()
	bare.Spec.Image = testenv.BareImage(t, testenv.DockerHost())
	h = s.run(bare)
	_, err = s.Dial(ctx, h, managed.PortMain)
	if err == nil {
		t.Error("there is a way to a container without a shell")
	}
	testenv.WantError(t, s.Listens(ctx, h, managed.PortMain), managed.ClassInvalid, "docker.health_check", "no shell")
	s.Kill(ctx, []managed.Handle{h}) //nolint:errcheck // its image goes with the test
}

// TestHowTheyEnded: what is said of a container that is not running.
func TestHowTheyEnded(t *testing.T) {
	s := newBench(t, Config{})
	ctx := t.Context()
	after := func(req managed.RunRequest, do func(id string)) managed.Observation {
		t.Helper()
		h := s.run(req)
		if do != nil {
			do(string(h))
		}
		var o managed.Observation
		testenv.Eventually(t, "it to stop", func() bool {
			seen, err := s.Status(ctx, []managed.Handle{h})
			if err != nil {
				t.Fatal(err)
			}
			o = seen[h]
			return o.Status == managed.StatusStopped
		})
		return o
	}
	hungry := s.worker("dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1")
	hungry.Spec.Hardware.Memory = 16
	restarting := s.worker("false")
	restarting.Spec.Options = Options{RestartPolicy: "always"}
	for _, c := range []struct {
		what string
		o    managed.Observation
		code int
		says string
	}{
		{"a code", after(s.worker("sh", "-c", "exit 3"), nil), 3, "exited with code 3"},
		{"no more to do", after(s.worker("true"), nil), 0, ""},
		{"a signal", after(s.worker(), func(id string) {
			_, _ = s.outside.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"})
		}), 137, "SIGKILL"},
		{"memory", after(hungry, nil), 137, "out of memory"},
		{"paused", after(s.worker(), func(id string) {
			_, _ = s.outside.ContainerPause(ctx, id, client.ContainerPauseOptions{})
		}), -1, "paused"},
		{"restarting", after(restarting, nil), -1, "restart"},
	} {
		code := -1
		if c.o.ExitCode != nil {
			code = *c.o.ExitCode
		}
		if (c.code >= 0 && code != c.code) || !strings.Contains(c.o.Reason, c.says) {
			t.Errorf("%s: code %d, reason %q, want %d, %q", c.what, code, c.o.Reason, c.code, c.says)
		}
	}
	h := s.run(s.worker("sh", "-c", "for i in 1 2 3 4; do echo line $i; done; sleep 100"))
	testenv.Eventually(t, "the log", func() bool {
		tail, err := s.Tail(ctx, h, 2)
		return err == nil && slices.Equal(tail, []string{"line 3", "line 4"})
	})
}
