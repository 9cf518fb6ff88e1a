// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package command_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/command"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func (w *world) backend() (managed.Backend, error) {
	return backends.New(backends.Config{Process: &process.Config{Root: w.root}})
}

// left names everything that is there, containers as cluster/pool and
// artifacts as cluster/kind.
func (w *world) left() string {
	w.t.Helper()
	all, err := w.manager("").Leftovers(context.Background(), managed.Selector{})
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, c := range all.Members {
		names = append(names, c.Cluster+"/"+c.Pool)
	}
	for _, a := range all.Artifacts {
		names = append(names, a.Labels[managed.LabelCluster]+"/"+a.Kind)
	}
	return strings.Join(names, " ")
}

func TestSweepAsks(t *testing.T) {
	w := newWorld(t)
	w.server("alice", "default", "sim", "")
	w.pool("alice", "sim", "main", 2, 1)
	before := w.left()

	golden(t, "sweep", w.run("sweep", "--owner", "alice", "--dry-run").want(t, 0).out)
	for _, answer := range []string{"", "\n", "n\n", "no\n", "yeah\n"} {
		r := w.runAt(answer, true, "sweep", "--owner", "alice").want(t, 1)
		r.says(t, "Remove 3 containers and 1 secret? [y/N] ", "Nothing was removed.")
		if !strings.Contains(r.out, "alice") {
			t.Errorf("it asks without showing: %s", r.out)
		}
	}
	if got := w.left(); got != before {
		t.Fatalf("nothing may be removed without a yes; left %s", got)
	}
	w.runAt("Y\n", true, "sweep", "--owner", "alice").want(t, 0).says(t, "Removed 3 containers and 1 secret.")
	if got := w.left(); got != "" {
		t.Errorf("left: %s", got)
	}
	r := w.run("sweep", "--owner", "alice", "--yes").want(t, 0).says(t, "Nothing to remove")
	if r.out != "" {
		t.Errorf("stdout is not empty: %s", r.out)
	}
}

func TestSweepSelects(t *testing.T) {
	w := newWorld(t)
	w.server("alice", "default", "one", "")
	w.pool("bob", "one", "guest", 1, 1)
	w.server("alice", "default", "two", "")
	w.server("alice", "lab", "one", "")

	for _, step := range []struct {
		args string
		left string // in place of what was left before
	}{
		{"--owner carol", "one/ one/guest two/ one/ one/secret two/secret one/secret"},
		{"--owner alice --older-than 1h", "one/ one/guest two/ one/ one/secret two/secret one/secret"},
		{"--owner bob --namespace lab", "one/ one/guest two/ one/ one/secret two/secret one/secret"},
		{"--cluster two --older-than 0s", "one/ one/guest one/ one/secret one/secret"},
		// The guest's cluster keeps its secret.
		{"--owner alice --namespace default", "one/guest one/ one/secret one/secret"},
		{"--namespace lab", "one/guest one/secret"},
		{"--all", ""},
	} {
		r := w.run(append([]string{"sweep", "--yes"}, strings.Fields(step.args)...)...).want(t, 0)
		if got := w.left(); sorted(got) != sorted(step.left) {
			t.Fatalf("after sweep %s there is %q, want %q\n%s", step.args, got, step.left, r.err)
		}
		if strings.Contains(step.args, "alice --namespace default") {
			r.says(t, "The secret of cluster one in namespace default stays")
		}
	}
}

func sorted(s string) string {
	words := strings.Fields(s)
	for i := range words {
		for j := i; j > 0 && words[j] < words[j-1]; j-- {
			words[j], words[j-1] = words[j-1], words[j]
		}
	}
	return strings.Join(words, " ")
}

func TestSweepJSON(t *testing.T) {
	w := newWorld(t)
	w.server("alice", "default", "sim", "")
	golden(t, "sweep-json-dry", w.run("sweep", "--owner", "alice", "--dry-run", "--json").want(t, 0).out)
	golden(t, "sweep-json", w.run("sweep", "--owner", "alice", "--yes", "--json").want(t, 0).out)
	var v struct{ Removed bool }
	if err := json.Unmarshal([]byte(w.run("sweep", "--owner", "alice", "--yes", "--json").want(t, 0).out), &v); err != nil || v.Removed {
		t.Errorf("nothing was there to remove: %+v, %v", v, err)
	}
}

// slowReader is a person who thinks.
type slowReader struct{ ctx context.Context }

func (r slowReader) Read([]byte) (int, error) { <-r.ctx.Done(); return 0, r.ctx.Err() }

func TestSweepInterruptedAtTheQuestion(t *testing.T) {
	w := newWorld(t)
	w.server("alice", "default", "sim", "")
	before := w.left()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var out, stderr strings.Builder
	app := command.App{Terminal: func(any) bool { return true }}
	code := app.Run(ctx, []string{"sweep", "--owner", "alice", "--process-root", w.root}, slowReader{t.Context()}, &out, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "Interrupted: nothing was removed.") {
		t.Errorf("exit code %d, stderr %s", code, stderr.String())
	}
	if got := w.left(); got != before {
		t.Errorf("left %s", got)
	}
}

// A Ctrl-C ends a sweep that is at work; what is left is told, and found by
// the next one.
func TestSweepInterruptedAtWork(t *testing.T) {
	w := newWorld(t)
	w.server("alice", "default", "sim", "")
	w.poolOf(managed.Template{Command: []string{"sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"}, StopGrace: 3 * time.Second},
		"alice", "sim", "stubborn", 1, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	begun := time.Now()
	run(ctx, command.App{}, "", "sweep", "--owner", "alice", "--yes", "--process-root", w.root).want(t, 1).
		says(t, "Interrupted: ", "run the same command again", "sim/secret.json")
	if d := time.Since(begun); d > 2500*time.Millisecond {
		t.Errorf("it took %v to listen", d)
	}
	w.run("sweep", "--owner", "alice", "--yes").want(t, 0)
	if left := w.left(); left != "" {
		t.Errorf("left: %s", left)
	}
}
