// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
)

var _ provider.ProviderWithFunctions = (*dockerparallelProvider)(nil)

// Functions implements provider.ProviderWithFunctions. Terraform 1.8 and
// OpenTofu 1.7 are the first that know functions of providers; older ones use
// all else of this provider.
func (p *dockerparallelProvider) Functions(context.Context) []func() function.Function {
	return []func() function.Function{
		func() function.Function {
			return &packagesFunction{
				name: "r_packages", clean: frameworks.RPackages,
				what:    "R packages",
				example: "names of CRAN or Bioconductor, such as `data.table`, and GitHub repositories as `owner/repository`",
			}
		},
		func() function.Function {
			return &packagesFunction{
				name: "system_packages", clean: frameworks.SystemPackages,
				what:    "Debian packages",
				example: "names such as `libxml2-dev`",
			}
		},
	}
}

// packagesFunction makes a list for an option of that name.
type packagesFunction struct {
	name, what, example string
	clean               func([]string) ([]string, error)
}

// Metadata implements function.Function.
func (f *packagesFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = f.name
}

// Definition implements function.Function.
func (f *packagesFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "Makes a list of " + f.what,
		MarkdownDescription: "Makes a list of " + f.what + " for the option `" + f.name + "` of the frameworks `doredis` and `redisparam`, from lists that " +
			"come from several places (`concat`) or from a file (`split`): blanks around names and repeated names are dropped, the order stays, and a name " +
			"that cannot be such a package is an error. Needs Terraform 1.8 or OpenTofu 1.7, or newer.",
		Parameters: []function.Parameter{function.ListParameter{
			Name:                "packages",
			ElementType:         types.StringType,
			MarkdownDescription: "The packages: " + f.example + ".",
		}},
		Return: function.ListReturn{ElementType: types.StringType},
	}
}

// Run implements function.Function. It is not called while a package is not
// known yet.
func (f *packagesFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var names []types.String
	if resp.Error = req.Arguments.GetArgument(ctx, 0, &names); resp.Error != nil {
		return
	}
	texts := make([]string, 0, len(names))
	for _, n := range names {
		if n.IsNull() {
			resp.Error = function.NewArgumentFuncError(0, "A package cannot be null: leave it out (compact).")
			return
		}
		texts = append(texts, n.ValueString())
	}
	list, err := f.clean(texts)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	resp.Error = resp.Result.Set(ctx, list)
}
