// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	rschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// This file is all that the provider knows of single backends: how each is
// configured, and its options for a role.

// defaultBackend is what runs the containers if the provider's configuration
// names no backend; "" demands that it does.
const defaultBackend = ""

// OpenBackend makes a backend. It need not connect yet.
type OpenBackend func(ctx context.Context, cfg backends.Config) (managed.Backend, error)

func openBackend(_ context.Context, cfg backends.Config) (managed.Backend, error) {
	return backends.New(cfg)
}

// backendChoice is one of the provider's backend attributes.
type backendChoice struct {
	name  string
	value types.Object
}

// backends are the provider's backend attributes, each object's presence
// being the choice of its backend.
func (m *providerModel) backends() []backendChoice {
	return []backendChoice{{"process", m.Process}}
}

func noBackend() string {
	return "The provider has to be told what runs the containers. To run them as processes of this machine, write:\n\n" +
		"  provider \"dockerparallel\" {\n    process = {}\n  }"
}

// checkBackends wants one backend, unless there is a default, and refuses two.
func checkBackends(all []backendChoice, diags *diag.Diagnostics) {
	var chosen []string
	unknown := false
	for _, b := range all {
		switch {
		case b.value.IsUnknown():
			unknown = true
		case !b.value.IsNull():
			chosen = append(chosen, b.name)
		}
	}
	switch {
	case len(chosen) > 1:
		diags.AddAttributeError(path.Root(chosen[1]), "More Than One Backend",
			fmt.Sprintf("Only one of %s can run the containers. For two backends in one configuration give the provider a second block with an alias.", strings.Join(chosen, " and ")))
	case len(chosen) == 0 && !unknown && defaultBackend == "":
		diags.AddAttributeError(path.Root("process"), "Missing Backend", noBackend())
	}
}

// backendConfig decodes the choice; it is not known while any of it is unknown.
func (m *providerModel) backendConfig() (cfg backends.Config, known bool) {
	for _, b := range m.backends() {
		if b.value.IsUnknown() {
			return cfg, false
		}
	}
	if !m.Process.IsNull() {
		root := input{m.Process}.str("root")
		if root.IsUnknown() {
			return cfg, false
		}
		cfg.Process = &process.Config{Root: root.ValueString()}
	}
	return cfg, true
}

func processBackendAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Runs server and workers as local processes of the machine that Terraform runs on, each in a session of " +
			"its own, so that they outlive it. Needs nothing installed. Images are ignored and a command is required. " +
			"`process = {}` is enough. In this release it is the only backend, and has to be there.",
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

// backendOptionsAttributes are each backend's own options for a role.
func backendOptionsAttributes() map[string]rschema.Attribute {
	return map[string]rschema.Attribute{
		"process": rschema.SingleNestedAttribute{
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
		},
	}
}

// backendOptions decodes a role's options for the backend; nil if there are
// none, so that `process = {}` and nothing mean the same to the spec's hash.
func backendOptions(in input) any {
	p := in.object("process")
	if p.IsNull() {
		return nil
	}
	o := process.Options{WorkingDirectory: p.str("working_directory").ValueString(), InheritEnvironment: p.strings("inherit_environment")}
	if o.WorkingDirectory == "" && o.InheritEnvironment == nil {
		return nil
	}
	slices.Sort(o.InheritEnvironment) // their order has no meaning
	return o
}

// otherBackendOptions are the option attributes that are set although another
// backend runs the containers.
func otherBackendOptions(in input, backend string) []string {
	var names []string
	for name := range backendOptionsAttributes() {
		if name != backend && !in.object(name).IsNull() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
