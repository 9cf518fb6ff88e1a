// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// input reads a nested attribute that may be null or unknown at every level.
// What is inside a null object is null, inside an unknown one unknown. Asking
// for a name that the schema does not have gives null.
type input struct{ types.Object }

func (in input) child(name string) attr.Value { return in.Attributes()[name] }

func (in input) str(name string) types.String {
	v, ok := in.child(name).(types.String)
	if !ok && in.IsUnknown() {
		return types.StringUnknown()
	}
	return v
}

func (in input) int(name string) types.Int64 {
	v, ok := in.child(name).(types.Int64)
	if !ok && in.IsUnknown() {
		return types.Int64Unknown()
	}
	return v
}

func (in input) bool(name string) types.Bool {
	v, ok := in.child(name).(types.Bool)
	if !ok && in.IsUnknown() {
		return types.BoolUnknown()
	}
	return v
}

func (in input) object(name string) input {
	v, ok := in.child(name).(types.Object)
	if !ok && in.IsUnknown() {
		return input{types.ObjectUnknown(nil)}
	}
	return input{v}
}

// strings is nil for a list that is null or unknown; an element that is
// unknown is left out.
func (in input) strings(name string) []string {
	v, ok := in.child(name).(types.List)
	if !ok || v.IsNull() || v.IsUnknown() {
		return nil
	}
	out := []string{}
	for _, e := range v.Elements() {
		if s, ok := e.(types.String); ok && !s.IsUnknown() {
			out = append(out, s.ValueString())
		}
	}
	return out
}

// set is like strings for a set, in the order of its elements.
func (in input) set(name string) []string {
	v, ok := in.child(name).(types.Set)
	if !ok || v.IsNull() || v.IsUnknown() {
		return nil
	}
	var out []string
	for _, e := range v.Elements() {
		if s, ok := e.(types.String); ok && !s.IsUnknown() {
			out = append(out, s.ValueString())
		}
	}
	slices.Sort(out)
	return out
}

// objects are the elements of a list of objects.
func (in input) objects(name string) []input {
	v, ok := in.child(name).(types.List)
	if !ok || v.IsNull() || v.IsUnknown() {
		return nil
	}
	var out []input
	for _, e := range v.Elements() {
		if o, ok := e.(types.Object); ok {
			out = append(out, input{o})
		}
	}
	return out
}

// objectMap are the elements of a map of objects.
func (in input) objectMap(name string) map[string]input {
	v, ok := in.child(name).(types.Map)
	if !ok || v.IsNull() || v.IsUnknown() {
		return nil
	}
	out := make(map[string]input, len(v.Elements()))
	for k, e := range v.Elements() {
		if o, ok := e.(types.Object); ok {
			out[k] = input{o}
		}
	}
	return out
}

// stringMap is nil for a map that is null or unknown; an element that is
// unknown has the value "".
func (in input) stringMap(name string) map[string]string {
	v, ok := in.child(name).(types.Map)
	if !ok || v.IsNull() || v.IsUnknown() {
		return nil
	}
	out := make(map[string]string, len(v.Elements()))
	for k, e := range v.Elements() {
		if s, ok := e.(types.String); ok {
			out[k] = s.ValueString()
		}
	}
	return out
}

// intMap is nil for a map that is null or unknown. An element that is unknown
// has the value 0; one that is null is left out.
func (in input) intMap(name string) map[string]int {
	v, ok := in.child(name).(types.Map)
	if !ok || v.IsNull() || v.IsUnknown() {
		return nil
	}
	out := make(map[string]int, len(v.Elements()))
	for k, e := range v.Elements() {
		if n, ok := e.(types.Int64); ok && !n.IsNull() {
			out[k] = int(n.ValueInt64())
		}
	}
	return out
}

// fullyKnown tells whether nothing in the values is unknown, at any depth.
func fullyKnown(ctx context.Context, values ...attr.Value) bool {
	for _, v := range values {
		tv, err := v.ToTerraformValue(ctx)
		if err != nil || !tv.IsFullyKnown() {
			return false
		}
	}
	return true
}

