// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// This file is all that the provider knows of frameworks' own options. Their
// schema comes from the frameworks; one that gets its first option for a role
// adds a field here.

// clusterFrameworks are the options of frameworks that are about the server.
type clusterFrameworks struct {
	DoRedis    types.Object `tfsdk:"doredis"`
	RedisParam types.Object `tfsdk:"redisparam"`
	Dask       types.Object `tfsdk:"dask"`
	Ray        types.Object `tfsdk:"ray"`
	Spark      types.Object `tfsdk:"spark"`
}

func (f *clusterFrameworks) frameworkOptions() map[string]attr.Value {
	return map[string]attr.Value{"doredis": f.DoRedis, "redisparam": f.RedisParam, "dask": f.Dask, "ray": f.Ray, "spark": f.Spark}
}

// poolFrameworks are the options of frameworks that are about workers.
type poolFrameworks struct {
	DoRedis    types.Object `tfsdk:"doredis"`
	RedisParam types.Object `tfsdk:"redisparam"`
	RQ         types.Object `tfsdk:"rq"`
	Celery     types.Object `tfsdk:"celery"`
	Dask       types.Object `tfsdk:"dask"`
	Ray        types.Object `tfsdk:"ray"`
	Spark      types.Object `tfsdk:"spark"`
}

func (f *poolFrameworks) frameworkOptions() map[string]attr.Value {
	return map[string]attr.Value{
		"doredis": f.DoRedis, "redisparam": f.RedisParam, "rq": f.RQ, "celery": f.Celery, "dask": f.Dask, "ray": f.Ray, "spark": f.Spark,
	}
}

// frameworkOptionNames are the frameworks that have options for a role.
func frameworkOptionNames(role managed.Role) []string {
	return slices.DeleteFunc(frameworks.Names(), func(name string) bool { return len(frameworks.Options(name, role)) == 0 })
}

// frameworkAttributes are the options of all frameworks for a role.
func frameworkAttributes(role managed.Role) map[string]schema.Attribute {
	all := map[string]schema.Attribute{}
	for _, name := range frameworkOptionNames(role) {
		attributes := map[string]schema.Attribute{}
		for _, o := range frameworks.Options(name, role) {
			attributes[o.Name] = optionAttribute(o)
		}
		whose := "server"
		if role == managed.RoleWorker {
			whose = "workers"
		}
		all[name] = schema.SingleNestedAttribute{
			Optional: true, Attributes: attributes,
			MarkdownDescription: fmt.Sprintf("Options of the framework `%s` for the %s. Only for a cluster of that framework. A change restarts the %s.", name, whose, whose),
		}
	}
	return all
}

func optionAttribute(o frameworks.Option) schema.Attribute {
	v := optionCheck{o}
	switch o.Type {
	case frameworks.Int:
		return schema.Int64Attribute{Optional: !o.Required, Required: o.Required, MarkdownDescription: o.Description, Validators: []validator.Int64{v}}
	case frameworks.Bool:
		return schema.BoolAttribute{Optional: !o.Required, Required: o.Required, MarkdownDescription: o.Description}
	case frameworks.Strings:
		return schema.ListAttribute{
			ElementType: types.StringType, Optional: !o.Required, Required: o.Required, MarkdownDescription: o.Description,
			Validators: []validator.List{listvalidator.ValueStringsAre(v)},
		}
	}
	return schema.StringAttribute{Optional: !o.Required, Required: o.Required, MarkdownDescription: o.Description, Validators: []validator.String{v}}
}

// optionCheck asks the framework whether it takes a value.
type optionCheck struct{ option frameworks.Option }

func (c optionCheck) Description(context.Context) string {
	return "a value that the framework takes"
}

func (c optionCheck) MarkdownDescription(ctx context.Context) string { return c.Description(ctx) }

func (c optionCheck) check(value any) string {
	if c.option.Check == nil {
		return ""
	}
	return c.option.Check(value)
}

func (c optionCheck) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if wrong := c.check(req.ConfigValue.ValueString()); wrong != "" {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Attribute Value", wrong)
	}
}

func (c optionCheck) ValidateInt64(_ context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if wrong := c.check(req.ConfigValue.ValueInt64()); wrong != "" {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Attribute Value", wrong)
	}
}

// newFramework makes a framework with the options that are set for it in a
// role. Options of another framework, and missing ones, are errors at their
// attributes. Options have to be known.
func newFramework(name string, role managed.Role, options map[string]attr.Value) (managed.Framework, error) {
	values := frameworks.Values{}
	for _, other := range slices.Sorted(maps.Keys(options)) {
		if other != name && !options[other].IsNull() {
			return nil, managed.Errorf(managed.ClassInvalid, other, "the cluster's framework is %q: options of %q do nothing there; remove them", name, other)
		}
	}
	set, _ := options[name].(types.Object)
	in := input{set}
	var missing []string
	for _, o := range frameworks.Options(name, role) {
		v := in.child(o.Name)
		if v == nil || v.IsNull() {
			if o.Required {
				missing = append(missing, name+"."+o.Name)
			}
			continue
		}
		switch o.Type {
		case frameworks.Int:
			values[o.Name] = in.int(o.Name).ValueInt64()
		case frameworks.Bool:
			values[o.Name] = in.bool(o.Name).ValueBool()
		case frameworks.Strings:
			values[o.Name] = in.strings(o.Name)
		default:
			values[o.Name] = in.str(o.Name).ValueString()
		}
	}
	if len(missing) > 0 {
		return nil, managed.Errorf(managed.ClassInvalid, name, "the framework %q needs %s: set it", name, strings.Join(missing, " and "))
	}
	return frameworks.New(name, values)
}
