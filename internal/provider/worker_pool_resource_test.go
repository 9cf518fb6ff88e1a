// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// poolConfig refers to a cluster's id as a configuration does.
func poolConfig(cluster *res, workers int, more attrs) attrs {
	c := attrs{"cluster_id": cluster.get("id"), "worker_count": workers, "container": attrs{"command": []any{"work"}}}
	maps.Copy(c, more)
	return c
}

// twoResources is a cluster with a pool.
func twoResources(t *testing.T, b *managedtest.Memory, workers int, more attrs) (cluster, pool *res) {
	t.Helper()
	h := memoryHost(t, b)
	cluster, pool = h.resource("cluster"), h.resource("worker_pool")
	cluster.to(clusterConfig(nil))
	pool.to(poolConfig(cluster, workers, more))
	return cluster, pool
}

func TestPoolLifecycle(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 4, nil)
	p.want("sim/default", "id")
	p.want("default", "namespace")
	p.want(4, "running_workers")
	p.want(0, "initializing_workers")
	p.want(4, "containers")
	p.want([]any{"work"}, "effective", "command")
	if h := p.handles(); len(h) != 4 || slices.Contains(h, "") {
		t.Errorf("handles are %v", h)
	}
	lists, all := b.Count(managedtest.VerbList), len(b.Calls())
	noErrors(t, p.refresh())
	if n, m := b.Count(managedtest.VerbList)-lists, len(b.Calls())-all; n != 1 || m != 1 {
		t.Errorf("a refresh makes %d lists and %d calls in all, want one list", n, m)
	}
	lists, all = b.Count(managedtest.VerbList), len(b.Calls())
	noErrors(t, c.refresh())
	noErrors(t, p.look())
	if n, m := b.Count(managedtest.VerbList)-lists, len(b.Calls())-all; n != 1 || m != 2 {
		t.Errorf("a refresh of the cluster and its pool makes %d lists and %d calls in all, want one list, and one question for the server's address", n, m)
	}
	noErrors(t, p.destroy())
	noErrors(t, c.destroy())
	if !b.Snapshot().Empty() {
		t.Errorf("the destroy left %+v", b.Snapshot())
	}
}

func TestPoolDeadWorker(t *testing.T) {
	for name, kill := range map[string]func(*managedtest.Memory, string){
		"stopped": func(b *managedtest.Memory, h string) { _ = b.Stop(managed.Handle(h), 137) },
		"gone":    func(b *managedtest.Memory, h string) { b.Vanish(managed.Handle(h)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newMemory()
			c, p := twoResources(t, b, 8, nil)
			before, runs := p.handles(), started(b)
			kill(b, before[2])
			noErrors(t, p.refresh())
			p.want(7, "worker_count")
			s := p.mustPlan(poolConfig(c, 8, nil))
			p.wantPlanned(s, 8, "worker_count")
			planned, _ := at(t, s.planned, "handles").([]any)
			for i, h := range before {
				if want := any(h); i == 2 && planned[i] != (unknown{}) || i != 2 && planned[i] != want {
					t.Errorf("slot %d is planned %v, was %v", i, planned[i], h)
				}
			}
			p.to(poolConfig(c, 8, nil))
			after := p.handles()
			for i := range before {
				if same := before[i] == after[i]; same != (i != 2) {
					t.Errorf("slot %d: %s, was %s", i, after[i], before[i])
				}
			}
			if n := started(b) - runs; n != 1 {
				t.Errorf("%d workers were started, want 1", n)
			}
		})
	}
}

// started counts the containers that were ever started.
func started(b *managedtest.Memory) int {
	n := 0
	for _, c := range b.Calls() {
		if c.Verb == managedtest.VerbRun {
			n += c.Run.Count
		}
	}
	return n
}

