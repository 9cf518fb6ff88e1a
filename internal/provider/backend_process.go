// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	rschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
)

func processKind() backendKind {
	return backendKind{
		name: process.Name, configuration: processConfiguration, options: processOptions,
		configure: func(in input, into *backends.Config) {
			into.Process = &process.Config{Root: in.str("root").ValueString()}
		},
		decode: decodeProcessOptions,
	}
}

func processConfiguration() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Runs server and workers as local processes of the machine that Terraform runs on, each in a session of " +
			"its own, so that they outlive it. Needs nothing installed. Images are ignored and a command is required. " +
			"`process = {}` is enough.",
		Attributes: map[string]schema.Attribute{
			"root": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "The folder that holds the records, log files and passwords, readable by their owner only. It " +
					"belongs to one machine. Defaults to `$XDG_STATE_HOME/dockerparallel`, else `~/.local/state/dockerparallel`. With " +
					"another folder, running clusters are not found again: destroy them first.",
				Validators: []validator.String{isFolder()},
			},
		},
	}
}

func processOptions() rschema.SingleNestedAttribute {
	return rschema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "Options of the `process` backend. A change restarts the containers.",
		Attributes: map[string]rschema.Attribute{
			"working_directory": rschema.StringAttribute{
				Optional: true,
				MarkdownDescription: "The folder that the process starts in, as an absolute path. Defaults to an empty folder of its " +
					"own, which is removed with the process.",
				Validators: []validator.String{isAbsolute()},
			},
			"inherit_environment": rschema.ListAttribute{
				Optional:    true,
				ElementType: types.StringType,
				MarkdownDescription: "The names of the variables that the process takes over from Terraform's own environment, where " +
					"they exist; all others are kept from it, because they may hold credentials. Defaults to `" +
					strings.Join(process.DefaultInheritEnvironment(), "`, `") + "`.",
				Validators: []validator.List{listvalidator.NoNullValues(), listvalidator.UniqueValues(), listvalidator.ValueStringsAre(isVariable())},
			},
		},
	}
}

func decodeProcessOptions(in input) any {
	o := process.Options{WorkingDirectory: in.str("working_directory").ValueString(), InheritEnvironment: in.strings("inherit_environment")}
	if o.WorkingDirectory == "" && o.InheritEnvironment == nil {
		return nil
	}
	slices.Sort(o.InheritEnvironment) // their order has no meaning
	return o
}
