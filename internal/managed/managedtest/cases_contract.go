// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// contractCases are about the three verbs and List, called as the core calls
// them.
func contractCases() []testCase {
	lister := []Capability{CapLister}
	return []testCase{
		{"properties", nil, properties},
		{"run_status_kill", nil, runStatusKill},
		{"run_same_token", nil, runSameToken},
		{"run_canceled", lister, runCanceled},
		{"status_of_unknown", nil, statusOfUnknown},
		{"kill_of_nothing", nil, killOfNothing},
		{"kill_from_outside_shows", nil, killFromOutsideShows},
		{"exit_code_and_reason", nil, exitCodeAndReason},
		{"list_selectors", lister, listSelectors},
		{"list_handles_are_stable", lister, listHandlesStable},
		{"list_labels_come_back", lister, listLabels},
	}
}

func properties(l *lab) {
	p := l.backend.Properties()
	if p.Name == "" || p.Concurrency < 1 || p.BatchSize < 1 || p.PollInterval <= 0 || p.VisibilityLag < 0 {
		l.Errorf("Properties are %+v", p)
	}
	if again := l.backend.Properties(); again != p {
		l.Errorf("Properties change: %+v, then %+v", p, again)
	}
	if l.can.SecretStore == nil {
		l.Errorf("without a SecretStore no cluster has a place for its password")
	}
	for role, spec := range map[managed.Role]managed.Template{managed.RoleServer: l.suite.Server.Template, managed.RoleWorker: l.suite.Worker} {
		if p.NeedsImage && spec.Image == "" || p.NeedsCommand && len(spec.Entrypoint)+len(spec.Command) == 0 {
			l.Errorf("the suite's %s lacks what the backend needs", role)
		}
	}
}

// statusOf waits until a container has a status, and returns what is known.
func (l *lab) statusOf(h managed.Handle, want managed.Status) managed.Observation {
	var o managed.Observation
	l.eventually(l.ctx, "the status of "+string(h), func() string {
		seen, err := l.backend.Status(l.ctx, []managed.Handle{h})
		l.must(err, "Status")
		if o = seen[h]; o.Known && o.Status == want {
			return ""
		}
		return sprintf("known %t, %q (%s), not %q", o.Known, o.Status, o.Reason, want)
	})
	return o
}

func runStatusKill(l *lab) {
	begun := time.Now()
	handles := l.start(inPool(l.scope, "w"), l.suite.Worker, 3)
	for _, h := range handles {
		o := l.statusOf(h, managed.StatusRunning)
		if o.ExitCode != nil {
			l.Errorf("a running container has the exit code %d", *o.ExitCode)
		}
		// A minute of grace: the clock of the backend's host is another one.
		if !o.CreatedAt.IsZero() && (o.CreatedAt.Before(begun.Add(-time.Minute)) || o.CreatedAt.After(time.Now().Add(time.Minute))) {
			l.Errorf("it was created at %v, and asked for at %v", o.CreatedAt, begun)
		}
	}
	// Status of many, some twice.
	seen, err := l.backend.Status(l.ctx, append(slices.Clone(handles), handles...))
	l.must(err, "Status with duplicates")
	if len(seen) != len(handles) {
		l.Errorf("Status of %d handles, each twice, tells of %d", len(handles), len(seen))
	}
	// Killing one leaves the others.
	l.must(l.backend.Kill(l.ctx, handles[:1]), "Kill")
	l.eventually(l.ctx, "Kill of one", func() string {
		if alive := l.alive(l.ctx, handles); len(alive) != len(handles)-1 || slices.Contains(alive, handles[0]) {
			return "alive: " + joined(alive)
		}
		return ""
	})
	l.must(l.backend.Kill(l.ctx, append(slices.Clone(handles), handles...)), "Kill with duplicates and a dead one")
	l.checkNothingLeft(l.ctx, inPool(l.scope, "w"))
}

func runSameToken(l *lab) {
	if !l.props.IdempotentRun {
		l.Skipf("the backend does not promise it (Properties.IdempotentRun)")
	}
	req := l.request(inPool(l.scope, "w"), l.suite.Worker, 2)
	first, second := l.run(req), l.run(req)
	slices.Sort(first)
	slices.Sort(second)
	if !slices.Equal(first, second) {
		l.Errorf("Run with the same token started %q and then %q", first, second)
	}
	if third := l.run(l.again(req, 2)); slices.Contains(first, third[0]) {
		l.Errorf("Run with another token did not start anything")
	}
}

