// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

func clusterConfig(more attrs) attrs {
	c := attrs{"name": "sim", "server": attrs{"container": attrs{"command": []any{"serve"}}, "port": 6000}}
	maps.Copy(c, more)
	return c
}

func TestClusterLifecycle(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	c := h.resource("cluster")
	s := c.mustPlan(clusterConfig(nil))
	c.wantPlanned(s, unknown{}, "id")
	c.wantPlanned(s, "running", "status")
	c.wantPlanned(s, "default", "namespace")
	c.wantPlanned(s, "custom", "framework")
	c.wantPlanned(s, []any{"serve"}, "effective_server", "command")
	c.wantPlanned(s, 6000, "effective_server", "port")

	c.to(clusterConfig(nil))
	c.want("running", "status")
	c.want(fmt.Sprint("sim@", c.get("launch")), "id")
	c.want(map[string]any{}, "exports")
	if c.get("server_handle") == nil || c.get("private_ip") == nil || c.get("client", "url") == nil {
		t.Errorf("the server has no handle, address or client: %s", c.state)
	}
	lists := b.Count(managedtest.VerbList)
	noErrors(t, c.refresh())
	if got := b.Count(managedtest.VerbList) - lists; got != 1 {
		t.Errorf("a refresh makes %d lists, want 1", got)
	}
	noErrors(t, c.destroy())
	if got := b.Snapshot(); !got.Empty() {
		t.Errorf("the destroy left %+v", got)
	}
}

func TestClusterPolicyMakesNoCall(t *testing.T) {
	b := newMemory()
	c := memoryHost(t, b).resource("cluster")
	c.to(clusterConfig(nil))
	id, handle := c.get("id"), c.get("server_handle")
	changed := clusterConfig(attrs{
		"force_destroy": true, "deep_cleanup": true, "labels": attrs{"team": "stats"}, "timeouts": attrs{"create": "5m"}, "server_client_same_lan": true,
	})
	s := c.mustPlan(changed)
	calls := len(b.Calls())
	noErrors(t, c.apply(changed, s))
	if got := len(b.Calls()) - calls; got != 0 {
		t.Errorf("a change of policy made %d calls", got)
	}
	c.want(id, "id")
	c.want(handle, "server_handle")
	c.wantNoChange(changed)
}

func TestClusterWhatComesToTheSameRestartsNothing(t *testing.T) {
	b := newMemory()
	c := memoryHost(t, b).resource("cluster")
	c.to(clusterConfig(nil))
	id := c.get("id")
	for _, server := range []attrs{
		{"container": attrs{"command": []any{"serve"}, "entrypoint": []any{}, "environment": attrs{}}, "port": 6000},
		{"container": attrs{"command": []any{"serve"}}, "port": 6000, "hardware": attrs{}},
		{"container": attrs{"command": []any{"serve"}}, "port": 6000, "hardware": attrs{"cpu": 256}},
		{"container": attrs{"command": []any{"serve"}}, "port": 6000},
	} {
		c.to(clusterConfig(attrs{"server": server}))
		c.want(id, "id")
	}
}

func TestClusterChangesRestartTheServer(t *testing.T) {
	base := func() attrs { return attrs{"container": attrs{"command": []any{"serve"}}, "port": 6000} }
	with := func(path string, v any) attrs {
		s := base()
		head, name, nested := strings.Cut(path, ".")
		if !nested {
			s[head] = v
			return attrs{"server": s}
		}
		inner, _ := s[head].(attrs)
		if inner == nil {
			inner = attrs{}
		}
		inner[name] = v
		s[head] = inner
		return attrs{"server": s}
	}
	for name, change := range map[string]attrs{
		"command":     with("container.command", []any{"serve", "more"}),
		"entrypoint":  with("container.entrypoint", []any{"/bin/serve"}),
		"environment": with("container.environment", attrs{"A": "1"}),
		"image":       with("container.image", "redis:8"),
		"cpu":         with("hardware.cpu", 512),
		"port":        with("port", 6001),
		"publish":     with("publish", attrs{"port": 6000}),
		"options":     with("process.working_directory", "/tmp"),
		"framework":   {"framework": "redis"},
		"password":    {"password_wo_version": 2},
		"lan":         {"server_worker_same_lan": true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newMemory()
			c := memoryHost(t, b).resource("cluster")
			c.to(clusterConfig(nil))
			id := c.get("id")
			changed := clusterConfig(change)
			if name == "framework" { // whose server the memory backend cannot play
				c.wantPlanned(c.mustPlan(changed), unknown{}, "id")
				return
			}
			s := c.mustPlan(changed)
			for _, computed := range []string{"id", "launch", "server_handle", "private_ip", "private_port", "client"} {
				c.wantPlanned(s, unknown{}, computed)
			}
			c.to(changed)
			if c.get("id") == id {
				t.Error("the id is still the same")
			}
			if n := len(b.Snapshot().Containers); n != 1 {
				t.Errorf("%d servers run", n)
			}
		})
	}
}

