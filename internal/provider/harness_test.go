// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// This file is a small Terraform: enough of its core to plan, apply, refresh
// and import a resource over the plugin protocol, in-process, and to hold the
// provider to the rules that core holds it to.

// attrs is a configuration as a person would write it. Values are nil,
// strings, bools, ints, []any, attrs or unknown.
type attrs map[string]any

// unknown is a value that is known only during the apply.
type unknown struct{}

// host is a configured provider.
type host struct {
	t       *testing.T
	server  tfprotov6.ProviderServer
	schemas *tfprotov6.GetProviderSchemaResponse
	config  attrs // what it was last configured with, nil if it was not
}

func newHost(t *testing.T, p provider.Provider) *host {
	t.Helper()
	server, err := providerserver.NewProtocol6WithError(p)()
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := server.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	noErrors(t, schemas.Diagnostics)
	return &host{t: t, server: server, schemas: schemas}
}

// memoryHost is a provider on an in-memory backend, configured with an owner.
func memoryHost(t *testing.T, b managed.Backend) *host {
	t.Helper()
	h := newHost(t, NewWithBackend("test", b)())
	h.configure(attrs{"owner": "tests"})
	return h
}

func newMemory() *managedtest.Memory { return managedtest.NewMemory(managedtest.MemoryOptions{}) }

func (h *host) providerValue(config attrs) *tfprotov6.DynamicValue {
	h.t.Helper()
	return dynamic(h.t, value(h.t, h.schemas.Provider.ValueType(), config))
}

func (h *host) validateProvider(config attrs) []*tfprotov6.Diagnostic {
	h.t.Helper()
	resp, err := h.server.ValidateProviderConfig(h.t.Context(), &tfprotov6.ValidateProviderConfigRequest{Config: h.providerValue(config)})
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.Diagnostics
}

func (h *host) configure(config attrs) {
	h.t.Helper()
	resp, err := h.server.ConfigureProvider(h.t.Context(), &tfprotov6.ConfigureProviderRequest{TerraformVersion: "1.11.4", Config: h.providerValue(config)})
	if err != nil {
		h.t.Fatal(err)
	}
	noErrors(h.t, resp.Diagnostics)
	h.config = config
}

// res is one resource in a Terraform state.
type res struct {
	h        *host
	typeName string
	state    tftypes.Value
	private  []byte
	identity *tfprotov6.ResourceIdentityData
	ctx      context.Context
}

func (h *host) resource(short string) *res {
	r := &res{h: h, typeName: "dockerparallel_" + short, ctx: h.t.Context()}
	r.state = tftypes.NewValue(r.valueType(), nil)
	return r
}

func (r *res) schema() *tfprotov6.Schema { return r.h.schemas.ResourceSchemas[r.typeName] }

func (r *res) valueType() tftypes.Type { return r.schema().ValueType() }

// step is a planned change.
type step struct {
	planned  tftypes.Value
	private  []byte
	replace  []string
	diags    []*tfprotov6.Diagnostic
	identity *tfprotov6.ResourceIdentityData
}

func (r *res) validate(config attrs) []*tfprotov6.Diagnostic {
	r.h.t.Helper()
	resp, err := r.h.server.ValidateResourceConfig(r.ctx, &tfprotov6.ValidateResourceConfigRequest{
		TypeName: r.typeName, Config: dynamic(r.h.t, value(r.h.t, r.valueType(), config)),
		ClientCapabilities: &tfprotov6.ValidateResourceConfigClientCapabilities{WriteOnlyAttributesAllowed: true},
	})
	if err != nil {
		r.h.t.Fatal(err)
	}
	return resp.Diagnostics
}

