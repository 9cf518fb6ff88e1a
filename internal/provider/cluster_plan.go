// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// ValidateConfig implements resource.ResourceWithValidateConfig: what can be
// known wrong without the provider's configuration.
func (r *clusterResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m clusterModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if !m.PasswordWO.IsNull() && m.PasswordWOVersion.IsNull() {
		resp.Diagnostics.AddAttributeWarning(path.Root("password_wo"), "Password Cannot Be Rotated",
			"Terraform cannot see a write-only value change. Set password_wo_version as well, and increase it whenever the password changes.")
	}
	if m.Framework.IsNull() {
		m.Framework = types.StringValue(frameworks.Names()[0])
	}
	if !m.ExternalServer.IsNull() {
		return
	}
	in := input{m.Server}
	fw, err := frameworks.New(m.Framework.ValueString(), nil)
	if m.Framework.IsUnknown() {
		// Not known yet: what is wrong with the first is wrong with all, because
		// it sets only what all of them set.
		fw, err = frameworks.New(frameworks.Names()[0], nil)
	}
	if err != nil {
		return // a validator has said so
	}
	if !m.Framework.IsUnknown() && in.int("port").IsNull() && !m.Server.IsUnknown() && fw.Defaults(managed.RoleServer).Port == 0 {
		resp.Diagnostics.AddAttributeError(attributePath("server", "port"), "Missing Server Port",
			"The framework \""+fw.Name()+"\" has no usual port: set server.port to the one that the server listens on, or to 0 for any free one.")
	}
	op := operation{locate: locator(ctx, clusterSchema(), "server")}
	op.problems(&resp.Diagnostics, managed.CheckTemplate(fw, managed.RoleServer, managed.Template{
		Entrypoint: in.object("container").strings("entrypoint"), Command: in.object("container").strings("command"),
		Environment: in.object("container").stringMap("environment"),
	}))
}