func TestPoolScales(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 4, nil)
	four := p.handles()
	p.to(poolConfig(c, 8, nil))
	eight := p.handles()
	if !slices.Equal(eight[:4], four) || len(eight) != 8 {
		t.Errorf("4 -> 8: %v became %v", four, eight)
	}
	s := p.mustPlan(poolConfig(c, 2, nil))
	planned, _ := at(t, s.planned, "handles").([]any)
	if len(planned) != 2 || slices.Contains(planned, any(unknown{})) {
		t.Errorf("8 -> 2 is planned as %v", planned)
	}
	p.to(poolConfig(c, 2, nil))
	for _, h := range p.handles() {
		if !slices.Contains(four, h) {
			t.Errorf("8 -> 2 with scale_in newest keeps %s, which is not one of the oldest %v", h, four)
		}
	}
	p.to(poolConfig(c, 0, nil))
	p.want(0, "running_workers")
	p.to(poolConfig(c, 3, nil))
	p.want(3, "running_workers")
}

func TestPoolPacks(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 10, attrs{"container": attrs{"command": []any{"work"}, "max_workers": 4}})
	p.want(3, "containers")
	p.want(10, "running_workers")
	p.to(poolConfig(c, 9, attrs{"container": attrs{"command": []any{"work"}, "max_workers": 4}}))
	p.want(9, "running_workers")
	if h := p.handles(); len(h) != 9 || slices.Contains(h, "") {
		t.Errorf("handles are %v", h)
	}
}

func TestPoolSoftShortfall(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	c, p := h.resource("cluster"), h.resource("worker_pool")
	c.to(clusterConfig(nil))
	config := poolConfig(c, 8, attrs{"min_worker_count": 6})
	b.Next(2, managedtest.Program{Ends: true, ExitCode: 3, Log: []string{"out of luck"}})
	diags := p.try(config)
	noErrors(t, diags)
	wantWarning(t, diags, "", "Fewer Workers Than Wanted", "6 of 8", "out of luck")
	p.want(8, "worker_count")
	p.want(6, "running_workers")
	if n := len(slices.DeleteFunc(p.handles(), func(s string) bool { return s != "" })); n != 2 {
		t.Errorf("%d handles are null, want 2: %v", n, p.handles())
	}
	survivors := slices.DeleteFunc(p.handles(), func(s string) bool { return s == "" })
	noErrors(t, p.refresh())
	p.want(6, "worker_count")
	p.to(config)
	for _, s := range survivors {
		if !slices.Contains(p.handles(), s) {
			t.Errorf("%s did not survive", s)
		}
	}
}

func TestPoolHardShortfall(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 2, attrs{"gang_style": "hard"})
	before := p.handles()
	b.Next(1, managedtest.Program{Ends: true, ExitCode: 3})
	config := poolConfig(c, 6, attrs{"gang_style": "hard"})
	wantError(t, p.try(config), "", "Too Few Workers", "what this operation had started was stopped again")
	p.want(2, "worker_count")
	if got := p.handles(); !slices.Equal(got[:2], before) {
		t.Errorf("the survivors of %v are %v", before, got)
	}
	p.to(config)
	if got := p.handles(); !slices.Equal(got[:2], before) {
		t.Errorf("the survivors of %v are %v", before, got)
	}
}

func TestPoolFailedCreate(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	c, p := h.resource("cluster"), h.resource("worker_pool")
	c.to(clusterConfig(nil))
	diags := p.try(poolConfig(c, 3, attrs{"container": attrs{"command": []any{"exit", "7", "wrong door"}}}))
	wantError(t, diags, "", "Too Few Workers", "0 of 3", "exited with code 7", "wrong door")
	// What was started may still be there, so it is remembered, and replaced.
	if p.state.IsNull() {
		t.Fatal("there is no state")
	}
	p.want(0, "running_workers")
	noErrors(t, p.destroy())
	if n := len(b.Snapshot().Containers); n != 1 {
		t.Errorf("%d containers are left beside the server", n-1)
	}
}

func TestPoolNothingTouchedNothingRemembered(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	c, p := h.resource("cluster"), h.resource("worker_pool")
	c.to(clusterConfig(nil))
	config := poolConfig(c, 3, nil)
	b.SetFaults(managedtest.Fault{Verb: managedtest.VerbPreflight, Kind: managedtest.Fail, Class: managed.ClassInvalid})
	wantError(t, p.try(config), "", "Unable to Create Worker Pool")
	if !p.state.IsNull() {
		t.Errorf("there is a state: %s", p.state)
	}
	b.SetFaults()
	p.to(config)
	state := p.state
	b.SetFaults(managedtest.Fault{Verb: managedtest.VerbPreflight, Kind: managedtest.Fail, Class: managed.ClassInvalid})
	wantError(t, p.try(poolConfig(c, 5, nil)), "", "Unable to Update Worker Pool")
	if !p.state.Equal(state) {
		t.Error("the state has changed")
	}
}

