// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/objectvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	rschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/docker"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// This file and those called backend_* are all that the provider knows of
// single backends: how each is configured, and its options for a role. A new
// one adds a kind here, a field to providerModel and one to poolModel.

// backendKind is what the provider has to know of a backend.
type backendKind struct {
	name string
	// configuration is the provider's attribute, options the one of a role.
	configuration func() schema.Attribute
	options       func() rschema.SingleNestedAttribute
	// configure reads the configuration, which is known and not null.
	configure func(in input, into *backends.Config)
	// decode reads a role's options, which are not null. It gives nil if none
	// is set, so that no options and an empty object mean the same.
	decode func(in input) any
}

func backendKinds() []backendKind {
	return []backendKind{dockerKind(), processKind()}
}

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
	return []backendChoice{{docker.Name, m.Docker}, {process.Name, m.Process}}
}

// checkBackends refuses two.
func checkBackends(all []backendChoice, diags *diag.Diagnostics) {
	var chosen []string
	for _, b := range all {
		if !b.value.IsUnknown() && !b.value.IsNull() {
			chosen = append(chosen, b.name)
		}
	}
	if len(chosen) > 1 {
		diags.AddAttributeError(path.Root(chosen[1]), "More Than One Backend",
			fmt.Sprintf("Only one of %s can run the containers. For two backends in one configuration give the provider a second block with an alias.", strings.Join(chosen, " and ")))
	}
}

// backendConfig decodes the choice; it is not known while any of it is unknown.
func (m *providerModel) backendConfig(ctx context.Context) (cfg backends.Config, known bool) {
	chosen := backends.Default
	in := input{types.ObjectNull(nil)}
	for _, b := range m.backends() {
		if !fullyKnown(ctx, b.value) {
			return cfg, false
		}
		if !b.value.IsNull() {
			chosen, in = b.name, input{b.value}
		}
	}
	for _, k := range backendKinds() {
		if k.name == chosen {
			k.configure(in, &cfg)
		}
	}
	return cfg, true
}

// backendAttributes are the provider's attributes for its backends.
func backendAttributes() map[string]schema.Attribute {
	all := map[string]schema.Attribute{}
	for _, k := range backendKinds() {
		all[k.name] = k.configuration()
	}
	return all
}

// backendOptionsAttributes are each backend's own options for a role.
func backendOptionsAttributes() map[string]rschema.Attribute {
	all := map[string]rschema.Attribute{}
	for _, k := range backendKinds() {
		options := k.options()
		options.Optional = true
		options.Validators = append(options.Validators, onlyOptions(k.name))
		all[k.name] = options
	}
	return all
}

// onlyOptions refuses the options of two backends in one role.
func onlyOptions(name string) validator.Object {
	var others []path.Expression
	for _, other := range backends.Names() {
		if other != name {
			others = append(others, sibling(other))
		}
	}
	return objectvalidator.ConflictsWith(others...)
}

// backendOptions decodes a role's options, nil if there are none. Validators
// see to it that they are of one backend; if that is not the one that runs the
// role, it ignores them, and the plan warns.
func backendOptions(in input) any {
	for _, k := range backendKinds() {
		if own := in.object(k.name); !own.IsNull() {
			return k.decode(own)
		}
	}
	return nil
}

// otherBackendOptions are the option attributes that are set although another
// backend runs the containers.
func otherBackendOptions(in input, backend string) []string {
	var names []string
	for _, k := range backendKinds() {
		if k.name != backend && !in.object(k.name).IsNull() {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return names
}

// optionValues are a pool's options of backends and frameworks by name, as in
// its schema.
func (m *poolModel) optionValues() map[string]attr.Value {
	all := m.frameworkOptions()
	all[docker.Name], all[process.Name] = m.Docker, m.Process
	return all
}

func (m *poolModel) optionsKnown(ctx context.Context) bool {
	return fullyKnown(ctx, slices.Collect(maps.Values(m.optionValues()))...)
}

func (m *poolModel) sameOptions(o *poolModel) bool {
	return maps.EqualFunc(m.optionValues(), o.optionValues(), attr.Value.Equal)
}

func (m *poolModel) keepOptions(o *poolModel) {
	m.Docker, m.Process, m.poolFrameworks = o.Docker, o.Process, o.poolFrameworks
}
