// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func TestFunctions(t *testing.T) {
	ctx := context.Background()
	p, ok := New("test")().(provider.ProviderWithFunctions)
	if !ok {
		t.Fatal("the provider has no functions")
	}
	all := map[string]function.Function{}
	for _, create := range p.Functions(ctx) {
		f := create()
		var meta function.MetadataResponse
		f.Metadata(ctx, function.MetadataRequest{}, &meta)
		all[meta.Name] = f

		var def function.DefinitionResponse
		f.Definition(ctx, function.DefinitionRequest{}, &def)
		var valid function.DefinitionValidateResponse
		def.Definition.ValidateImplementation(ctx, function.DefinitionValidateRequest{FuncName: meta.Name}, &valid)
		if valid.Diagnostics.HasError() || !strings.Contains(def.Definition.MarkdownDescription, "Terraform 1.8") {
			t.Errorf("%s: %v", meta.Name, valid.Diagnostics)
		}
	}
	text := func(values ...string) (list []attr.Value) {
		for _, v := range values {
			list = append(list, types.StringValue(v))
		}
		return list
	}
	for _, tc := range []struct {
		function string
		in       []attr.Value
		want     []attr.Value
		wrong    string // part of the error
	}{
		{function: "r_packages", in: text(" data.table", "owner/repo@v1.2 ", "data.table", "R6"), want: text("data.table", "owner/repo@v1.2", "R6")},
		{function: "r_packages", in: []attr.Value{}, want: []attr.Value{}},
		{function: "r_packages", in: text("dplyr", "g++"), wrong: `"g++" cannot be an R package`},
		{function: "r_packages", in: text(""), wrong: `"" cannot be an R package`},
		{function: "r_packages", in: []attr.Value{types.StringNull()}, wrong: "cannot be null"},
		{function: "system_packages", in: text("libxml2-dev\n", "g++", "libxml2-dev", "curl=7.88.1-10+deb12u5"), want: text("libxml2-dev", "g++", "curl=7.88.1-10+deb12u5")},
		{function: "system_packages", in: text("--force-yes"), wrong: "cannot be a Debian package"},
		{function: "system_packages", in: text("vim curl"), wrong: "cannot be a Debian package"},
	} {
		f, ok := all[tc.function]
		if !ok {
			t.Fatalf("there is no function %s", tc.function)
		}
		args := function.NewArgumentsData([]attr.Value{types.ListValueMust(types.StringType, tc.in)})
		resp := function.RunResponse{Result: function.NewResultData(types.ListUnknown(types.StringType))}
		f.Run(ctx, function.RunRequest{Arguments: args}, &resp)
		switch {
		case tc.wrong != "":
			if resp.Error == nil || !strings.Contains(resp.Error.Text, tc.wrong) || resp.Error.FunctionArgument == nil {
				t.Errorf("%s(%v): error %v, want one of the argument with %q", tc.function, tc.in, resp.Error, tc.wrong)
			}
		case resp.Error != nil:
			t.Errorf("%s(%v): %v", tc.function, tc.in, resp.Error)
		default:
			if want := types.ListValueMust(types.StringType, tc.want); !resp.Result.Value().Equal(want) {
				t.Errorf("%s(%v) is %v, want %v", tc.function, tc.in, resp.Result.Value(), want)
			}
		}
	}
}