func TestClusterDeadServerHeals(t *testing.T) {
	for name, kill := range map[string]func(*managedtest.Memory, managed.Handle){
		"stopped": func(b *managedtest.Memory, h managed.Handle) { _ = b.Stop(h, 1) },
		"gone":    func(b *managedtest.Memory, h managed.Handle) { b.Vanish(h) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newMemory()
			c := memoryHost(t, b).resource("cluster")
			c.to(clusterConfig(nil))
			id := c.get("id")
			kill(b, managed.Handle(fmt.Sprint(c.get("server_handle"))))
			noErrors(t, c.refresh())
			c.want("stopped", "status")
			c.want(id, "id")
			s := c.mustPlan(clusterConfig(nil))
			c.wantPlanned(s, "running", "status")
			c.wantPlanned(s, unknown{}, "id")
			c.to(clusterConfig(nil))
			c.want("running", "status")
			if c.get("id") == id {
				t.Error("the new server has the old id")
			}
		})
	}
}

func TestClusterFailedCreateLeavesNothing(t *testing.T) {
	b := newMemory()
	c := memoryHost(t, b).resource("cluster")
	diags := c.try(clusterConfig(attrs{"server": attrs{"container": attrs{"command": []any{"exit", "3", "no such port"}}, "port": 6000}}))
	wantError(t, diags, "", "Server Ended Instead of Working", "exited with code 3", "no such port")
	if !c.state.IsNull() || !b.Snapshot().Empty() {
		t.Errorf("the failed create left state %s and %+v", c.state, b.Snapshot())
	}
}

func TestClusterFailedUpdateKeepsTheTruth(t *testing.T) {
	b := newMemory()
	c := memoryHost(t, b).resource("cluster")
	c.to(clusterConfig(nil))
	id := c.get("id")
	bad := clusterConfig(attrs{"server": attrs{"container": attrs{"command": []any{"exit", "1"}}, "port": 6000}})
	wantError(t, c.try(bad), "", "Server Ended Instead of Working")
	c.want("stopped", "status")
	c.want(id, "id")
	c.want([]any{"serve"}, "server", "container", "command") // what is still to be done shows in the next plan
	c.to(clusterConfig(nil))
	c.want("running", "status")
}

func TestClusterBackendThatDoesNotAnswer(t *testing.T) {
	b := newMemory()
	c := memoryHost(t, b).resource("cluster")
	c.to(clusterConfig(nil))
	state := c.state
	b.SetFaults(managedtest.Fault{Verb: managedtest.VerbList, Kind: managedtest.Fail, Class: managed.ClassUnavailable})
	wantError(t, c.refresh(), "", "Unable to Read Cluster", "could not be reached")
	wantError(t, c.destroy(), "", "Unable to Destroy Cluster")
	if !c.state.Equal(state) {
		t.Error("the state has changed")
	}
	b.SetFaults()
	noErrors(t, c.destroy())
	if !b.Snapshot().Empty() {
		t.Error("the destroy left something")
	}
}