func TestPoolRollingUpdate(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 4, nil)
	before := p.handles()
	changed := poolConfig(c, 4, attrs{"container": attrs{"command": []any{"work", "better"}}})
	s := p.mustPlan(changed)
	p.wantPlanned(s, unknown{}, "handles")
	p.wantPlanned(s, []any{"work", "better"}, "effective", "command")
	p.to(changed)
	for _, h := range before {
		if slices.Contains(p.handles(), h) {
			t.Errorf("%s still runs", h)
		}
	}
}

// New workers that do not come up stop a rolling update: the old ones go on
// working, the apply fails, and the next plan shows what is still to be done.
func TestPoolRollingUpdateThatFails(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 4, attrs{"min_worker_count": 0, "update": attrs{"max_surge": "1"}})
	bad := poolConfig(c, 4, attrs{"min_worker_count": 0, "update": attrs{"max_surge": "1"}, "container": attrs{"command": []any{"exit", "1"}}})
	diags := p.try(bad)
	wantError(t, diags, "", "Update Not Finished", "still run the old specification")
	p.want([]any{"work"}, "container", "command")
	if n, _ := p.get("running_workers").(int); n < 3 {
		t.Errorf("%d of 4 workers are left", n)
	}
	noErrors(t, p.refresh())
	p.wantPlanned(p.mustPlan(bad), unknown{}, "handles")
	p.to(poolConfig(c, 4, attrs{"min_worker_count": 0, "update": attrs{"max_surge": "1"}, "container": attrs{"command": []any{"work", "better"}}}))
	p.want(4, "running_workers")
	for _, container := range b.Snapshot().Containers {
		if l, _ := managed.ParseLabels(container.Labels); l.Role == managed.RoleWorker && l.SpecHash != p.get("effective", "spec_hash") {
			t.Errorf("%s is outdated", container.Handle)
		}
	}
}

func TestPoolUpdateOnReplacement(t *testing.T) {
	for _, importing := range []bool{false, true} {
		b := newMemory()
		policy := attrs{"strategy": "on_replacement"}
		c, p := twoResources(t, b, 3, attrs{"update": policy})
		before, calls := p.handles(), len(b.Calls())
		changed := attrs{"update": policy, "container": attrs{"command": []any{"work", "better"}}}
		noErrors(t, p.apply(poolConfig(c, 3, changed), p.mustPlan(poolConfig(c, 3, changed))))
		if n := len(b.Calls()) - calls; n != 0 {
			t.Errorf("%d calls were made", n)
		}
		p.wantNoChange(poolConfig(c, 3, changed))
		p.to(poolConfig(c, 4, changed))
		if !slices.Equal(p.handles()[:3], before) {
			t.Errorf("%v became %v", before, p.handles())
		}
		if importing {
			p = c.h.resource("worker_pool")
			noErrors(t, p.importID("sim/default"))
			noErrors(t, p.look())
			p.wantNoChange(poolConfig(c, 4, changed))
		}
		// With another strategy, those that were left behind are replaced.
		changed["update"] = attrs{"strategy": "recreate"}
		p.to(poolConfig(c, 4, changed))
		for _, h := range before {
			if slices.Contains(p.handles(), h) {
				t.Errorf("%s still runs (imported: %t)", h, importing)
			}
		}
	}
}

func TestPoolPolicyMakesNoCall(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 3, nil)
	before := p.handles()
	changed := poolConfig(c, 3, attrs{
		"min_worker_count": 2, "gang_style": "hard", "scale_in": "oldest", "on_exit": "accept", "update": attrs{"strategy": "recreate"},
		"stop_grace_period": "1m", "keep_failed": true, "labels": attrs{"a": "b"}, "timeouts": attrs{"create": "1m"}, "wait_for": "none",
		"on_existing": "adopt",
	})
	s := p.mustPlan(changed)
	calls := len(b.Calls())
	noErrors(t, p.apply(changed, s))
	if n := len(b.Calls()) - calls; n != 0 {
		t.Errorf("%d calls were made", n)
	}
	if !slices.Equal(p.handles(), before) {
		t.Errorf("%v became %v", before, p.handles())
	}
	noErrors(t, p.refresh())
	p.wantNoChange(changed)
}