// runCanceled ends the caller's context before and during a Run: what runs all
// the same is in the answer.
func runCanceled(l *lab) {
	base := l.request(inPool(l.scope, "w"), l.suite.Worker, 1)
	l.prepare(base.Scope)
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		req := l.again(base, 4)
		ctx, cancel := context.WithCancel(l.ctx)
		stop := time.AfterFunc(after, cancel)
		if after == 0 {
			cancel()
		}
		begun := time.Now()
		handles, err := l.backend.Run(ctx, req)
		stop.Stop()
		cancel()
		l.note(req, handles)
		if took := time.Since(begun); took > 10*time.Second {
			l.Errorf("Run, canceled after %v, took %v", after, took)
		}
		if err == nil && len(handles) != req.Count {
			l.Errorf("Run, canceled after %v, answered with %d handles and no error", after, len(handles))
		}
		_ = sleep(l.ctx, l.props.VisibilityLag) // what started late has to show
		inv, err := l.can.Lister.List(l.ctx, managed.Selector{Namespace: l.scope.Namespace, Cluster: l.scope.Cluster})
		l.must(err, "List")
		for _, c := range inv.Containers {
			if c.Labels[managed.LabelToken] == req.Token && c.Status != managed.StatusStopped && !slices.Contains(handles, c.Handle) {
				l.Errorf("Run, canceled after %v, started %s and did not say so", after, c.Handle)
				l.note(req, []managed.Handle{c.Handle})
			}
		}
	}
}

func statusOfUnknown(l *lab) {
	handles := l.start(inPool(l.scope, "w"), l.suite.Worker, 1)
	l.must(l.backend.Kill(l.ctx, handles), "Kill")
	l.eventually(l.ctx, "Status of what was killed", func() string {
		seen, err := l.backend.Status(l.ctx, append(handles, "no-such-container"))
		l.must(err, "Status of unknown handles")
		if o := seen["no-such-container"]; o.Known {
			l.Fatalf("a handle that never was is known: %+v", o)
		}
		if o := seen[handles[0]]; o.Known && o.Status != managed.StatusStopped {
			return string(o.Status)
		}
		return ""
	})
	seen, err := l.backend.Status(l.ctx, nil)
	l.must(err, "Status of nothing")
	if len(seen) != 0 {
		l.Errorf("Status of nothing tells of %d", len(seen))
	}
}

func killOfNothing(l *lab) {
	handles := l.start(inPool(l.scope, "w"), l.suite.Worker, 2)
	l.must(l.backend.Kill(l.ctx, nil), "Kill of nothing")
	l.must(l.backend.Kill(l.ctx, []managed.Handle{}), "Kill of nothing")
	if alive := l.alive(l.ctx, handles); len(alive) != 2 {
		l.Fatalf("Kill of nothing left %d of 2 containers", len(alive))
	}
	l.must(l.backend.Kill(l.ctx, []managed.Handle{"no-such-container"}), "Kill of an unknown handle")
	l.killOutside(handles[0])
	l.must(l.backend.Kill(l.ctx, handles[:1]), "Kill of a dead container")
	l.must(l.backend.Kill(l.ctx, handles[:1]), "Kill of a removed container")
	if alive := l.alive(l.ctx, handles); len(alive) != 1 {
		l.Errorf("after all that, %d containers are alive, not 1", len(alive))
	}
}

func killFromOutsideShows(l *lab) {
	handles := l.start(inPool(l.scope, "w"), l.suite.Worker, 2)
	l.statusOf(handles[0], managed.StatusRunning)
	l.killOutside(handles[0])
	seen, err := l.backend.Status(l.ctx, handles)
	l.must(err, "Status")
	if o := seen[handles[0]]; o.Known && (o.Reason == "" || o.ExitCode != nil && *o.ExitCode == 0) {
		l.Errorf("a killed container has the reason %q and an exit code of 0 (%t)", o.Reason, o.ExitCode != nil)
	}
	if o := seen[handles[1]]; !o.Known || o.Status == managed.StatusStopped {
		l.Errorf("its neighbour is %q (known %t)", o.Status, o.Known)
	}
}

func exitCodeAndReason(l *lab) {
	for code, worker := range map[int]managed.Template{3: l.suite.FailingWorker, 0: l.suite.CompletingWorker} {
		h := l.start(inPool(l.scope, "w"), worker, 1)[0]
		o := l.statusOf(h, managed.StatusStopped)
		if o.Reason == "" {
			l.Errorf("a container that exited with %d has no reason", code)
		}
		if o.ExitCode != nil && *o.ExitCode != code {
			l.Errorf("a container that exited with %d has the exit code %d", code, *o.ExitCode)
		}
		if o.Passing {
			l.Errorf("a program that ended is said to have a reason that can pass (%s)", o.Reason)
		}
	}
}