func TestClusterTimeout(t *testing.T) {
	b := newMemory()
	c := memoryHost(t, b).resource("cluster")
	begun := time.Now()
	diags := c.try(clusterConfig(attrs{
		"server": attrs{"container": attrs{"command": []any{"never"}}, "port": 6000}, "timeouts": attrs{"create": "1s"},
	}))
	wantError(t, diags, "", "Unable to Create Cluster", "raise timeouts.create")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if !b.Snapshot().Empty() {
		t.Errorf("it left %+v", b.Snapshot())
	}
}

func TestClusterExistsAlready(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	first, pool := h.resource("cluster"), h.resource("worker_pool")
	first.to(clusterConfig(nil))
	pool.to(poolConfig(first, 2, nil))
	handle := first.get("server_handle")

	other := newHost(t, NewWithBackend("test", b)())
	other.configure(attrs{"owner": "somebody-else"})
	c := other.resource("cluster")
	wantError(t, c.try(clusterConfig(nil)), "", "Cluster Exists Already", fmt.Sprint(handle), pool.handles()[0],
		"terraform import dockerparallel_cluster.<name> sim", "terraform import dockerparallel_worker_pool.<name> sim/default", "on_existing = \"adopt\"")
	if !c.state.IsNull() {
		t.Error("there is a state")
	}
	adopt := clusterConfig(attrs{"on_existing": "adopt"})
	c.to(adopt)
	c.want(handle, "server_handle")
	c.want(first.get("id"), "id")
	c.wantNoChange(clusterConfig(attrs{"on_existing": "error"})) // write-only: no change

	p := other.resource("worker_pool")
	wantError(t, p.try(poolConfig(c, 2, nil)), "", "Worker Pool Exists Already", "terraform import dockerparallel_worker_pool.<name> sim/default")
	p.to(poolConfig(c, 2, attrs{"on_existing": "adopt"}))
	if fmt.Sprint(p.handles()) != fmt.Sprint(pool.handles()) {
		t.Errorf("adopted %v, want %v", p.handles(), pool.handles())
	}

	same := h.resource("cluster") // the same owner, after a lost state
	same.to(clusterConfig(nil))
	same.want(handle, "server_handle")
}

func TestClusterOfAnotherOwnerIsNotDestroyed(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	c := h.resource("cluster")
	c.to(clusterConfig(nil))
	other := newHost(t, NewWithBackend("test", b)())
	other.configure(attrs{"owner": "somebody-else"})
	p := other.resource("worker_pool")
	p.to(poolConfig(c, 1, nil))
	wantError(t, c.destroy(), "", "Another Owner", p.handles()[0], "force_destroy = true")
	c.to(clusterConfig(attrs{"force_destroy": true}))
	noErrors(t, c.destroy())
	if !b.Snapshot().Empty() {
		t.Error("force_destroy left something")
	}
}

func TestClusterImport(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	config := clusterConfig(attrs{
		"server": attrs{
			"container": attrs{"command": []any{"serve"}, "environment": attrs{"A": "1"}, "entrypoint": []any{}}, "port": 6000,
			"publish": attrs{"address": "0.0.0.0"}, "hardware": attrs{"memory": 100},
		},
		"labels": attrs{"team": "stats"}, "timeouts": attrs{"create": "3m"}, "force_destroy": true, "deep_cleanup": true,
		"password_wo_version": 3, "password_wo": "correct horse", "server_worker_same_lan": true, "server_client_same_lan": false,
	})
	first := h.resource("cluster")
	first.to(config)
	again := h.resource("cluster")
	noErrors(t, again.importID("sim"))
	again.wantNoChange(config)
	if !again.state.Equal(first.state) {
		diffs, _ := first.state.Diff(again.state)
		t.Errorf("the import differs: %v", diffs)
	}
	byIdentity := h.resource("cluster")
	noErrors(t, byIdentity.importIdentity(attrs{"name": "sim"}))
	byIdentity.wantNoChange(config)
	noErrors(t, h.resource("cluster").importIdentity(attrs{"name": "sim", "namespace": "default"}))

	wantError(t, h.resource("cluster").importIdentity(attrs{"name": "sim", "namespace": "other"}), "namespace", "Cannot Import Cluster", "namespace = \"other\"")
	wantError(t, h.resource("cluster").importID("nope"), "", "Cannot Import Cluster", "Those that are there: sim")
	wantError(t, h.resource("cluster").importID("no/pe"), "", "Cannot Import Cluster", "is not the name")
}