func TestPoolWhatComesToTheSameRestartsNothing(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 2, nil)
	before := p.handles()
	for _, more := range []attrs{
		{"container": attrs{"command": []any{"work"}, "environment": attrs{}, "entrypoint": []any{}}, "hardware": attrs{}},
		{"container": attrs{"command": []any{"work"}, "max_workers": 1}, "hardware": attrs{"cpu": 1024, "gpus": 0}},
		{"container": attrs{"command": []any{"work"}, "max_workers": 5}, "update": attrs{}},
		{"cluster_id": "sim"},
		{"name": "default"},
	} {
		p.to(poolConfig(c, 2, more))
		if !slices.Equal(p.handles(), before) {
			t.Errorf("%v: %v became %v", more, before, p.handles())
		}
	}
}

func TestPoolFollowsItsServer(t *testing.T) {
	for _, reference := range []bool{true, false} {
		t.Run(fmt.Sprintf("reference=%v", reference), func(t *testing.T) {
			b := newMemory()
			config := func(c *res) attrs {
				if reference {
					return poolConfig(c, 3, nil)
				}
				return poolConfig(c, 3, attrs{"cluster_id": "sim"})
			}
			h := memoryHost(t, b)
			c, p := h.resource("cluster"), h.resource("worker_pool")
			c.to(clusterConfig(nil))
			p.to(config(c))
			before := p.handles()
			_ = b.Stop(managed.Handle(fmt.Sprint(c.get("server_handle"))), 1)
			noErrors(t, c.refresh())
			noErrors(t, p.refresh())
			p.want(0, "worker_count") // connected to nothing, they achieve nothing
			if reference {
				// While the cluster is about to be started, its id is unknown.
				s := p.mustPlan(poolConfig(c, 3, attrs{"cluster_id": unknown{}}))
				p.wantPlanned(s, unknown{}, "id")
				p.wantPlanned(s, []any{unknown{}, unknown{}, unknown{}}, "handles")
			}
			c.to(clusterConfig(nil))
			p.to(config(c))
			p.want(3, "running_workers")
			for _, h := range before {
				if slices.Contains(p.handles(), h) {
					t.Errorf("%s still runs", h)
				}
			}
			if n := len(b.Snapshot().Containers); n != 4 {
				t.Errorf("%d containers run, want 4", n)
			}
		})
	}
}

func TestPoolFollowsAPlannedRestart(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 3, nil)
	before := p.handles()
	c.to(clusterConfig(attrs{"password_wo_version": 2}))
	s := p.mustPlan(poolConfig(c, 3, nil))
	p.wantPlanned(s, unknown{}, "handles")
	p.to(poolConfig(c, 3, nil))
	for _, h := range before {
		if slices.Contains(p.handles(), h) {
			t.Errorf("%s still runs", h)
		}
	}
	// A pool of no workers follows, too.
	p.to(poolConfig(c, 0, nil))
	c.to(clusterConfig(attrs{"password_wo_version": 3}))
	p.to(poolConfig(c, 0, nil))
}

func TestPoolMoves(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	one, two, p := h.resource("cluster"), h.resource("cluster"), h.resource("worker_pool")
	one.to(clusterConfig(nil))
	two.to(clusterConfig(attrs{"name": "two", "server": attrs{"container": attrs{"command": []any{"serve"}}, "port": 6001}}))
	p.to(poolConfig(one, 3, nil))
	s := p.mustPlan(poolConfig(two, 3, nil))
	p.wantPlanned(s, "two/default", "id")
	p.to(poolConfig(two, 3, nil))
	p.want("two/default", "id")
	for _, c := range b.Snapshot().Containers {
		if l, _ := managed.ParseLabels(c.Labels); l.Role == managed.RoleWorker && l.Cluster != "two" {
			t.Errorf("%s is still in cluster %s", c.Handle, l.Cluster)
		}
	}
	// Into a pool of somebody else: refused, and the truth is kept.
	other := newHost(t, NewWithBackend("test", b)())
	other.configure(attrs{"owner": "somebody-else"})
	theirs := other.resource("worker_pool")
	theirs.to(poolConfig(one, 1, nil))
	wantError(t, p.try(poolConfig(one, 3, nil)), "", "Worker Pool Exists Already")
	noErrors(t, p.refresh())
	if n := len(theirs.handles()); n != 1 {
		t.Errorf("the other pool has %d workers", n)
	}
	p.to(poolConfig(two, 3, nil))
}