func (r *res) plan(config attrs) step {
	r.h.t.Helper()
	c := value(r.h.t, r.valueType(), config)
	resp, err := r.h.server.PlanResourceChange(r.ctx, &tfprotov6.PlanResourceChangeRequest{
		TypeName: r.typeName, PriorState: dynamic(r.h.t, r.state), Config: dynamic(r.h.t, c),
		ProposedNewState: dynamic(r.h.t, proposed(r.h.t, r.schema().Block.Attributes, c, r.state)), PriorPrivate: r.private, PriorIdentity: r.identity,
	})
	if err != nil {
		r.h.t.Fatal(err)
	}
	s := step{private: resp.PlannedPrivate, diags: resp.Diagnostics, identity: resp.PlannedIdentity}
	if !failed(s.diags) {
		s.planned = r.decode(resp.PlannedState)
	}
	for _, p := range resp.RequiresReplace {
		s.replace = append(s.replace, p.String())
	}
	return s
}

// mustPlan plans without an error and without a replacement.
func (r *res) mustPlan(config attrs) step {
	r.h.t.Helper()
	s := r.plan(config)
	noErrors(r.h.t, s.diags)
	if len(s.replace) > 0 {
		r.h.t.Fatalf("the plan replaces the resource because of %v", s.replace)
	}
	return s
}