func TestClusterExternalServer(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	config := func(port, version int) attrs {
		return attrs{
			"name": "sim", "external_server": attrs{"private_ip": "10.0.0.1", "private_port": port},
			"password_wo": "correct horse", "password_wo_version": version,
		}
	}
	c := h.resource("cluster")
	c.to(config(6379, 1))
	c.want("running", "status")
	c.want("10.0.0.1", "private_ip")
	c.want(nil, "server_handle")
	c.want(nil, "public_ip")
	c.want(nil, "effective_server")
	c.want("tcp://10.0.0.1:6379", "client", "url")
	p := h.resource("worker_pool")
	p.to(poolConfig(c, 1, nil))
	before, id := p.handles(), c.get("id")

	imported := h.resource("cluster")
	noErrors(t, imported.importID("sim"))
	imported.wantNoChange(config(6379, 1))

	for _, changed := range []attrs{config(6380, 1), config(6380, 2)} {
		c.to(changed)
		if c.get("id") == id {
			t.Error("the id is still the same")
		}
		p.to(poolConfig(c, 1, nil))
		if p.handles()[0] == before[0] {
			t.Error("the workers did not restart")
		}
		before, id = p.handles(), c.get("id")
	}
	noErrors(t, p.destroy())
	noErrors(t, c.destroy())
	if !b.Snapshot().Empty() {
		t.Errorf("the destroy left %+v", b.Snapshot())
	}
}

func TestClusterNamespaceIsInTheState(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	c, p := h.resource("cluster"), h.resource("worker_pool")
	c.to(clusterConfig(nil))
	p.to(poolConfig(c, 1, nil))

	h.configure(attrs{"owner": "tests", "namespace": "other"})
	noErrors(t, c.refresh())
	c.want("running", "status") // still looked for where it is
	for _, r := range []*res{c, p} {
		config := clusterConfig(nil)
		if r == p {
			config = poolConfig(c, 1, nil)
		}
		s := r.plan(config)
		noErrors(t, s.diags)
		if len(s.replace) != 1 || !strings.Contains(s.replace[0], "namespace") {
			t.Errorf("%s is replaced because of %v, want namespace", r.typeName, s.replace)
		}
		noErrors(t, r.refresh())
	}
	noErrors(t, p.destroy())
	noErrors(t, c.destroy())
	if !b.Snapshot().Empty() {
		t.Error("the old namespace is not empty")
	}
}

// An apply of ours may have been cut off before its state was saved, or
// somebody else has started another server under the name.
func TestClusterOfAnotherLaunch(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	c := h.resource("cluster")
	c.to(clusterConfig(nil))
	state, private := c.state, c.private
	changed := clusterConfig(attrs{"server": attrs{"container": attrs{"command": []any{"serve", "anew"}}, "port": 6000}})
	c.to(changed)
	handle := c.get("server_handle")

	c.state, c.private = state, private
	noErrors(t, c.refresh())
	c.want(handle, "server_handle")
	c.wantNoChange(changed)
	c.wantPlanned(c.mustPlan(clusterConfig(nil)), unknown{}, "id")
}