func TestPoolHybrid(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	p := h.resource("worker_pool")
	config := func(port, version int, more attrs) attrs {
		c := attrs{
			"cluster_id": "far@abcdef", "worker_count": 2, "framework": "custom", "container": attrs{"command": []any{"work"}},
			"server": attrs{"public_ip": "server.example.org", "public_port": port, "password_wo": "correct horse", "password_wo_version": version},
		}
		maps.Copy(c, more)
		return c
	}
	s := p.mustPlan(config(6379, 1, nil))
	p.wantPlanned(s, "custom", "effective", "framework") // known without a look-up
	p.to(config(6379, 1, nil))
	before := p.handles()
	imported := h.resource("worker_pool")
	noErrors(t, imported.importID("far/default"))
	imported.wantNoChange(config(6379, 1, nil))

	_ = b.Stop(managed.Handle(before[0]), 1)
	noErrors(t, p.refresh())
	p.want(1, "worker_count")
	p.to(config(6379, 1, nil))
	if p.handles()[1] != before[1] {
		t.Error("the survivor was restarted")
	}
	for _, changed := range []attrs{config(6380, 1, nil), config(6380, 2, nil), config(6380, 2, attrs{"cluster_id": "far@ghijkl"})} {
		before = p.handles()
		p.wantPlanned(p.mustPlan(changed), unknown{}, "handles")
		p.to(changed)
		for _, h := range p.handles() {
			if slices.Contains(before, h) {
				t.Errorf("%s was not restarted", h)
			}
		}
	}
	noErrors(t, p.destroy())
	if n := len(b.Snapshot().Containers); n != 0 {
		t.Errorf("%d containers are left", n)
	}
}

func TestPoolImport(t *testing.T) {
	b := newMemory()
	more := attrs{
		"container": attrs{"command": []any{"work"}, "environment": attrs{"A": "1"}, "max_workers": 2, "entrypoint": []any{}}, "hardware": attrs{"cpu": 512},
		"min_worker_count": 3, "gang_style": "hard", "scale_in": "oldest", "on_exit": "accept", "update": attrs{"strategy": "recreate"},
		"stop_grace_period": "90s", "keep_failed": true, "labels": attrs{"a": "b"}, "timeouts": attrs{"update": "5m"},
	}
	c, p := twoResources(t, b, 4, more)
	h := p.h
	again := h.resource("worker_pool")
	noErrors(t, again.importID("sim/default"))
	again.wantNoChange(poolConfig(c, 4, more))
	plainName := maps.Clone(more)
	plainName["cluster_id"] = "sim"
	again.wantNoChange(poolConfig(c, 4, plainName))
	byIdentity := h.resource("worker_pool")
	noErrors(t, byIdentity.importIdentity(attrs{"cluster": "sim", "name": "default"}))
	byIdentity.wantNoChange(poolConfig(c, 4, more))

	for id, text := range map[string]string{
		"sim/nope": "Nothing runs as worker pool", "sim": "does not name a worker pool", "sim/a/b": "does not name a worker pool", "nope/default": "Nothing runs",
	} {
		wantError(t, h.resource("worker_pool").importID(id), "", "Cannot Import Worker Pool", text)
	}
	// With a dead one, the living are imported and the plan adds what is missing.
	_ = b.Stop(managed.Handle(p.handles()[0]), 1)
	again = h.resource("worker_pool")
	noErrors(t, again.importID("sim/default"))
	again.want(2, "worker_count") // its container had two
	again.to(poolConfig(c, 4, more))
}