func listSelectors(l *lab) {
	a := l.start(inPool(l.scope, "a"), l.suite.Worker, 2)
	b := l.start(inPool(l.scope, "b"), l.suite.Worker, 1)
	other := l.cluster("other")
	c := l.start(inPool(other, "a"), l.suite.Worker, 1)
	ns, cl := l.scope.Namespace, l.scope.Cluster
	for _, test := range []struct {
		sel  managed.Selector
		want []managed.Handle
	}{
		{managed.Selector{Namespace: ns, Cluster: cl}, slices.Concat(a, b)},
		{managed.Selector{Namespace: ns, Cluster: cl, Pool: "a"}, a},
		{managed.Selector{Namespace: ns, Cluster: cl, Pool: "b", Role: managed.RoleWorker}, b},
		{managed.Selector{Namespace: ns, Cluster: cl, Role: managed.RoleWorker}, slices.Concat(a, b)},
		{managed.Selector{Namespace: ns, Cluster: cl, Role: managed.RoleServer}, nil},
		{managed.Selector{Namespace: ns, Cluster: cl, Pool: "c"}, nil},
		{managed.Selector{Namespace: ns, Cluster: cl + "x"}, nil},
		{managed.Selector{Namespace: ns + "x", Cluster: cl}, nil},
		{managed.Selector{Namespace: ns, Cluster: other.Cluster}, c},
		{managed.Selector{Cluster: cl}, slices.Concat(a, b)},
	} {
		l.eventually(l.ctx, sprintf("List %+v", test.sel), func() string {
			inv, err := l.can.Lister.List(l.ctx, test.sel)
			l.must(err, "List")
			var got []managed.Handle
			for _, c := range inv.Containers {
				got = append(got, c.Handle)
			}
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(test.want)); !slices.Equal(got, want) {
				return sprintf("%q, not %q", got, want)
			}
			return ""
		})
	}
	// Without a cluster: the whole namespace, in which others may work.
	for _, sel := range []managed.Selector{{Namespace: ns}, {}} {
		inv, err := l.can.Lister.List(l.ctx, sel)
		l.must(err, "List")
		for _, h := range slices.Concat(a, b, c) {
			if !slices.ContainsFunc(inv.Containers, func(c managed.Container) bool { return c.Handle == h }) {
				l.Errorf("List %+v does not show %s", sel, h)
			}
		}
	}
}

func listHandlesStable(l *lab) {
	want := l.start(inPool(l.scope, "w"), l.suite.Worker, 3)
	slices.Sort(want)
	for range 3 {
		b, err := l.suite.New(l.ctx)
		l.must(err, "making another client")
		l.eventually(l.ctx, "handles in List", func() string {
			inv, err := managed.CapabilitiesOf(b).Lister.List(l.ctx, managed.Selector{Namespace: l.scope.Namespace, Cluster: l.scope.Cluster})
			l.must(err, "List")
			var got []managed.Handle
			for _, c := range inv.Containers {
				got = append(got, c.Handle)
				if c.Status == "" || c.Status == managed.StatusStopped {
					return string(c.Handle) + " is " + string(c.Status)
				}
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				return sprintf("%q, not %q", got, want)
			}
			return ""
		})
		seen, err := b.Status(l.ctx, want)
		l.must(err, "Status")
		if len(seen) != len(want) {
			l.Errorf("another client knows %d of %d handles", len(seen), len(want))
		}
	}
}

func listLabels(l *lab) {
	long := l.props.MaxLabelValue
	if long == 0 || long > 4000 {
		long = 4000
	}
	spec, err := json.Marshal(map[string]any{"name": "grün 日本 \"'$\\{}", "null": nil, "lines": "a\nb\tc"})
	l.must(err, "encoding a record")
	record := managed.Record{Spec: spec, Effective: json.RawMessage(`{"image":"x"}`)}
	worker := l.suite.Worker
	worker.Record = record
	worker.Labels = map[string]string{"team": "grün-日本", "empty": "", "long": strings.Repeat("x", long), "equals": "a=b,c d"}
	req := l.request(inPool(l.scope, "w"), worker, 1)
	if m := l.props.MaxLabelValue; m > 0 && len(req.Spec.Labels[managed.LabelRecord]) > m {
		l.Fatalf("a small record does not fit into a label of %d bytes", m)
	}
	h := l.run(req)[0]
	l.eventually(l.ctx, "labels", func() string {
		inv, err := l.can.Lister.List(l.ctx, managed.Selector{Namespace: l.scope.Namespace, Cluster: l.scope.Cluster, Pool: "w"})
		l.must(err, "List")
		if len(inv.Containers) != 1 || inv.Containers[0].Handle != h {
			return sprintf("%d containers are listed", len(inv.Containers))
		}
		got := inv.Containers[0].Labels
		for k, v := range req.Spec.Labels {
			if w, there := got[k]; w != v || !there {
				return sprintf("the label %s is %q (there: %t), not %q", k, w, there, v)
			}
		}
		back, err := managed.ParseRecord(got[managed.LabelRecord])
		if err != nil || string(back.Spec) != string(record.Spec) {
			return sprintf("the record came back as %q (%v)", back.Spec, err)
		}
		return ""
	})
}