// ModifyPlan implements resource.ResourceWithModifyPlan. It makes no call to
// the backend.
func (r *clusterResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.client == nil {
		return // a destroy needs no plan
	}
	var plan clusterModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	var state *clusterModel
	if !req.State.Raw.IsNull() {
		state = &clusterModel{}
		resp.Diagnostics.Append(req.State.Get(ctx, state)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	namespace, moved := planNamespace(r.client, state != nil, state.namespace())
	plan.Namespace = namespace
	if moved {
		resp.RequiresReplace = append(resp.RequiresReplace, path.Root("namespace"))
	}
	resp.Diagnostics.Append(r.planEffective(ctx, &plan, state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	plan.predict(state, r.stableName(ctx))
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

// stableName tells whether a restarted server has the name of the one before.
func (r *clusterResource) stableName(ctx context.Context) bool {
	m, err := r.client.manager(ctx)
	return err == nil && m.Properties().StableServerName
}

func (m *clusterModel) namespace() types.String {
	if m == nil {
		return types.StringNull()
	}
	return m.Namespace
}

// planNamespace is the provider's namespace for what is made, and the state's
// for what is there; moved is true if those differ.
func planNamespace(c *client, exists bool, old types.String) (ns types.String, moved bool) {
	if exists && (c.namespace.IsUnknown() || c.namespace.Equal(old)) {
		return old, false
	}
	return c.namespace, exists
}

// planEffective sets effective_server: from the state while nothing that it is
// made from has changed, else computed, or unknown.
func (r *clusterResource) planEffective(ctx context.Context, plan, state *clusterModel) diag.Diagnostics {
	var diags diag.Diagnostics
	attrTypes := objectTypes(effectiveServerAttributes())
	op := operation{doing: "Plan Cluster", locate: locator(ctx, clusterSchema(), "server")}
	options := slices.Collect(maps.Values(plan.frameworkOptions()))
	var fw managed.Framework
	if fullyKnown(ctx, plan.Framework) && fullyKnown(ctx, options...) {
		var err error
		if fw, err = plan.framework(); err != nil {
			op.failed(&diags, err)
			return diags
		}
	}
	switch {
	case plan.ExternalServer.IsUnknown():
		plan.EffectiveServer = types.ObjectUnknown(attrTypes)
		return diags
	case !plan.ExternalServer.IsNull():
		plan.EffectiveServer = types.ObjectNull(attrTypes)
		return diags
	}
	sticky := state != nil && !state.EffectiveServer.IsNull() && plan.Framework.Equal(state.Framework) && plan.Server.Equal(state.Server) &&
		plan.ServerWorkerSameLAN.Equal(state.ServerWorkerSameLAN) && maps.EqualFunc(plan.frameworkOptions(), state.frameworkOptions(), attr.Value.Equal)
	if sticky {
		plan.EffectiveServer = state.EffectiveServer
	}
	if fw == nil || !fullyKnown(ctx, plan.Server, plan.ServerWorkerSameLAN) || !r.client.known() {
		if !sticky {
			plan.EffectiveServer = types.ObjectUnknown(attrTypes)
		}
		return diags
	}
	m, err := r.client.manager(ctx)
	if err != nil {
		op.failed(&diags, err)
		return diags
	}
	e, ok := effectiveOf(plan.EffectiveServer)
	if !sticky || !ok {
		e = plan.newEffective(fw, m.Properties())
		plan.EffectiveServer = e.serverObject()
	}
	op.problems(&diags, r.check(m, fw, plan, e))
	return diags
}

// check finds what can be known wrong of a server before anything is changed.
func (r *clusterResource) check(m *managed.Manager, fw managed.Framework, plan *clusterModel, e effective) []managed.Problem {
	in := input{plan.Server}
	server := e.server(fw, in)
	spec := validationSpec(server.Template, 0)
	port := server.Port
	if port == 0 {
		port = 1024 // the backend will pick one; any valid number stands for it
		if m.Capabilities().PortPicker == nil {
			return []managed.Problem{{Attribute: "port", Detail: "The backend \"" + m.Properties().Name + "\" cannot pick a free port: set server.port to a number from 1 to 65535."}}
		}
	}
	spec.Ports = managed.ServerPorts(fw, port, server.Publish)
	problems := append(managed.CheckTemplate(fw, managed.RoleServer, server.Template), checkPublish(fw, server.Publish)...)
	return append(problems, checkRole(m, managed.RoleServer, in, spec)...)
}

// checkPublish finds further ports that the server does not have, or that
// would be in each other's way.
func checkPublish(fw managed.Framework, publish *managed.Publish) []managed.Problem {
	if publish == nil {
		return nil
	}
	var has []string
	for _, p := range fw.Defaults(managed.RoleServer).Ports {
		has = append(has, p.Name)
	}
	var problems []managed.Problem
	taken := map[int]string{publish.Port: "server.publish.port"}
	for _, name := range slices.Sorted(maps.Keys(publish.Others)) {
		number := publish.Others[name]
		switch other := taken[number]; {
		case len(has) == 0:
			problems = append(problems, managed.Problem{Attribute: "publish.ports", Detail: fmt.Sprintf("The server of the framework %q has one port only: remove server.publish.ports.", fw.Name())})
			return problems
		case !slices.Contains(has, name):
			problems = append(problems, managed.Problem{Attribute: "publish.ports", Detail: fmt.Sprintf("The server of the framework %q has no port %q; beside its main one, it has %s.", fw.Name(), name, strings.Join(has, ", "))})
		case number != 0 && other != "":
			problems = append(problems, managed.Problem{Attribute: "publish.ports", Detail: fmt.Sprintf("The port %d is taken by %s already: choose another one for %q, or 0 for any free one.", number, other, name)})
		}
		taken[number] = "server.publish.ports[" + strconv.Quote(name) + "]"
	}
	return problems
}

// predict sets what an apply will make of the computed attributes, as far as
// that can be known.
func (m *clusterModel) predict(state *clusterModel, stableName bool) {
	m.Status = types.StringValue(string(managed.StatusRunning))
	if state != nil && !m.relaunches(state) {
		if !m.ServerClientSameLAN.IsUnknown() {
			m.Client = m.client()
		} else {
			m.Client = types.ObjectUnknown(objectTypes(clientAttributes()))
		}
		return
	}
	m.ServerHandle, m.PublicIP, m.PublicPort = types.StringUnknown(), types.StringUnknown(), types.Int64Unknown()
	if state == nil || !stableName || !m.keepsLaunch(state) {
		m.ID, m.Launch, m.PrivateIP, m.PrivatePort = types.StringUnknown(), types.StringUnknown(), types.StringUnknown(), types.Int64Unknown()
	}
	m.Client = types.ObjectUnknown(objectTypes(clientAttributes()))
	m.Exports = types.MapUnknown(types.StringType)
}

// keepsLaunch tells whether workers that were given the server's address and
// password can go on with one that is started anew.
func (m *clusterModel) keepsLaunch(state *clusterModel) bool {
	now, known := effectiveOf(m.EffectiveServer)
	old, had := effectiveOf(state.EffectiveServer)
	return m.WorkersReconnect.ValueBool() && known && had && state.Launch.ValueString() != "" && m.Framework.Equal(state.Framework) &&
		m.PasswordWOVersion.Equal(state.PasswordWOVersion) && now.Port == old.Port && now.Port != 0 && now.SameLAN && old.SameLAN &&
		serverNameStays(input{m.Server}, input{state.Server})
}

// relaunches tells whether the server has to be started anew, or may have to:
// what is not known yet may turn out to be a change.
func (m *clusterModel) relaunches(state *clusterModel) bool {
	if state.Status.ValueString() != string(managed.StatusRunning) || !m.Framework.Equal(state.Framework) ||
		!m.PasswordWOVersion.Equal(state.PasswordWOVersion) || !m.ExternalServer.Equal(state.ExternalServer) {
		return true
	}
	if !m.ExternalServer.IsNull() {
		return !m.ServerWorkerSameLAN.Equal(state.ServerWorkerSameLAN)
	}
	now, known := effectiveOf(m.EffectiveServer)
	old, had := effectiveOf(state.EffectiveServer)
	return !known || !had || now.SpecHash != old.SpecHash
}

// checkRole asks the backend's tables, and whether it has what it needs.
func checkRole(m *managed.Manager, role managed.Role, in input, spec managed.ContainerSpec) []managed.Problem {
	props := m.Properties()
	var problems []managed.Problem
	if props.NeedsImage && spec.Image == "" {
		problems = append(problems, managed.Problem{Attribute: "container.image", Detail: "The backend \"" + props.Name + "\" needs an image, and the framework has none of its own: set container.image."})
	}
	for _, other := range otherBackendOptions(in, props.Name) {
		problems = append(problems, managed.Problem{Attribute: other, Warning: true, Detail: "The provider's backend is \"" + props.Name + "\", so these options are not used."})
	}
	if v := m.Capabilities().Validator; v != nil {
		problems = append(problems, v.Validate(role, spec)...)
	}
	for _, p := range problems {
		if p.Attribute == "container.command" {
			return problems
		}
	}
	if props.NeedsCommand && len(spec.Entrypoint) == 0 && len(spec.Command) == 0 {
		problems = append(problems, managed.Problem{Attribute: "container.command", Detail: "The backend \"" + props.Name + "\" needs a command, and the framework has none of its own: set container.command to the program and its arguments."})
	}
	return problems
}
