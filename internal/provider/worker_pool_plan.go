// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/docker"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// ValidateConfig implements resource.ResourceWithValidateConfig: what can be
// known wrong without the provider's configuration.
func (r *poolResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m poolModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if !m.MinWorkerCount.IsNull() && !m.MinWorkerCount.IsUnknown() && !m.WorkerCount.IsUnknown() && m.MinWorkerCount.ValueInt64() > m.WorkerCount.ValueInt64() {
		resp.Diagnostics.AddAttributeError(path.Root("min_worker_count"), "Invalid Attribute Value",
			fmt.Sprintf("min_worker_count is %d, more than worker_count, which is %d: no apply could ever succeed.", m.MinWorkerCount.ValueInt64(), m.WorkerCount.ValueInt64()))
	}
	server := input{m.Server}
	if !server.str("password_wo").IsNull() && server.int("password_wo_version").IsNull() {
		resp.Diagnostics.AddAttributeWarning(attributePath("server", "password_wo"), "Password Cannot Be Rotated",
			"Terraform cannot see a write-only value change. Set password_wo_version as well, and increase it whenever the password changes.")
	}
	update := input{m.Update}
	unavailable, surge := update.str("max_unavailable"), update.str("max_surge")
	if surge.IsNull() {
		surge = types.StringValue(defaultMaxSurge)
	}
	if !unavailable.IsNull() && !unavailable.IsUnknown() && !surge.IsUnknown() && noRoom(unavailable.ValueString(), surge.ValueString()) {
		resp.Diagnostics.AddAttributeError(attributePath("update", "max_unavailable"), "Invalid Attribute Value",
			"With max_unavailable and max_surge both 0, no worker could ever be replaced. Let at least one be missing, or one run in addition.")
	}
	op := operation{locate: locator(ctx, poolSchema(), "")}
	op.problems(&resp.Diagnostics, r.checkInput(&m))
}

// checkInput finds what is wrong with a container whatever its backend. While
// the framework is not known, that is what is wrong with all of them.
func (r *poolResource) checkInput(m *poolModel) []managed.Problem {
	container := m.input().object("container")
	t := managed.Template{
		Entrypoint: container.strings("entrypoint"), Command: container.strings("command"), Environment: container.stringMap("environment"),
	}
	if fw, err := frameworks.New(m.Framework.ValueString(), nil); err == nil {
		return managed.CheckTemplate(fw, managed.RoleWorker, t)
	}
	fw, err := frameworks.New(frameworks.Names()[0], nil) // sets only what all of them set
	if err != nil {
		return nil
	}
	return managed.CheckTemplate(fw, managed.RoleWorker, t)
}