// A later release of the provider with other defaults restarts nothing.
func TestClusterDefaultsAreSticky(t *testing.T) {
	b := newMemory()
	c := memoryHost(t, b).resource("cluster")
	c.to(clusterConfig(nil))
	// A state as an older release would have written it.
	old, err := tftypes.Transform(c.state, func(p *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		switch p.String() {
		case `AttributeName("effective_server").AttributeName("memory")`:
			return tftypes.NewValue(tftypes.Number, 77), nil
		case `AttributeName("effective_server").AttributeName("spec_hash")`:
			return tftypes.NewValue(tftypes.String, "old"), nil
		}
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.state = old
	c.want(77, "effective_server", "memory")
	noErrors(t, c.refresh())
	c.wantNoChange(clusterConfig(nil))
	id := c.get("id")
	c.to(clusterConfig(attrs{"labels": attrs{"a": "b"}}))
	c.want(id, "id")
	c.want(77, "effective_server", "memory")
}

func TestClusterUnknownInputs(t *testing.T) {
	b := newMemory()
	c := memoryHost(t, b).resource("cluster")
	maybe := clusterConfig(attrs{"server": attrs{"container": attrs{"command": unknown{}}, "port": 6000}})
	noErrors(t, c.validate(maybe))
	c.wantPlanned(c.mustPlan(maybe), unknown{}, "effective_server")
	for _, config := range []attrs{
		{"name": unknown{}, "server": unknown{}},
		{"name": "sim", "framework": unknown{}},
		{"name": "sim", "external_server": unknown{}},
		{"name": "sim", "external_server": attrs{"public_ip": unknown{}, "public_port": unknown{}}},
		clusterConfig(attrs{"server_client_same_lan": unknown{}, "labels": unknown{}, "timeouts": unknown{}, "password_wo": unknown{}}),
	} {
		noErrors(t, c.validate(config))
		c.mustPlan(config)
	}
	c.to(clusterConfig(nil))
	id := c.get("id")
	// What is unknown in the plan may turn out to be no change.
	s := c.mustPlan(maybe)
	c.wantPlanned(s, unknown{}, "id")
	noErrors(t, c.apply(clusterConfig(nil), c.mustPlan(clusterConfig(nil))))
	c.want(id, "id")
}

func TestClusterWithUnknownProvider(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	c, p := h.resource("cluster"), h.resource("worker_pool")
	c.to(clusterConfig(nil))
	p.to(poolConfig(c, 2, nil))
	calls := len(b.Calls())
	for _, config := range []attrs{{"owner": unknown{}}, {"owner": "tests", "namespace": unknown{}}} {
		h.configure(config)
		state := c.state
		wantWarning(t, c.refresh(), "", "State Not Refreshed")
		wantWarning(t, p.refresh(), "", "State Not Refreshed")
		if !c.state.Equal(state) {
			t.Error("the refresh changed the state")
		}
		c.wantNoChange(clusterConfig(nil))
		p.wantNoChange(poolConfig(c, 2, nil))
		fresh := h.resource("cluster")
		s := fresh.mustPlan(clusterConfig(attrs{"name": "new"}))
		fresh.wantPlanned(s, unknown{}, "effective_server")
		h.resource("worker_pool").mustPlan(poolConfig(c, 2, attrs{"name": "new"}))
		wantError(t, h.resource("cluster").importID("sim"), "", "Unable to Import Cluster", "not known yet")
	}
	if got := len(b.Calls()) - calls; got != 0 {
		t.Errorf("%d calls were made", got)
	}
}

func TestPasswordIsNowhere(t *testing.T) {
	const password = "correct-horse-battery"
	b := newMemory()
	h := memoryHost(t, b)
	c := h.resource("cluster")
	config := clusterConfig(attrs{"password_wo": password, "password_wo_version": 1})
	c.to(config)
	p := h.resource("worker_pool")
	p.to(poolConfig(c, 1, attrs{"server": attrs{"private_ip": "10.0.0.1", "private_port": 1, "password_wo": password, "password_wo_version": 1}, "framework": "custom"}))
	for _, r := range []*res{c, p} {
		if s := r.state.String() + string(r.private); strings.Contains(s, password) {
			t.Errorf("the password is in the state: %s", s)
		}
	}
	for _, container := range b.Snapshot().Containers {
		if s := fmt.Sprint(container.Labels); strings.Contains(s, password) {
			t.Errorf("the password is in labels: %s", s)
		}
	}
	// A program that prints it does not bring it into a diagnostic.
	bad := clusterConfig(attrs{"name": "bad", "password_wo": password, "password_wo_version": 1, "server": attrs{"container": attrs{"command": []any{"exit", "1", "my password is " + password}}, "port": 1}})
	wantError(t, h.resource("cluster").try(bad), "", "my password is (secret)")
	if s := show(h.resource("cluster").try(bad)); strings.Contains(s, password) {
		t.Errorf("the password is in a diagnostic: %s", s)
	}
}