func TestPoolFindsWhatACutOffApplyStarted(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 2, nil)
	state, private := p.state, p.private
	p.to(poolConfig(c, 4, nil))
	all := p.handles()
	p.state, p.private = state, private // as if the state had not been saved
	noErrors(t, p.refresh())
	p.want(4, "worker_count")
	runs := started(b)
	p.to(poolConfig(c, 4, nil))
	if !slices.Equal(p.handles(), all) || started(b) != runs {
		t.Errorf("%v became %v", all, p.handles())
	}
	p.state, p.private = state, private
	noErrors(t, p.refresh())
	p.to(poolConfig(c, 2, nil))
	if n := len(b.Snapshot().Containers); n != 3 {
		t.Errorf("%d containers run, want 3", n)
	}
}

func TestPoolUnknownInputs(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	c, p := h.resource("cluster"), h.resource("worker_pool")
	for _, config := range []attrs{
		{"cluster_id": unknown{}, "worker_count": unknown{}, "name": unknown{}},
		{"cluster_id": unknown{}, "worker_count": 1, "container": unknown{}, "hardware": unknown{}, "server": unknown{}, "update": unknown{}, "process": unknown{}},
		{"cluster_id": unknown{}, "worker_count": 1, "container": attrs{"command": unknown{}, "max_workers": unknown{}}, "update": attrs{"max_surge": unknown{}}},
		{"cluster_id": unknown{}, "worker_count": 1, "framework": unknown{}, "server": attrs{"public_ip": unknown{}, "public_port": unknown{}}, "labels": unknown{}},
		{"cluster_id": "sim", "worker_count": unknown{}, "min_worker_count": unknown{}, "stop_grace_period": unknown{}, "timeouts": unknown{}},
	} {
		noErrors(t, p.validate(config))
		p.mustPlan(config)
	}
	c.to(clusterConfig(nil))
	p.to(poolConfig(c, 3, nil))
	before := p.handles()
	s := p.mustPlan(poolConfig(c, 3, attrs{"worker_count": unknown{}}))
	p.wantPlanned(s, unknown{}, "handles")
	// Core plans again with what is known then, and the survivors are kept.
	p.to(poolConfig(c, 5, nil))
	if !slices.Equal(p.handles()[:3], before) {
		t.Errorf("%v became %v", before, p.handles())
	}
}

func TestPoolErrorOfConnect(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	p := h.resource("worker_pool")
	diags := p.try(attrs{"cluster_id": "nope", "worker_count": 1, "container": attrs{"command": []any{"work"}}, "timeouts": attrs{"create": "1s"}})
	wantError(t, diags, "cluster_id", "There is no cluster", "nope")
	if !p.state.IsNull() {
		t.Error("there is a state")
	}
}

// The state must stay small: what is kept per worker is its handle and when
// it started.
func TestPoolStateIsSmall(t *testing.T) {
	for _, n := range []int{100, 500} {
		perWorker := stateBytes(t, n)
		t.Logf("N=%d: %.0f bytes of state per worker", n, perWorker)
		if perWorker > 250 {
			t.Errorf("N=%d: %.0f bytes of state per worker, the limit is 250", n, perWorker)
		}
	}
}

// stateBytes are what a worker adds to Terraform's state file, its part of
// the private state included, with handles of 16 characters.
func stateBytes(t *testing.T, n int) float64 {
	t.Helper()
	b := newMemory()
	_, p := twoResources(t, b, n, nil)
	bytes := 0
	for _, h := range p.handles() {
		// As Terraform writes it: indented, quoted, with a comma.
		bytes += len("              ") + len(`"",`) + len("\n") + max(16, len(h))
	}
	return float64(bytes+(len(p.private)+2)/3*4) / float64(n)
}

func TestPoolPrivateStateIsOnlyAHelp(t *testing.T) {
	b := newMemory()
	c, p := twoResources(t, b, 3, nil)
	before := p.handles()
	p.private = nil
	noErrors(t, p.refresh())
	p.to(poolConfig(c, 3, nil))
	if !slices.Equal(p.handles(), before) {
		t.Errorf("%v became %v", before, p.handles())
	}
}

func TestPoolKeepsWriteOnlyOut(t *testing.T) {
	b := newMemory()
	_, p := twoResources(t, b, 1, attrs{"on_existing": "adopt"})
	if strings.Contains(p.state.String(), "adopt") {
		t.Error("on_existing is in the state")
	}
	p.want(nil, "on_existing")
}
