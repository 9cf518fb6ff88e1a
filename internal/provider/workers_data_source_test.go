// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func TestWorkersDataSource(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	wantValues(t, h.shown("workers", attrs{"cluster_id": "sim"}), map[string]any{
		"namespace": "default", "running_workers": 0, "initializing_workers": 0, "containers": []any{},
	})

	c, main, extra := h.resource("cluster"), h.resource("worker_pool"), h.resource("worker_pool")
	c.to(clusterConfig(nil))
	main.to(poolConfig(c, 2, attrs{"name": "main", "container": attrs{"command": []any{"work"}, "max_workers": 2}}))
	extra.to(poolConfig(c, 1, attrs{"name": "extra"}))
	dead := extra.handles()[0]
	if err := b.Stop(managed.Handle(dead), 137); err != nil {
		t.Fatal(err)
	}

	got := h.shown("workers", attrs{"cluster_id": c.get("id")})
	wantValues(t, got, map[string]any{"running_workers": 2, "initializing_workers": 0})
	list, _ := got["containers"].([]any)
	if len(list) != 2 {
		t.Fatalf("there are %d containers, want 2: %v", len(list), list)
	}
	wantValues(t, list[0], map[string]any{
		"handle": dead, "pool": "extra", "workers": 1, "status": "stopped", "exit_code": 137, "current": true, "owner": "tests", "launch": c.get("launch"),
	})
	wantValues(t, list[1], map[string]any{
		"handle": main.handles()[0], "pool": "main", "workers": 2, "status": "running", "exit_code": nil, "current": true,
	})

	// One pool; and a server that has gone leaves workers of no use.
	if err := b.Stop(c.handle(), 1); err != nil {
		t.Fatal(err)
	}
	got = h.shown("workers", attrs{"cluster_id": "sim", "pool": "main"})
	wantValues(t, got, map[string]any{"running_workers": 0})
	list, _ = got["containers"].([]any)
	if len(list) != 1 {
		t.Fatalf("there are %d containers of the pool, want 1: %v", len(list), list)
	}
	wantValues(t, list[0], map[string]any{"pool": "main", "status": "running", "current": false})
}
