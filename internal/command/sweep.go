// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func sweepCommand() command {
	return command{
		name:    "sweep",
		summary: "remove clusters that a lost state left behind, after showing them",
		detail: `
Removes containers, and what else belongs to them (secrets, networks, folders),
that no Terraform state knows any more: after a state file was lost, or a first
apply was killed. What Terraform still knows is better removed with "terraform
destroy".

It shows what it would remove and asks. Without a terminal to ask at, it needs
--yes. At least one of --namespace, --owner, --cluster and --older-than is
required, or --all; several of them must all match. --older-than goes by the
newest container of a cluster. What containers that stay still need, such as
their cluster's secret, stays, too.

Exit code 1 if anything is left in the end.

With --json it prints one object: dry_run, removed (whether it went that far),
containers and artifacts (what was chosen), kept (artifacts that other
containers need), left (containers and artifacts that are still there). The
fields of both are those of list --json; containers have namespace, cluster and
pool, too.`,
		flags: func(f *flag.FlagSet) func(context.Context, streams, string) error {
			w := &sweep{}
			w.backend.register(f)
			f.Var(&w.namespace, "namespace", "remove what is in this `namespace`")
			f.Var(&w.owner, "owner", "remove what is of this `owner`; '' is no owner")
			f.Var(&w.cluster, "cluster", "remove what belongs to the cluster of this `name`")
			f.Var(&w.olderThan, "older-than", "remove clusters in which nothing was started for this `time`, such as 30m, 2h or 7d")
			f.BoolVar(&w.all, "all", false, "remove everything on the backend that this program ever started")
			f.BoolVar(&w.yes, "yes", false, "do not ask")
			f.BoolVar(&w.dryRun, "dry-run", false, "show what would be removed, and remove nothing")
			f.BoolVar(&w.json, "json", false, "print JSON")
			return w.run
		},
	}
}

// settle is how long containers may take to disappear once they were stopped.
const settle = 15 * time.Second

type sweep struct {
	backend            backendFlags
	namespace, cluster optional
	owner              optional
	olderThan          age
	all                bool
	yes                bool
	dryRun             bool
	json               bool
}

type sweepJSON struct {
	DryRun     bool           `json:"dry_run"`
	Removed    bool           `json:"removed"`
	Containers []sweptJSON    `json:"containers"`
	Artifacts  []artifactJSON `json:"artifacts"`
	Kept       []artifactJSON `json:"kept"`
	Left       sweptLeftovers `json:"left"`
}

type sweptLeftovers struct {
	Containers []sweptJSON    `json:"containers"`
	Artifacts  []artifactJSON `json:"artifacts"`
}

type sweptJSON struct {
	Namespace string `json:"namespace"`
	Cluster   string `json:"cluster"`
	Pool      string `json:"pool"`
	containerJSON
}

func (w *sweep) run(ctx context.Context, s streams, _ string) error {
	if err := w.check(s); err != nil {
		return err
	}
	m, err := w.backend.manager("")
	if err != nil {
		return err
	}
	begun := time.Now()
	c, err := w.choose(ctx, m, begun)
	if err != nil {
		return err
	}
	report := sweepJSON{
		DryRun: w.dryRun, Containers: sweptOf(c.Members), Artifacts: artifactsOf(c.Artifacts), Kept: artifactsOf(c.kept),
		Left: sweptLeftovers{Containers: []sweptJSON{}, Artifacts: []artifactJSON{}},
	}
	if !w.json {
		if err := w.show(s, report); err != nil {
			return err
		}
	}
	if c.empty() || w.dryRun {
		return w.finish(s, report, nil)
	}
	if !w.yes {
		if err := ask(ctx, s, "Remove "+c.counted()+"? [y/N] "); err != nil {
			return err
		}
	}
	sweepErr := m.Sweep(ctx, c.Leftovers)
	report.Removed = true
	left, err := w.remaining(ctx, m, begun)
	if err != nil {
		return errors.Join(sweepErr, err)
	}
	report.Left = sweptLeftovers{Containers: sweptOf(left.Members), Artifacts: artifactsOf(left.Artifacts)}
	if sweepErr == nil && !w.json && left.empty() {
		fmt.Fprintf(s.err, "Removed %s.\n", c.counted())
	}
	return w.finish(s, report, sweepErr)
}