// stringOrNull is null for "".
func stringOrNull(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

// intOrNull is null for 0.
func intOrNull(n int) types.Int64 {
	if n == 0 {
		return types.Int64Null()
	}
	return types.Int64Value(int64(n))
}

// listOrNull is null for an empty list.
func listOrNull(list []string) types.List {
	if len(list) == 0 {
		return types.ListNull(types.StringType)
	}
	elements := make([]attr.Value, len(list))
	for i, s := range list {
		elements[i] = types.StringValue(s)
	}
	return types.ListValueMust(types.StringType, elements)
}

// toJSON encodes a value that is known; nulls are kept.
func toJSON(ctx context.Context, v attr.Value) (any, error) {
	tv, err := v.ToTerraformValue(ctx)
	if err != nil {
		return nil, err
	}
	return fromTFValue(tv)
}

func fromTFValue(v tftypes.Value) (any, error) {
	if v.IsNull() || !v.IsKnown() {
		return nil, nil
	}
	switch {
	case v.Type().Is(tftypes.String):
		var s string
		err := v.As(&s)
		return s, err
	case v.Type().Is(tftypes.Bool):
		var b bool
		err := v.As(&b)
		return b, err
	case v.Type().Is(tftypes.Number):
		var n big.Float
		err := v.As(&n)
		return json.Number(n.Text('f', -1)), err
	case v.Type().Is(tftypes.List{}), v.Type().Is(tftypes.Set{}):
		var elements []tftypes.Value
		if err := v.As(&elements); err != nil {
			return nil, err
		}
		out := make([]any, len(elements))
		for i, e := range elements {
			var err error
			if out[i], err = fromTFValue(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	var fields map[string]tftypes.Value
	if err := v.As(&fields); err != nil {
		return nil, err
	}
	out := make(map[string]any, len(fields))
	for k, f := range fields {
		var err error
		if out[k], err = fromTFValue(f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fromJSON is the reverse of toJSON for a type. What the JSON lacks is null,
// and what the type lacks is dropped, so that records outlive changes of the
// schema.
func fromJSON(ctx context.Context, t attr.Type, raw any) (attr.Value, error) {
	tv, err := toTFValue(t.TerraformType(ctx), raw)
	if err != nil {
		return nil, err
	}
	return t.ValueFromTerraform(ctx, tv)
}

func toTFValue(t tftypes.Type, raw any) (tftypes.Value, error) {
	if raw == nil {
		return tftypes.NewValue(t, nil), nil
	}
	switch t := t.(type) {
	case tftypes.List:
		list, ok := raw.([]any)
		if !ok {
			return tftypes.Value{}, fmt.Errorf("%T is no list", raw)
		}
		elements := make([]tftypes.Value, len(list))
		for i, e := range list {
			var err error
			if elements[i], err = toTFValue(t.ElementType, e); err != nil {
				return tftypes.Value{}, err
			}
		}
		return tftypes.NewValue(t, elements), nil
	case tftypes.Map:
		m, ok := raw.(map[string]any)
		if !ok {
			return tftypes.Value{}, fmt.Errorf("%T is no map", raw)
		}
		elements := make(map[string]tftypes.Value, len(m))
		for k, e := range m {
			var err error
			if elements[k], err = toTFValue(t.ElementType, e); err != nil {
				return tftypes.Value{}, err
			}
		}
		return tftypes.NewValue(t, elements), nil
	case tftypes.Object:
		m, ok := raw.(map[string]any)
		if !ok {
			return tftypes.Value{}, fmt.Errorf("%T is no object", raw)
		}
		fields := make(map[string]tftypes.Value, len(t.AttributeTypes))
		for k, ft := range t.AttributeTypes {
			var err error
			if fields[k], err = toTFValue(ft, m[k]); err != nil {
				return tftypes.Value{}, fmt.Errorf("%s: %w", k, err)
			}
		}
		return tftypes.NewValue(t, fields), nil
	}
	if n, ok := raw.(float64); ok && t.Is(tftypes.Number) {
		return tftypes.NewValue(t, n), nil
	}
	if err := tftypes.ValidateValue(t, raw); err != nil {
		return tftypes.Value{}, err
	}
	return tftypes.NewValue(t, raw), nil
}

// encodeAttributes encodes named attributes of a plan or a state.
func encodeAttributes(ctx context.Context, values map[string]attr.Value) (json.RawMessage, error) {
	out := make(map[string]any, len(values))
	for name, v := range values {
		var err error
		if out[name], err = toJSON(ctx, v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return json.Marshal(out)
}

// nullState is a state in which every attribute is null: what an import
// starts from.
func nullState(ctx context.Context, s schema.Schema) tfsdk.State {
	t, ok := s.Type().TerraformType(ctx).(tftypes.Object)
	if !ok {
		panic("provider: a resource's schema is not an object")
	}
	fields := make(map[string]tftypes.Value, len(t.AttributeTypes))
	for name, ft := range t.AttributeTypes {
		fields[name] = tftypes.NewValue(ft, nil)
	}
	return tfsdk.State{Schema: s, Raw: tftypes.NewValue(t, fields)}
}

// restore overwrites attributes of a model with those of a record that
// encodeAttributes has made. Only the given names are touched, and only if
// the record has them.
func restore(ctx context.Context, s schema.Schema, model any, record json.RawMessage, names []string) diag.Diagnostics {
	var diags diag.Diagnostics
	var fields map[string]any
	if len(record) == 0 {
		return diags
	}
	if err := json.Unmarshal(record, &fields); err != nil {
		diags.AddWarning("Unreadable Record", "The configuration that a container's labels carry cannot be read and is not used: "+err.Error()+".")
		return diags
	}
	st := nullState(ctx, s)
	diags.Append(st.Set(ctx, model)...)
	for _, name := range names {
		raw, ok := fields[name]
		a := s.Attributes[name]
		if !ok || a == nil {
			continue
		}
		v, err := fromJSON(ctx, a.GetType(), raw)
		if err != nil {
			diags.AddWarning("Unreadable Record", fmt.Sprintf("The %s that a container's labels carry cannot be read and is not used: %v.", name, err))
			continue
		}
		diags.Append(st.SetAttribute(ctx, attributePath(name), v)...)
	}
	diags.Append(st.Get(ctx, model)...)
	return diags
}
