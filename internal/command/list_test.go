// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package command_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// killOutside kills a process of the process backend, and waits until that shows.
func (w *world) killOutside(h managed.Handle) {
	w.t.Helper()
	pid, _, _ := strings.Cut(string(h), "-")
	n, err := strconv.Atoi(pid)
	if err != nil {
		w.t.Fatalf("the handle %q begins with no pid", h)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		all, err := w.manager("").Containers(context.Background(), managed.Selector{})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range all {
			if c.Handle == h && c.Status == managed.StatusStopped {
				return
			}
		}
	}
	w.t.Fatalf("%s does not stop", h)
}

func TestListNothing(t *testing.T) {
	w := newWorld(t)
	r := w.run("list", "--namespace", "lab").want(t, 0).says(t, `No clusters in namespace "lab"`, w.root)
	if r.out != "" {
		t.Errorf("stdout is not empty: %s", r.out)
	}
	if r := w.run("list", "--json").want(t, 0); r.out != "[]\n" || r.err != "" {
		t.Errorf("list --json says %q, %q", r.out, r.err)
	}
}

func TestList(t *testing.T) {
	w := newWorld(t)
	w.server("alice", "default", "sim", "")
	w.pool("alice", "sim", "main", 2, 2)
	dead := w.pool("alice", "sim", "batch", 1, 1)
	w.pool("bob", "sim", "extra", 1, 1)
	w.server("", "lab", "empty", "")
	gone := w.server("carol", "lab", "gone", "")
	w.killOutside(dead[0])
	w.killOutside(gone.Handle)

	golden(t, "list", w.run("list").want(t, 0).out)
	golden(t, "list-containers", w.run("list", "--containers").want(t, 0).out)
	golden(t, "list-json", w.run("list", "--json").want(t, 0).out)

	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--namespace", "lab"}, "empty gone"},
		{[]string{"--namespace", "default"}, "sim"},
		{[]string{"--owner", "alice"}, "sim"},
		{[]string{"--owner", "bob"}, "sim"}, // a pool of its own in another's cluster
		{[]string{"--owner", ""}, "empty"},
		{[]string{"--owner", "dave"}, ""},
	} {
		var clusters []struct{ Cluster string }
		out := w.run(append([]string{"list", "--json"}, test.args...)...).want(t, 0).out
		if err := json.Unmarshal([]byte(out), &clusters); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range clusters {
			names = append(names, c.Cluster)
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("list %q shows %q, want %q", test.args, got, test.want)
		}
	}
	w.run("list", "--namespace", "no name").want(t, 1).says(t, `"no name" is not a name`)
}

// A server from elsewhere leaves no container, but is a cluster all the same.
func TestListExternal(t *testing.T) {
	w := newWorld(t)
	fw, err := frameworks.New("redis", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.manager("alice").RunServer(t.Context(), managed.ServerRequest{
		Scope: managed.Scope{Namespace: "default", Cluster: "far"}, Framework: fw, Create: true, OnExisting: managed.OnExistingError,
		External: &managed.External{Endpoint: managed.Endpoint{PublicIP: "192.0.2.1", PublicPort: 6379}, Password: "p w"},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "list-external", w.run("list").want(t, 0).out)
	if url := w.run("credentials", "far", "--show-url").want(t, 0).out; url != "redis://default:p%20w@192.0.2.1:6379/0\n" {
		t.Errorf("the URL is %q", url)
	}
}

// After a crash between secret and server only the secret is left.
func TestListSecretOnly(t *testing.T) {
	w := newWorld(t)
	s := w.server("alice", "default", "sim", "")
	b, err := w.backend()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Kill(t.Context(), []managed.Handle{s.Handle}); err != nil {
		t.Fatal(err)
	}
	golden(t, "list-secret", w.run("list").want(t, 0).out)
	w.run("credentials", "sim").want(t, 1).says(t, `there is no cluster "sim" in namespace "default"`, "there is none")
	w.run("sweep", "--owner", "alice", "--yes").want(t, 0).says(t, "Removed 1 secret.")
	w.run("list").want(t, 0).says(t, "No clusters")
}