func (w *sweep) check(s streams) error {
	for name, o := range map[string]optional{"namespace": w.namespace, "cluster": w.cluster} {
		if o.given && o.value == "" {
			return usagef("the %s may not be empty", name)
		}
	}
	switch {
	case !w.namespace.given && !w.owner.given && !w.cluster.given && !w.olderThan.given && !w.all:
		return usagef("say what to remove: at least one of --namespace, --owner, --cluster and --older-than, or --all for everything")
	case !w.yes && !w.dryRun && !s.terminal(s.in):
		return usagef("there is no terminal to ask at: add --yes to remove, or --dry-run to look")
	}
	return nil
}

// chosen is what a sweep removes.
type chosen struct {
	managed.Leftovers
	// kept are artifacts that match, but are still needed.
	kept []managed.Artifact
}

func (c chosen) empty() bool { return len(c.Members) == 0 && len(c.Artifacts) == 0 }

// counted says in words what there is: "3 containers and 1 secret".
func (c chosen) counted() string {
	var parts []string
	if n := len(c.Members); n > 0 {
		parts = append(parts, plural(n, "container"))
	}
	byKind := map[string]int{}
	var kinds []string
	for _, a := range c.Artifacts {
		if byKind[a.Kind]++; byKind[a.Kind] == 1 {
			kinds = append(kinds, a.Kind)
		}
	}
	for _, k := range kinds {
		parts = append(parts, plural(byKind[k], k))
	}
	if n := len(parts); n > 1 {
		return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
	return strings.Join(parts, "")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// choose finds what the flags mean. Ages are those at the time now.
func (w *sweep) choose(ctx context.Context, m *managed.Manager, now time.Time) (chosen, error) {
	all, err := m.Leftovers(ctx, managed.Selector{Namespace: w.namespace.value, Cluster: w.cluster.value})
	if err != nil {
		return chosen{}, err
	}
	old := w.oldPlaces(all, now)
	var c chosen
	needed := map[place]bool{}
	for _, member := range all.Members {
		at := place{member.Namespace, member.Cluster}
		if old(at) && w.owner.matches(member.Owner) {
			c.Members = append(c.Members, member)
		} else {
			needed[at] = true
		}
	}
	for _, a := range all.Artifacts {
		labels, _ := managed.ParseLabels(a.Labels)
		at := place{labels.Namespace, labels.Cluster}
		// What a crash left without a label of its owner goes with its cluster.
		_, labelled := a.Labels[managed.LabelOwner]
		switch {
		case !old(at) || labelled && !w.owner.matches(labels.Owner):
		case needed[at]:
			c.kept = append(c.kept, a)
		default:
			c.Artifacts = append(c.Artifacts, a)
		}
	}
	return c, nil
}

// oldPlaces tells which clusters are old enough. A cluster is as old as its
// newest container: in one that was just repaired somebody still believes.
// What has no known age is not old.
func (w *sweep) oldPlaces(all managed.Leftovers, now time.Time) func(place) bool {
	if !w.olderThan.given {
		return func(place) bool { return true }
	}
	limit := now.Add(-w.olderThan.value)
	containers, artifacts := map[place]bool{}, map[place]bool{}
	note := func(m map[place]bool, at place, created time.Time) {
		old, seen := m[at]
		m[at] = (!seen || old) && !created.IsZero() && !created.After(limit)
	}
	for _, c := range all.Members {
		note(containers, place{c.Namespace, c.Cluster}, c.CreatedAt)
	}
	for _, a := range all.Artifacts {
		labels, _ := managed.ParseLabels(a.Labels)
		note(artifacts, place{labels.Namespace, labels.Cluster}, a.CreatedAt)
	}
	return func(at place) bool {
		if old, has := containers[at]; has {
			return old
		}
		return artifacts[at]
	}
}

// remaining lists again, until nothing is left or it takes too long: to a
// backend it is enough to have accepted a stop. After a Ctrl-C it looks once.
func (w *sweep) remaining(ctx context.Context, m *managed.Manager, begun time.Time) (chosen, error) {
	limit := time.Now().Add(settle + m.Properties().VisibilityLag)
	interval := m.Properties().PollInterval
	for {
		look, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
		left, err := w.choose(look, m, begun)
		cancel()
		if err != nil || len(left.Members) == 0 || time.Now().After(limit) {
			return left, err
		}
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return left, nil
		case <-timer.C:
		}
		interval = min(2*interval, 2*time.Second)
	}
}

// show prints what was chosen.
func (w *sweep) show(s streams, r sweepJSON) error {
	if len(r.Containers) == 0 && len(r.Artifacts) == 0 {
		fmt.Fprintf(s.err, "Nothing to remove on %s.\n", w.backend.describe())
	} else if err := printSwept(s.out, r.Containers, r.Artifacts); err != nil {
		return err
	}
	for _, a := range r.Kept {
		fmt.Fprintf(s.err, "The %s of cluster %s in namespace %s stays: containers that are not removed still need it.\n", a.Kind, printable(a.Cluster), printable(a.Namespace))
	}
	return nil
}

// finish reports how it ended.
func (w *sweep) finish(s streams, r sweepJSON, sweepErr error) error {
	if w.json {
		if err := writeJSON(s.out, r); err != nil {
			return err
		}
	}
	n := len(r.Left.Containers) + len(r.Left.Artifacts)
	if n > 0 && !w.json {
		fmt.Fprintln(s.err, "These are still there:")
		if err := printSwept(s.err, r.Left.Containers, r.Left.Artifacts); err != nil {
			return err
		}
	}
	switch {
	case sweepErr != nil:
		return fmt.Errorf("%w; run the same command again for what is left (%d)", sweepErr, n)
	case n > 0:
		return fmt.Errorf("%d of them are still there; run the same command again", n)
	}
	return nil
}

func printSwept(w io.Writer, containers []sweptJSON, artifacts []artifactJSON) error {
	t := newTable(w, "NAMESPACE", "CLUSTER", "POOL", "OWNER", "WHAT", "HANDLE", "STATUS", "AGE")
	for _, c := range containers {
		t.row(c.Namespace, c.Cluster, c.Pool, c.Owner, c.Role, c.Handle, c.Status, ageOf(c.CreatedAt))
	}
	for _, a := range artifacts {
		t.row(a.Namespace, a.Cluster, "", a.Owner, a.Kind, a.ID, "", ageOf(a.CreatedAt))
	}
	return t.flush()
}

func sweptOf(members []managed.Member) []sweptJSON {
	out := make([]sweptJSON, 0, len(members))
	for _, c := range members {
		out = append(out, sweptJSON{Namespace: c.Namespace, Cluster: c.Cluster, Pool: c.Pool, containerJSON: containerOf(c)})
	}
	slices.SortFunc(out, func(a, b sweptJSON) int {
		// A server has no pool, so it comes first.
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Pool, b.Pool), byAge(a.containerJSON, b.containerJSON))
	})
	return out
}

func artifactsOf(artifacts []managed.Artifact) []artifactJSON {
	out := make([]artifactJSON, 0, len(artifacts))
	for _, a := range artifacts {
		out = append(out, artifactOf(a))
	}
	sortArtifacts(out)
	return out
}

// ask asks a person, who may also end the program.
func ask(ctx context.Context, s streams, question string) error {
	fmt.Fprint(s.err, question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(s.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.err)
		return errors.New("nothing was removed")
	case a := <-answer:
		if a != "y" && a != "yes" {
			fmt.Fprintln(s.err, "Nothing was removed.")
			return errReported
		}
		return nil
	}
}
