// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// read reads a data source; the value is of no use if there are errors.
func (h *host) read(short string, config attrs) (tftypes.Value, []*tfprotov6.Diagnostic) {
	h.t.Helper()
	name := "dockerparallel_" + short
	typ := h.schemas.DataSourceSchemas[name].ValueType()
	c := dynamic(h.t, value(h.t, typ, config))
	checked, err := h.server.ValidateDataResourceConfig(h.t.Context(), &tfprotov6.ValidateDataResourceConfigRequest{TypeName: name, Config: c})
	if err != nil {
		h.t.Fatal(err)
	}
	if failed(checked.Diagnostics) {
		return tftypes.Value{}, checked.Diagnostics
	}
	resp, err := h.server.ReadDataSource(h.t.Context(), &tfprotov6.ReadDataSourceRequest{TypeName: name, Config: c})
	if err != nil {
		h.t.Fatal(err)
	}
	if failed(resp.Diagnostics) {
		return tftypes.Value{}, resp.Diagnostics
	}
	v, err := resp.State.Unmarshal(typ)
	if err != nil {
		h.t.Fatal(err)
	}
	if !v.IsFullyKnown() {
		h.t.Errorf("%s has unknown values: %s", name, v)
	}
	return v, resp.Diagnostics
}

// shown is the value of a data source that is read without an error.
func (h *host) shown(short string, config attrs) map[string]any {
	h.t.Helper()
	v, diags := h.read(short, config)
	noErrors(h.t, diags)
	m, ok := plain(h.t, v).(map[string]any)
	if !ok {
		h.t.Fatalf("%s is %s", short, v)
	}
	return m
}

// handle of a cluster's server.
func (r *res) handle() managed.Handle {
	r.h.t.Helper()
	h, ok := r.get("server_handle").(string)
	if !ok {
		r.h.t.Fatalf("there is no server: %s", r.state)
	}
	return managed.Handle(h)
}

// wantValues compares some of the values of an object.
func wantValues(t *testing.T, got any, want map[string]any) {
	t.Helper()
	m, ok := got.(map[string]any)
	if !ok {
		t.Fatalf("%v is no object", got)
	}
	for name, w := range want {
		g, ok := m[name]
		if !ok {
			t.Errorf("there is no %s", name)
		}
		if fmt.Sprint(g) != fmt.Sprint(w) {
			t.Errorf("%s is %v, want %v", name, g, w)
		}
	}
}

func TestDataSourceSchemasAreValid(t *testing.T) {
	for _, construct := range dataSources() {
		d := construct()
		var resp datasource.SchemaResponse
		d.Schema(t.Context(), datasource.SchemaRequest{}, &resp)
		if diags := resp.Schema.ValidateImplementation(t.Context()); diags.HasError() {
			t.Errorf("%T: %v", d, diags)
		}
	}
}

func TestClusterDataSource(t *testing.T) {
	b := managedtest.NewMemory(managedtest.MemoryOptions{PublicIP: "192.0.2.7"})
	h := memoryHost(t, b)
	none := map[string]any{
		"name": "sim", "exists": false, "namespace": "default", "id": nil, "owner": nil, "framework": nil, "launch": nil,
		"status": "stopped", "reason": nil, "exit_code": nil, "started_at": nil, "server_handle": nil, "external_server": false,
		"public_ip": nil, "public_port": nil, "private_ip": nil, "private_port": nil, "url": nil, "pools": []any{},
	}
	wantValues(t, h.shown("cluster", attrs{"name": "sim"}), none)

	c, p := h.resource("cluster"), h.resource("worker_pool")
	config := clusterConfig(nil)
	config["server"] = attrs{"container": attrs{"command": []any{"serve"}}, "port": 6000, "publish": attrs{"address": "0.0.0.0", "port": 7000}}
	c.to(config)
	p.to(poolConfig(c, 5, attrs{"container": attrs{"command": []any{"work"}, "max_workers": 2}}))

	lists := b.Count(managedtest.VerbList)
	got := h.shown("cluster", attrs{"name": "sim"})
	if n := b.Count(managedtest.VerbList) - lists; n != 1 {
		t.Errorf("a read makes %d lists, want 1", n)
	}
	wantValues(t, got, map[string]any{
		"exists": true, "id": c.get("id"), "owner": "tests", "framework": "custom", "launch": c.get("launch"), "status": "running",
		"server_handle": c.get("server_handle"), "external_server": false, "public_ip": "192.0.2.7", "public_port": 7000,
		"private_ip": c.get("private_ip"), "private_port": 6000, "url": "tcp://192.0.2.7:7000",
		"pools": []any{map[string]any{"name": "default", "owner": "tests", "running_workers": 5, "initializing_workers": 0, "containers": 3}},
	})
	if at, err := time.Parse(time.RFC3339, fmt.Sprint(got["started_at"])); err != nil || time.Since(at) > time.Hour {
		t.Errorf("started_at is %v", got["started_at"])
	}

	if err := b.Stop(c.handle(), 3); err != nil {
		t.Fatal(err)
	}
	wantValues(t, h.shown("cluster", attrs{"name": "sim"}), map[string]any{
		"exists": false, "status": "stopped", "exit_code": 3, "server_handle": c.get("server_handle"), "url": nil,
	})
}