// apply carries a step out and checks what core checks: nothing unknown may
// be left, and what was planned must have come true unless there are errors.
func (r *res) apply(config attrs, s step) []*tfprotov6.Diagnostic {
	t := r.h.t
	t.Helper()
	resp, err := r.h.server.ApplyResourceChange(r.ctx, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: r.typeName, PriorState: dynamic(t, r.state), PlannedState: dynamic(t, s.planned),
		Config: dynamic(t, value(t, r.valueType(), config)), PlannedPrivate: s.private, PlannedIdentity: s.identity,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := r.decode(resp.NewState)
	if !got.IsFullyKnown() {
		t.Errorf("the new state holds unknown values: %s", got)
	}
	if !failed(resp.Diagnostics) {
		if diff := inconsistent(s.planned, got); diff != "" {
			t.Errorf("provider produced inconsistent result after apply: %s", diff)
		}
	}
	r.noWriteOnly(got)
	r.state, r.private, r.identity = got, resp.Private, resp.NewIdentity
	return resp.Diagnostics
}

// to plans and applies a configuration without an error, and then wants an
// empty plan.
func (r *res) to(config attrs) {
	r.h.t.Helper()
	noErrors(r.h.t, r.try(config))
	noErrors(r.h.t, r.refresh())
	r.wantNoChange(config)
}

// try plans and applies a configuration that may fail.
func (r *res) try(config attrs) []*tfprotov6.Diagnostic {
	r.h.t.Helper()
	noErrors(r.h.t, r.validate(config))
	return r.apply(config, r.mustPlan(config))
}

func (r *res) wantNoChange(config attrs) {
	r.h.t.Helper()
	s := r.mustPlan(config)
	if !s.planned.Equal(r.state) {
		diffs, _ := r.state.Diff(s.planned)
		r.h.t.Errorf("the plan is not empty: %v", diffs)
	}
}

// refresh is that of another command: Terraform starts the provider anew.
func (r *res) refresh() []*tfprotov6.Diagnostic {
	r.h.t.Helper()
	if r.h.config != nil {
		r.h.configure(r.h.config)
	}
	return r.look()
}

// look is a refresh beside others of the same command.
func (r *res) look() []*tfprotov6.Diagnostic {
	t := r.h.t
	t.Helper()
	resp, err := r.h.server.ReadResource(r.ctx, &tfprotov6.ReadResourceRequest{
		TypeName: r.typeName, CurrentState: dynamic(t, r.state), Private: r.private, CurrentIdentity: r.identity,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !failed(resp.Diagnostics) {
		r.state, r.private, r.identity = r.decode(resp.NewState), resp.Private, resp.NewIdentity
		r.noWriteOnly(r.state)
	}
	return resp.Diagnostics
}

func (r *res) destroy() []*tfprotov6.Diagnostic {
	t := r.h.t
	t.Helper()
	null := tftypes.NewValue(r.valueType(), nil)
	resp, err := r.h.server.ApplyResourceChange(r.ctx, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: r.typeName, PriorState: dynamic(t, r.state), PlannedState: dynamic(t, null), Config: dynamic(t, null), PlannedPrivate: r.private, PlannedIdentity: r.identity,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.state = r.decode(resp.NewState)
	return resp.Diagnostics
}

// importID imports and refreshes, as core does.
func (r *res) importID(id string) []*tfprotov6.Diagnostic {
	r.h.t.Helper()
	return r.doImport(&tfprotov6.ImportResourceStateRequest{TypeName: r.typeName, ID: id})
}

func (r *res) importIdentity(identity attrs) []*tfprotov6.Diagnostic {
	t := r.h.t
	t.Helper()
	schemas, err := r.h.server.GetResourceIdentitySchemas(r.ctx, &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		t.Fatal(err)
	}
	data := dynamic(t, value(t, schemas.IdentitySchemas[r.typeName].ValueType(), identity))
	return r.doImport(&tfprotov6.ImportResourceStateRequest{TypeName: r.typeName, Identity: &tfprotov6.ResourceIdentityData{IdentityData: data}})
}

func (r *res) doImport(req *tfprotov6.ImportResourceStateRequest) []*tfprotov6.Diagnostic {
	t := r.h.t
	t.Helper()
	resp, err := r.h.server.ImportResourceState(r.ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if failed(resp.Diagnostics) {
		return resp.Diagnostics
	}
	if len(resp.ImportedResources) != 1 {
		t.Fatalf("imported %d resources", len(resp.ImportedResources))
	}
	got := resp.ImportedResources[0]
	r.state, r.private, r.identity = r.decode(got.State), got.Private, got.Identity
	return append(resp.Diagnostics, r.refresh()...)
}

func (r *res) decode(v *tfprotov6.DynamicValue) tftypes.Value {
	r.h.t.Helper()
	if v == nil {
		return tftypes.NewValue(r.valueType(), nil)
	}
	got, err := v.Unmarshal(r.valueType())
	if err != nil {
		r.h.t.Fatal(err)
	}
	return got
}

// noWriteOnly fails if a write-only attribute has a value.
func (r *res) noWriteOnly(v tftypes.Value) {
	r.h.t.Helper()
	_ = tftypes.Walk(v, func(p *tftypes.AttributePath, v tftypes.Value) (bool, error) {
		if s := p.String(); (strings.Contains(s, "password_wo\"") || strings.Contains(s, "on_existing")) && !v.IsNull() {
			r.h.t.Errorf("the write-only value %s is in the state", s)
		}
		return true, nil
	})
}

// get is a value of the state: nil, string, bool, int, []any or
// map[string]any. Steps are the names of attributes.
func (r *res) get(steps ...string) any {
	r.h.t.Helper()
	return at(r.h.t, r.state, steps...)
}

func at(t *testing.T, v tftypes.Value, steps ...string) any {
	t.Helper()
	for _, name := range steps {
		var fields map[string]tftypes.Value
		if v.IsNull() {
			return nil
		}
		if !v.IsKnown() {
			return unknown{}
		}
		if err := v.As(&fields); err != nil {
			t.Fatal(err)
		}
		v = fields[name]
	}
	return plain(t, v)
}

func plain(t *testing.T, v tftypes.Value) any {
	t.Helper()
	switch {
	case !v.IsKnown():
		return unknown{}
	case v.IsNull():
		return nil
	case v.Type().Is(tftypes.String):
		var s string
		_ = v.As(&s)
		return s
	case v.Type().Is(tftypes.Bool):
		var b bool
		_ = v.As(&b)
		return b
	case v.Type().Is(tftypes.Number):
		var n big.Float
		_ = v.As(&n)
		i, _ := n.Int64()
		return int(i)
	case v.Type().Is(tftypes.List{}):
		var list []tftypes.Value
		_ = v.As(&list)
		out := make([]any, len(list))
		for i, e := range list {
			out[i] = plain(t, e)
		}
		return out
	}
	var fields map[string]tftypes.Value
	if err := v.As(&fields); err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for k, f := range fields {
		out[k] = plain(t, f)
	}
	return out
}

// want compares a value of the state.
func (r *res) want(want any, steps ...string) {
	r.h.t.Helper()
	if got := r.get(steps...); fmt.Sprint(got) != fmt.Sprint(want) {
		r.h.t.Errorf("%s is %v, want %v", strings.Join(steps, "."), got, want)
	}
}

// wantPlanned compares a value of a plan.
func (r *res) wantPlanned(s step, want any, steps ...string) {
	r.h.t.Helper()
	if got := at(r.h.t, s.planned, steps...); fmt.Sprint(got) != fmt.Sprint(want) {
		r.h.t.Errorf("planned %s is %v, want %v", strings.Join(steps, "."), got, want)
	}
}

// handles of a pool's state, "" for null.
func (r *res) handles() []string {
	r.h.t.Helper()
	list, _ := r.get("handles").([]any)
	out := make([]string, len(list))
	for i, e := range list {
		out[i], _ = e.(string)
	}
	return out
}

// value builds a configuration of a type; what is left out is null.
func value(t *testing.T, typ tftypes.Type, raw any) tftypes.Value {
	t.Helper()
	switch raw := raw.(type) {
	case nil:
		return tftypes.NewValue(typ, nil)
	case unknown:
		return tftypes.NewValue(typ, tftypes.UnknownValue)
	case int:
		return tftypes.NewValue(typ, raw)
	case attrs:
		fields := map[string]tftypes.Value{}
		switch typ := typ.(type) {
		case tftypes.Object:
			for name, ft := range typ.AttributeTypes {
				fields[name] = value(t, ft, raw[name])
			}
			for name := range raw {
				if _, ok := typ.AttributeTypes[name]; !ok {
					t.Fatalf("there is no attribute %q", name)
				}
			}
		case tftypes.Map:
			for k, e := range raw {
				fields[k] = value(t, typ.ElementType, e)
			}
		}
		return tftypes.NewValue(typ, fields)
	case []any:
		var element tftypes.Type
		switch typ := typ.(type) {
		case tftypes.List:
			element = typ.ElementType
		case tftypes.Set:
			element = typ.ElementType
		default:
			t.Fatalf("%v is given for a %s", raw, typ)
		}
		elements := make([]tftypes.Value, len(raw))
		for i, e := range raw {
			elements[i] = value(t, element, e)
		}
		return tftypes.NewValue(typ, elements)
	}
	return tftypes.NewValue(typ, raw)
}

func dynamic(t *testing.T, v tftypes.Value) *tfprotov6.DynamicValue {
	t.Helper()
	d, err := tfprotov6.NewDynamicValue(v.Type(), v)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}

// proposed is core's merge of configuration and prior state: what is not
// configured and computed keeps its prior value.
func proposed(t *testing.T, schema []*tfprotov6.SchemaAttribute, config, prior tftypes.Value) tftypes.Value {
	t.Helper()
	if config.IsNull() || !config.IsKnown() {
		return config
	}
	var c, p map[string]tftypes.Value
	if err := config.As(&c); err != nil {
		t.Fatal(err)
	}
	if !prior.IsNull() && prior.IsKnown() {
		if err := prior.As(&p); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]tftypes.Value{}
	for _, a := range schema {
		v := c[a.Name]
		old, had := p[a.Name]
		switch {
		case v.IsNull() && a.Computed && had:
			v = old
		case a.NestedType != nil && had:
			v = proposed(t, a.NestedType.Attributes, v, old)
		}
		out[a.Name] = v
	}
	return tftypes.NewValue(config.Type(), out)
}

// inconsistent tells where a result differs from what was planned; an unknown
// value may become any.
func inconsistent(planned, got tftypes.Value) string {
	if !planned.IsKnown() {
		return ""
	}
	if planned.IsNull() || got.IsNull() || !got.IsKnown() {
		if planned.IsNull() && got.IsNull() {
			return ""
		}
		return fmt.Sprintf("planned %s, got %s", planned, got)
	}
	var p, g map[string]tftypes.Value
	if planned.As(&p) == nil && got.As(&g) == nil {
		for name := range p {
			if diff := inconsistent(p[name], g[name]); diff != "" {
				return "." + name + ": " + diff
			}
		}
		if len(p) != len(g) {
			return fmt.Sprintf("planned %d elements, got %d", len(p), len(g))
		}
		return ""
	}
	var pl, gl []tftypes.Value
	if planned.As(&pl) == nil && got.As(&gl) == nil {
		if len(pl) != len(gl) {
			return fmt.Sprintf("planned %d elements, got %d", len(pl), len(gl))
		}
		for i := range pl {
			if diff := inconsistent(pl[i], gl[i]); diff != "" {
				return fmt.Sprintf("[%d]: %s", i, diff)
			}
		}
		return ""
	}
	if !planned.Equal(got) {
		return fmt.Sprintf("planned %s, got %s", planned, got)
	}
	return ""
}

func failed(diags []*tfprotov6.Diagnostic) bool {
	return slices.ContainsFunc(diags, func(d *tfprotov6.Diagnostic) bool { return d.Severity == tfprotov6.DiagnosticSeverityError })
}

func noErrors(t *testing.T, diags []*tfprotov6.Diagnostic) {
	t.Helper()
	for _, d := range diags {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			t.Fatalf("error %q at %v: %s", d.Summary, d.Attribute, d.Detail)
		}
	}
}

// wantError wants exactly one error, with the given texts in summary or
// detail, at an attribute ("" for none).
func wantError(t *testing.T, diags []*tfprotov6.Diagnostic, attribute string, texts ...string) {
	t.Helper()
	var errs []*tfprotov6.Diagnostic
	for _, d := range diags {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			errs = append(errs, d)
		}
	}
	if len(errs) != 1 {
		t.Errorf("got %d errors, want 1: %s", len(errs), show(errs))
		if len(errs) == 0 {
			return
		}
	}
	checkDiagnostic(t, errs[0], attribute, texts)
}

// wantWarning wants a warning like that among others.
func wantWarning(t *testing.T, diags []*tfprotov6.Diagnostic, attribute string, texts ...string) {
	t.Helper()
	for _, d := range diags {
		if d.Severity == tfprotov6.DiagnosticSeverityWarning && where(d) == attribute && containsAll(d.Summary+"\n"+d.Detail, texts) {
			return
		}
	}
	t.Errorf("there is no warning at %q with %q: %s", attribute, texts, show(diags))
}

func checkDiagnostic(t *testing.T, d *tfprotov6.Diagnostic, attribute string, texts []string) {
	t.Helper()
	if got := where(d); got != attribute {
		t.Errorf("%q is at %q, want %q: %s", d.Summary, got, attribute, d.Detail)
	}
	if !containsAll(d.Summary+"\n"+d.Detail, texts) {
		t.Errorf("%q / %q does not say %q", d.Summary, d.Detail, texts)
	}
}

func containsAll(s string, texts []string) bool {
	s = strings.Join(strings.Fields(s), " ")
	return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(s, text) })
}

// where is a diagnostic's attribute as people write it: server.port.
func where(d *tfprotov6.Diagnostic) string {
	if d.Attribute == nil {
		return ""
	}
	var names []string
	for _, s := range d.Attribute.Steps() {
		switch s := s.(type) {
		case tftypes.AttributeName:
			names = append(names, string(s))
		case tftypes.ElementKeyString:
			names = append(names, fmt.Sprintf("[%q]", string(s)))
		case tftypes.ElementKeyInt:
			names = append(names, fmt.Sprintf("[%d]", int(s)))
		}
	}
	return strings.Join(names, ".")
}

func show(diags []*tfprotov6.Diagnostic) string {
	var b strings.Builder
	for _, d := range diags {
		fmt.Fprintf(&b, "\n  %s %q at %q: %s", d.Severity, d.Summary, where(d), d.Detail)
	}
	return b.String()
}