// ModifyPlan implements resource.ResourceWithModifyPlan. It makes no call to
// the backend.
func (r *poolResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.client == nil {
		return // a destroy needs no plan
	}
	var plan poolModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	var state *poolModel
	if !req.State.Raw.IsNull() {
		state = &poolModel{}
		resp.Diagnostics.Append(req.State.Get(ctx, state)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	mem := readMemory(ctx, req.Private)
	namespace, moved := planNamespace(r.client, state != nil, state.namespace())
	plan.Namespace = namespace
	if moved {
		resp.RequiresReplace = append(resp.RequiresReplace, path.Root("namespace"))
	}
	restart := state == nil || plan.relinks(ctx, state, mem)
	plan.ID = types.StringUnknown()
	if !plan.ClusterID.IsUnknown() && !plan.Name.IsUnknown() {
		plan.ID = plan.id()
	}
	resp.Diagnostics.Append(r.planEffective(ctx, &plan, state, restart)...)
	if resp.Diagnostics.HasError() {
		return
	}
	plan.predict(state, mem, restart)
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

func (m *poolModel) namespace() types.String {
	if m == nil {
		return types.StringNull()
	}
	return m.Namespace
}

// relinks tells whether the workers have to connect to another server than
// they do, or may have to. If not, the cluster's id stays as the state has it:
// a plain name and a reference then mean the same.
func (m *poolModel) relinks(ctx context.Context, state *poolModel, mem poolMemory) bool {
	if m.ClusterID.IsUnknown() || !fullyKnown(ctx, m.Server) || m.Server.IsNull() != state.Server.IsNull() {
		return true
	}
	if clusterNameOf(m.ClusterID.ValueString()) != clusterNameOf(state.ClusterID.ValueString()) {
		return true
	}
	if !m.Server.IsNull() {
		return m.ownLaunch(m.ClusterID) != mem.Launch
	}
	if old, ok := effectiveOf(state.Effective); ok && mem.Framework != "" && mem.Framework != old.Framework {
		return true
	}
	if launch := launchOf(m.ClusterID); launch != "" && launch != mem.Launch {
		return true
	}
	m.ClusterID = state.ClusterID
	return false
}

// planEffective sets effective: from the state while nothing that it is made
// from has changed, else computed, or unknown.
func (r *poolResource) planEffective(ctx context.Context, plan, state *poolModel, restart bool) diag.Diagnostics {
	var diags diag.Diagnostics
	attrTypes := objectTypes(effectivePoolAttributes())
	old, had := effective{}, false
	if state != nil {
		old, had = effectiveOf(state.Effective)
	}
	framework := plan.Framework.ValueString()
	if framework == "" && had && !restart {
		framework = old.Framework
	}
	sticky := had && framework == old.Framework && plan.sameSpec(state)
	plan.Effective = types.ObjectUnknown(attrTypes)
	if sticky {
		plan.Effective = state.Effective
	}
	op := operation{doing: "Plan Worker Pool", locate: locator(ctx, poolSchema(), "")}
	known := framework != "" && fullyKnown(ctx, plan.Container, plan.Hardware, plan.Framework) && plan.optionsKnown(ctx)
	var fw managed.Framework
	if known {
		var err error
		if fw, err = newFramework(framework, managed.RoleWorker, plan.frameworkOptions()); err != nil {
			op.failed(&diags, err)
			return diags
		}
	}
	if known && !sticky {
		plan.Effective = plan.newEffective(fw).poolObject()
	}
	if !r.client.known() {
		return diags
	}
	m, err := r.client.manager(ctx)
	switch {
	case err != nil:
		op.failed(&diags, err)
	case known:
		e, _ := effectiveOf(plan.Effective)
		op.problems(&diags, r.check(m, fw, plan, e))
	default:
		op.problems(&diags, r.checkAnyFramework(ctx, m, plan))
	}
	return diags
}

// check finds what can be known wrong of the workers before anything is
// changed.
func (r *poolResource) check(m *managed.Manager, fw managed.Framework, plan *poolModel, e effective) []managed.Problem {
	t := e.template(fw, managed.RoleWorker, plan.input())
	problems := managed.CheckTemplate(fw, managed.RoleWorker, t)
	problems = append(problems, checkRole(m, managed.RoleWorker, plan.input(), validationSpec(t, 1))...)
	if plan.OnExit.ValueString() == string(managed.OnExitAccept) && restartsCompleted(t.Options) {
		problems = append(problems, managed.Problem{Attribute: docker.Name + ".restart_policy", Detail: "With on_exit = \"accept\", a worker that ends with code 0 has done its work, but this policy starts it again. Leave restart_policy out, or set it to \"on-failure\"."})
	}
	if _, counts := fw.(managed.WorkerLister); !counts && plan.WaitFor.ValueString() == string(managed.WaitForRegistered) {
		problems = append(problems, managed.Problem{Attribute: "wait_for", Detail: "The framework \"" + fw.Name() + "\" cannot count the workers that have registered with its server. Use \"running\"."})
	}
	if _, tells := fw.(managed.IdleTeller); !tells && plan.ScaleIn.ValueString() == string(managed.ScaleInIdle) {
		problems = append(problems, managed.Problem{Attribute: "scale_in", Detail: "The framework \"" + fw.Name() + "\" cannot tell which workers are idle. Use \"newest\" or \"oldest\"."})
	}
	return problems
}

// checkAnyFramework finds what is wrong whatever framework the cluster turns
// out to have.
func (r *poolResource) checkAnyFramework(ctx context.Context, m *managed.Manager, plan *poolModel) []managed.Problem {
	if !fullyKnown(ctx, plan.Container, plan.Hardware) || !plan.optionsKnown(ctx) {
		return nil
	}
	var common []managed.Problem
	for i, name := range frameworks.Names() {
		fw, err := frameworks.New(name, nil)
		if err != nil {
			return nil
		}
		found := r.check(m, fw, plan, plan.newEffective(fw))
		if i == 0 {
			common = found
			continue
		}
		var both []managed.Problem
		for _, p := range common {
			for _, q := range found {
				if p == q {
					both = append(both, p)
					break
				}
			}
		}
		common = both
	}
	return common
}

// predict sets what an apply will make of the computed attributes, as far as
// that can be known: survivors with their handles, and unknown for what is
// started.
func (m *poolModel) predict(state *poolModel, mem poolMemory, restart bool) {
	if state == nil || m.WorkerCount.IsUnknown() {
		m.Handles = types.ListUnknown(types.StringType)
		m.unknownCounts()
		return
	}
	slots, n := slotsOf(state.Handles), int(m.WorkerCount.ValueInt64())
	switch respec := m.changesSpec(state) || mem.Outdated > 0; {
	case !restart && (!respec || m.onlyOnReplacement()):
		m.Handles = handlesOf(managed.PlanSlots(slots, n, managed.ScaleIn(m.ScaleIn.ValueString()), mem.started(slots)), types.StringUnknown())
	case len(alive(slots)) == 0:
		// Nobody is to be kept: as many elements as there will be, so that
		// length(handles) is known.
		m.Handles = handlesOf(make([]managed.Handle, n), types.StringUnknown())
	default:
		m.Handles = types.ListUnknown(types.StringType)
	}
	if !m.Handles.Equal(state.Handles) || m.Effective.IsUnknown() {
		m.unknownCounts()
	}
}

func (m *poolModel) unknownCounts() {
	m.RunningWorkers, m.InitializingWorkers, m.Containers = types.Int64Unknown(), types.Int64Unknown(), types.Int64Unknown()
}

// changesSpec tells whether running workers have to be replaced, or may have
// to.
func (m *poolModel) changesSpec(state *poolModel) bool {
	now, known := effectiveOf(m.Effective)
	old, had := effectiveOf(state.Effective)
	return !known || !had || now.SpecHash != old.SpecHash || now.Framework != old.Framework
}
