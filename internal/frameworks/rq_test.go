// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func TestRQContainer(t *testing.T) {
	f := managed.Facts{Namespace: "ns", Cluster: "sim", Pool: "big"}
	for key, want := range map[string]string{
		"rq:worker:dockerparallel:ns:sim:big:dp.ns.sim.big.x:1": "dp.ns.sim.big.x",
		"rq:worker:dockerparallel:ns:sim:big:a:b:12":            "a:b",
		"rq:worker:dockerparallel:ns:sim:bigger:x:1":            "",
		"rq:worker:dockerparallel:ns:other:big:x:1":             "",
		"rq:worker:dockerparallel:other:sim:big:x:1":            "",
		"rq:worker:dockerparallel:ns:sim:big:x":                 "",
		"rq:worker:dockerparallel:ns:sim:big::1":                "",
		"rq:worker:dockerparallel:ns:sim:big":                   "",
		"rq:worker:5f0c":                                        "",
		"":                                                      "",
	} {
		if got, ok := rqContainer(key, f); got != want || ok != (want != "") {
			t.Errorf("%s is of container %q, %t; want %q", key, got, ok, want)
		}
	}
}

func TestRQQueueNames(t *testing.T) {
	for _, name := range []string{"default", "sim-2", "high_priority", "a.b:c/d", "{sim}:urgent", "Käse"} {
		if wrong := checkRQQueue(name); wrong != "" {
			t.Errorf("%q is refused: %s", name, wrong)
		}
	}
	for _, name := range []string{"", "-b", "--burst", "a b", "a,b", "a\tb", "a\n", "$(HOME)", "a$$b"} {
		if wrong := checkRQQueue(name); !strings.Contains(wrong, "use a name without") {
			t.Errorf("%q is not refused: %q", name, wrong)
		}
	}
}

func TestRQErrorClasses(t *testing.T) {
	dial := func(context.Context, string) (net.Conn, error) { return nil, errors.New("connection refused") }
	if _, err := (rq{}).RegisteredWorkers(t.Context(), dial, workerFacts); managed.ClassOf(err) != managed.ClassTransient {
		t.Errorf("a server that does not listen: %v, class %q", err, managed.ClassOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (rq{}).RegisteredWorkers(ctx, dial, workerFacts); managed.ClassOf(err) != managed.ClassCanceled {
		t.Errorf("a context that has ended: %v, class %q", err, managed.ClassOf(err))
	}
}

// TestTunnelNote: code for a server behind a tunnel begins with the tunnel.
func TestTunnelNote(t *testing.T) {
	f := clientFacts
	f.Tunnel = "ssh -N -L 6379:127.0.0.1:6379 ann@compute.example.com"
	for _, fw := range []managed.Framework{redisQueue{}, rq{}} {
		c := fw.Client(f)
		for language, code := range map[string]string{"R": c.R, "Python": c.Python, "shell": c.Shell} {
			first, _, _ := strings.Cut(code, "\n")
			if code != "" && (!strings.HasPrefix(first, "# ") || !strings.HasSuffix(first, f.Tunnel)) {
				t.Errorf("%s, %s begins with %q", fw.Name(), language, first)
			}
		}
		if c := fw.Client(clientFacts); strings.Contains(c.Python+c.Shell, "tunnel") {
			t.Errorf("%s tells of a tunnel where there is none", fw.Name())
		}
	}
}
