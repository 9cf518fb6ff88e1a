// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// credentials opens the ephemeral resource; the values are nil if there are
// errors.
func (h *host) credentials(config attrs) (any, []*tfprotov6.Diagnostic) {
	h.t.Helper()
	const name = "dockerparallel_credentials"
	typ := h.schemas.EphemeralResourceSchemas[name].ValueType()
	c := dynamic(h.t, value(h.t, typ, config))
	checked, err := h.server.ValidateEphemeralResourceConfig(h.t.Context(), &tfprotov6.ValidateEphemeralResourceConfigRequest{TypeName: name, Config: c})
	if err != nil {
		h.t.Fatal(err)
	}
	if failed(checked.Diagnostics) {
		return nil, checked.Diagnostics
	}
	resp, err := h.server.OpenEphemeralResource(h.t.Context(), &tfprotov6.OpenEphemeralResourceRequest{TypeName: name, Config: c})
	if err != nil {
		h.t.Fatal(err)
	}
	if failed(resp.Diagnostics) {
		return nil, resp.Diagnostics
	}
	v, err := resp.Result.Unmarshal(typ)
	if err != nil {
		h.t.Fatal(err)
	}
	if !v.IsFullyKnown() {
		h.t.Errorf("%s has unknown values: %s", name, v)
	}
	return plain(h.t, v), resp.Diagnostics
}

func TestEphemeralSchemasAreValid(t *testing.T) {
	for _, construct := range ephemeralResources() {
		e := construct()
		var resp ephemeral.SchemaResponse
		e.Schema(t.Context(), ephemeral.SchemaRequest{}, &resp)
		if diags := resp.Schema.ValidateImplementation(t.Context()); diags.HasError() {
			t.Errorf("%T: %v", e, diags)
		}
	}
}

// noCredentials is what there is to say about a cluster that does not run.
func noCredentials() map[string]any {
	return map[string]any{"password": nil, "url": nil, "host": nil, "port": nil, "framework": nil, "queue": nil}
}

func TestCredentials(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)

	got, diags := h.credentials(attrs{"cluster_id": "sim"})
	noErrors(t, diags)
	wantWarning(t, diags, "cluster_id", "Cluster Not Running", `no cluster "sim"`)
	wantValues(t, got, noCredentials())

	c := h.resource("cluster")
	c.to(clusterConfig(attrs{"framework": "custom", "password_wo": "pass word", "password_wo_version": 1}))
	for _, id := range []any{"sim", c.get("id")} {
		lists, secrets := b.Count(managedtest.VerbList), b.Count(managedtest.VerbGetSecret)
		got, diags = h.credentials(attrs{"cluster_id": id})
		if len(diags) > 0 {
			t.Errorf("opening says %s", show(diags))
		}
		wantValues(t, got, map[string]any{
			"password": "pass word", "url": c.get("client", "url"), "host": c.get("private_ip"), "port": c.get("private_port"),
			"framework": "custom", "queue": "sim", "cluster_id": id,
		})
		if l, s := b.Count(managedtest.VerbList)-lists, b.Count(managedtest.VerbGetSecret)-secrets; l != 1 || s != 1 {
			t.Errorf("an open makes %d lists and reads %d secrets, want 1 and 1", l, s)
		}
	}

	// A server that has died must not block a destroy.
	if err := b.Stop(c.handle(), 1); err != nil {
		t.Fatal(err)
	}
	got, diags = h.credentials(attrs{"cluster_id": c.get("id")})
	noErrors(t, diags)
	wantWarning(t, diags, "cluster_id", "Cluster Not Running")
	wantValues(t, got, noCredentials())
}

func TestCredentialsErrors(t *testing.T) {
	b := newMemory()
	h := memoryHost(t, b)
	_, diags := h.credentials(attrs{"cluster_id": ""})
	wantError(t, diags, "cluster_id")

	c := h.resource("cluster")
	c.to(clusterConfig(nil))
	for _, verb := range []managedtest.Verb{managedtest.VerbList, managedtest.VerbGetSecret} {
		b.SetFaults(managedtest.Fault{Verb: verb, Kind: managedtest.Fail, Class: managed.ClassPermission})
		_, diags = h.credentials(attrs{"cluster_id": "sim"})
		wantError(t, diags, "", "Unable to Read Credentials", "was made to fail")
	}
}

// A plan with a provider that is not known yet works.
func TestCredentialsOfUnknownProvider(t *testing.T) {
	h := newHost(t, NewWithBackend("test", newMemory())())
	h.configure(attrs{"namespace": unknown{}})
	got, diags := h.credentials(attrs{"cluster_id": "sim"})
	noErrors(t, diags)
	wantWarning(t, diags, "", "Not Known Yet")
	wantValues(t, got, noCredentials())
}