func TestClusterDataSourceOfAServerFromElsewhere(t *testing.T) {
	h := memoryHost(t, newMemory())
	c := h.resource("cluster")
	c.to(attrs{"name": "far", "framework": "redis", "external_server": attrs{"public_ip": "192.0.2.1", "public_port": 6379}})
	wantValues(t, h.shown("cluster", attrs{"name": "far"}), map[string]any{
		"exists": true, "status": "running", "server_handle": nil, "external_server": true, "url": "redis://192.0.2.1:6379/0", "id": c.get("id"),
	})
}

func TestDataSourceErrors(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	_, diags := h.read("cluster", attrs{"name": "not a name"})
	wantError(t, diags, "name", "letters")
	_, diags = h.read("workers", attrs{"cluster_id": "sim/default"})
	wantError(t, diags, "cluster_id")
	_, diags = h.read("workers", attrs{"cluster_id": "sim", "pool": ""})
	wantError(t, diags, "pool")

	// A backend that does not answer is an error, and never "nothing there".
	b.SetFaults(managedtest.Fault{Verb: managedtest.VerbList, Kind: managedtest.Fail, Class: managed.ClassPermission})
	for short, config := range map[string]attrs{"cluster": {"name": "sim"}, "clusters": {}, "workers": {"cluster_id": "sim"}} {
		b.SetFaults(managedtest.Fault{Verb: managedtest.VerbList, Kind: managedtest.Fail, Class: managed.ClassPermission})
		_, diags := h.read(short, config)
		wantError(t, diags, "", "Unable to Read", "was made to fail")
	}
}

// With a provider that is known only during the apply there is no honest
// answer.
func TestDataSourceOfUnknownProvider(t *testing.T) {
	h := newHost(t, NewWithBackend("test", newMemory())())
	h.configure(attrs{"namespace": unknown{}})
	for short, config := range map[string]attrs{"cluster": {"name": "sim"}, "clusters": {}, "workers": {"cluster_id": "sim"}} {
		_, diags := h.read(short, config)
		wantError(t, diags, "", "Not Known Yet", "depends_on")
	}
}

// Descriptions are full sentences.
func TestDataSourcesAreDescribed(t *testing.T) {
	h := newHost(t, New("test")())
	var check func(where string, attributes []*tfprotov6.SchemaAttribute)
	check = func(where string, attributes []*tfprotov6.SchemaAttribute) {
		for _, a := range attributes {
			if !strings.HasSuffix(a.Description, ".") || a.DescriptionKind != tfprotov6.StringKindMarkdown {
				t.Errorf("%s.%s is described as %q", where, a.Name, a.Description)
			}
			if a.NestedType != nil {
				check(where+"."+a.Name, a.NestedType.Attributes)
			}
		}
	}
	for _, schemas := range []map[string]*tfprotov6.Schema{h.schemas.DataSourceSchemas, h.schemas.EphemeralResourceSchemas} {
		for name, s := range schemas {
			if !strings.HasSuffix(s.Block.Description, ".") {
				t.Errorf("%s is described as %q", name, s.Block.Description)
			}
			check(name, s.Block.Attributes)
		}
	}
}
