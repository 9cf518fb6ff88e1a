// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"slices"
	"testing"
)

func TestClustersDataSource(t *testing.T) {
	b := newMemory()
	owned := func(owner, namespace, name string) *host {
		h := newHost(t, NewWithBackend("test", b)())
		h.configure(attrs{"owner": owner, "namespace": namespace})
		h.resource("cluster").to(clusterConfig(attrs{"name": name}))
		return h
	}
	h := owned("alice", "default", "one")
	owned("bob", "default", "two")
	owned("", "default", "three")
	owned("alice", "lab", "four")

	names := func(config attrs) []string {
		got := h.shown("clusters", config)
		wantValues(t, got, map[string]any{"namespace": "default"})
		list, ok := got["clusters"].([]any)
		if !ok {
			t.Fatalf("clusters are %v", got["clusters"])
		}
		var names []string
		for _, c := range list {
			wantValues(t, c, map[string]any{"status": "running", "framework": "custom", "pools": []any{}})
			m, _ := c.(map[string]any)
			name, _ := m["name"].(string)
			names = append(names, name)
		}
		return names
	}
	for _, test := range []struct {
		config attrs
		want   []string
	}{
		{attrs{}, []string{"one", "three", "two"}},
		{attrs{"owner": "bob"}, []string{"two"}},
		{attrs{"owner": ""}, []string{"three"}},
		{attrs{"owner": "carol"}, nil},
	} {
		if got := names(test.config); !slices.Equal(got, test.want) {
			t.Errorf("with %v there are %v, want %v", test.config, got, test.want)
		}
	}
}
