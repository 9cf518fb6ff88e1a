// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// TestWorkersReconnect shows that a restarted server keeps its launch, and the
// pool its workers, exactly where that is allowed.
func TestWorkersReconnect(t *testing.T) {
	reconnecting := func(more attrs) attrs {
		c := clusterConfig(attrs{"workers_reconnect": true})
		for k, v := range more {
			c[k] = v
		}
		return c
	}
	image := attrs{"server": attrs{"container": attrs{"command": []any{"serve"}, "image": "other"}, "port": 6000}}
	for name, test := range map[string]struct {
		props  managed.Properties
		before attrs
		after  attrs
		dies   bool
		keeps  bool
	}{
		"a dead server":            {props: stable(), before: reconnecting(nil), after: reconnecting(nil), dies: true, keeps: true},
		"another image":            {props: stable(), before: reconnecting(nil), after: reconnecting(image), keeps: true},
		"not asked for":            {props: stable(), before: clusterConfig(nil), after: clusterConfig(nil), dies: true},
		"no stable name":           {props: managed.Properties{SameLAN: true}, before: reconnecting(nil), after: reconnecting(nil), dies: true},
		"another port":             {props: stable(), before: reconnecting(nil), after: reconnecting(attrs{"server": attrs{"container": attrs{"command": []any{"serve"}}, "port": 6001}})},
		"another password":         {props: stable(), before: reconnecting(nil), after: reconnecting(attrs{"password_wo_version": 2})},
		"by the public address":    {props: stable(), before: reconnecting(attrs{"server_worker_same_lan": false}), after: reconnecting(attrs{"server_worker_same_lan": false}), dies: true},
		"asked for after it died":  {props: stable(), before: clusterConfig(nil), after: reconnecting(nil), dies: true, keeps: true},
		"given up after it died":   {props: stable(), before: reconnecting(nil), after: clusterConfig(nil), dies: true},
		"only the wish is changed": {props: stable(), before: clusterConfig(nil), after: reconnecting(nil), keeps: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := managedtest.NewMemory(managedtest.MemoryOptions{Properties: test.props})
			c := memoryHost(t, b).resource("cluster")
			c.to(test.before)
			id, handle := c.get("id"), fmt.Sprint(c.get("server_handle"))
			if test.dies {
				if err := b.Stop(managed.Handle(handle), 137); err != nil {
					t.Fatal(err)
				}
				noErrors(t, c.refresh())
				c.want("stopped", "status")
			}
			c.to(test.after)
			if kept := c.get("id") == id; kept != test.keeps {
				t.Errorf("the id was kept: %t, want %t", kept, test.keeps)
			}
			c.want("running", "status")
			c.wantNoChange(test.after)
		})
	}
	t.Run("without the secret", func(t *testing.T) {
		b := managedtest.NewMemory(managedtest.MemoryOptions{Properties: stable()})
		c := memoryHost(t, b).resource("cluster")
		c.to(reconnecting(nil))
		id := c.get("id")
		if err := b.Stop(managed.Handle(fmt.Sprint(c.get("server_handle"))), 137); err != nil {
			t.Fatal(err)
		}
		if err := b.DeleteSecret(t.Context(), managed.Scope{Namespace: "default", Cluster: "sim"}); err != nil {
			t.Fatal(err)
		}
		noErrors(t, c.refresh())
		diags := c.try(reconnecting(nil))
		if text := show(diags); !failed(diags) || !strings.Contains(text, "next apply") {
			t.Errorf("the apply said %s", text)
		}
		c.to(reconnecting(nil)) // the next one heals
		if c.get("id") == id {
			t.Error("the id was kept although the workers' password is gone")
		}
	})
}

func stable() managed.Properties { return managed.Properties{StableServerName: true, SameLAN: true} }
