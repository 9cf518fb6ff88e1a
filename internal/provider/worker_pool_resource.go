// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// poolResource is dockerparallel_worker_pool.
type poolResource struct {
	client *client
}

var (
	_ resource.Resource                   = (*poolResource)(nil)
	_ resource.ResourceWithConfigure      = (*poolResource)(nil)
	_ resource.ResourceWithIdentity       = (*poolResource)(nil)
	_ resource.ResourceWithImportState    = (*poolResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*poolResource)(nil)
	_ resource.ResourceWithValidateConfig = (*poolResource)(nil)
)

// NewWorkerPoolResource makes the resource.
func NewWorkerPoolResource() resource.Resource { return &poolResource{} }

// Metadata implements resource.Resource.
func (r *poolResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_worker_pool"
	// The cluster is part of a pool's identity, and a pool can move.
	resp.ResourceBehavior.MutableIdentity = true
}

// Schema implements resource.Resource.
func (r *poolResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = poolSchema()
}

// IdentitySchema implements resource.ResourceWithIdentity.
func (r *poolResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = poolIdentitySchema()
}

// Configure implements resource.ResourceWithConfigure.
func (r *poolResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.client = clientFrom(req.ProviderData, &resp.Diagnostics)
}

// Create implements resource.Resource.
func (r *poolResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan, config poolModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(plan.Timeouts, timeoutCreate, poolTimeout))
	defer cancel()
	op := r.operation(ctx, "Create Worker Pool", timeoutCreate, &config)
	m, err := r.client.manager(ctx)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	plan.Namespace = r.client.namespace
	want := r.request(ctx, op, m, poolChange{plan: &plan, config: &config}, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	want.Create, want.OnExisting = true, onExisting(&config)
	res, err := m.SetWorkerNumber(ctx, want)
	op.notices(&resp.Diagnostics, res.Notices)
	op.failed(&resp.Diagnostics, err)
	if err != nil && !res.Touched {
		return // nothing was changed, so there is nothing to remember
	}
	var mem poolMemory
	plan.conclude(&mem, want, res)
	resp.Diagnostics.Append(mem.write(ctx, resp.Private)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity())...)
}

// Read implements resource.Resource. It never removes the pool: one without
// workers has left nothing to be found, so "nothing found" does not mean gone.
func (r *poolResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state poolModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity())...)
	if !r.client.known() {
		notRefreshed(&resp.Diagnostics, "worker pool "+state.ID.ValueString())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(state.Timeouts, timeoutRead, readTimeout))
	defer cancel()
	op := r.operation(ctx, "Read Worker Pool", timeoutRead, nil)
	m, err := r.client.refresher(ctx)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	mem := readMemory(ctx, req.Private)
	view, err := m.PoolStatus(ctx, state.query(mem))
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	state.view(&mem, view)
	resp.Diagnostics.Append(mem.write(ctx, resp.Private)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// Update implements resource.Resource. Something of the world is wanted
// exactly if the planned handles are not the state's; all else is a change of
// policy, which is kept and takes effect when it is next needed.
func (r *poolResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state, config poolModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	mem := readMemory(ctx, req.Private)
	moved := state.scope() != plan.scope()
	if plan.Handles.Equal(state.Handles) && !plan.Effective.IsUnknown() && !moved {
		if plan.changesSpec(&state) {
			mem.Outdated = len(alive(slotsOf(state.Handles))) // on_replacement
		}
		plan.settle()
		resp.Diagnostics.Append(mem.write(ctx, resp.Private)...)
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity())...)
		return
	}
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity())...)
	ctx, cancel := context.WithTimeout(ctx, timeout(plan.Timeouts, timeoutUpdate, poolUpdateTimeout))
	defer cancel()
	op := r.operation(ctx, "Update Worker Pool", timeoutUpdate, &config)
	m, err := r.client.manager(ctx)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	change := poolChange{plan: &plan, config: &config, state: &state, memory: mem}
	want := r.request(ctx, op, m, change, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	var res managed.PoolResult
	if moved {
		res, err = r.move(ctx, m, change, want)
	} else {
		res, err = m.SetWorkerNumber(ctx, want)
	}
	op.notices(&resp.Diagnostics, res.Notices)
	op.failed(&resp.Diagnostics, err)
	if err != nil && !res.Touched {
		return // nothing was changed: the state is as true as it was
	}
	outdated := res.Outdated > 0 && !plan.onlyOnReplacement()
	plan.conclude(&mem, want, res)
	if resp.Diagnostics.HasError() {
		// The truth, so that the next plan shows what is still to be done.
		plan.WorkerCount = plan.achieved()
		if outdated {
			plan.keepSpec(&state)
		}
	}
	resp.Diagnostics.Append(mem.write(ctx, resp.Private)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity())...)
}

// Delete implements resource.Resource. It goes by what is there under the
// pool's name, not only by what the state remembers, and needs no server.
func (r *poolResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state poolModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(state.Timeouts, timeoutDelete, poolTimeout))
	defer cancel()
	op := r.operation(ctx, "Destroy Worker Pool", timeoutDelete, nil)
	m, err := r.client.manager(ctx)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	notices, err := m.Cleanup(ctx, managed.CleanupRequest{Scope: state.scope(), Known: alive(slotsOf(state.Handles)), Drain: state.drain()})
	op.notices(&resp.Diagnostics, notices)
	op.failed(&resp.Diagnostics, err)
}

// operation describes a method for its diagnostics. The configuration, if
// given, is where secrets are that no message may show.
func (r *poolResource) operation(ctx context.Context, doing, timeout string, config *poolModel) operation {
	op := operation{doing: doing, timeout: timeout, locate: locator(ctx, poolSchema(), "")}
	if config != nil {
		op.secrets = append(op.secrets, input{config.Server}.str("password_wo").ValueString())
	}
	return op
}

// poolChange is a step from one state, nil for a create, to a planned one.
type poolChange struct {
	plan, config, state *poolModel
	memory              poolMemory
}

// request asks the core for what was planned. It waits for the server and
// fills in what the plan could not know; nothing is changed yet.
func (r *poolResource) request(ctx context.Context, op operation, m *managed.Manager, ch poolChange, diags *diag.Diagnostics) managed.PoolRequest {
	plan := ch.plan
	server, err := r.connect(ctx, m, ch)
	if err != nil {
		op.failed(diags, err)
		return managed.PoolRequest{}
	}
	fw, e, err := ch.effective(server.Framework)
	if err != nil {
		op.failed(diags, err)
		return managed.PoolRequest{}
	}
	plan.Effective = e.poolObject()
	if op.problems(diags, r.check(m, fw, plan, e)); diags.HasError() {
		return managed.PoolRequest{}
	}
	want := managed.PoolRequest{
		Scope: plan.scope(), Framework: fw, Server: server,
		Worker:     e.template(fw, managed.RoleWorker, plan.input()),
		MaxWorkers: e.MaxWorkers,
		Workers:    int(plan.WorkerCount.ValueInt64()), MinWorkers: plan.minWorkers(),
		ScaleIn: managed.ScaleIn(plan.ScaleIn.ValueString()), Gang: managed.GangStyle(plan.GangStyle.ValueString()),
		WaitFor: managed.WaitFor(plan.WaitFor.ValueString()), OnExit: managed.OnExit(plan.OnExit.ValueString()),
		Update: plan.updatePolicy(), KeepFailed: plan.KeepFailed.ValueBool(),
	}
	if !plan.Handles.IsUnknown() {
		want.Slots = slotsOf(plan.Handles)
	}
	if ch.state != nil {
		old, _ := effectiveOf(ch.state.Effective)
		want.Known, want.KnownLaunch, want.KnownHash = alive(slotsOf(ch.state.Handles)), ch.memory.Launch, old.SpecHash
	}
	labels, more := r.client.containerLabels(ctx, plan.Labels)
	diags.Append(more...)
	want.Worker.Labels = labels
	if want.Worker.Record, err = plan.record(ctx, e); err != nil {
		unexpected(diags, "recording the configuration", err)
	}
	return want
}

// connect waits for the cluster's server, unless the pool names one itself.
func (r *poolResource) connect(ctx context.Context, m *managed.Manager, ch poolChange) (managed.ServerAddress, error) {
	if in := (input{ch.config.Server}); !in.IsNull() {
		a := managed.ServerAddress{
			Launch: ch.plan.ownLaunch(ch.config.ClusterID), Framework: ch.config.Framework.ValueString(),
			Password: managed.Secret(in.str("password_wo").ValueString()),
		}
		a.Host, a.Port = endpointOf(in).For(in.bool("same_lan").ValueBool())
		return a, nil
	}
	// A server that is there but does not run may be about to be started by
	// another resource of this apply; that takes no longer than its own limit.
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	// The configuration says which launch is wanted; the plan may have kept
	// the state's, see relinks.
	scope := managed.Scope{Namespace: ch.plan.Namespace.ValueString(), Cluster: clusterNameOf(ch.config.ClusterID.ValueString())}
	return m.ConnectServer(ctx, scope, launchOf(ch.config.ClusterID))
}

// move brings the pool to another cluster: what it leaves is emptied first,
// so that nothing is forgotten there.
func (r *poolResource) move(ctx context.Context, m *managed.Manager, ch poolChange, want managed.PoolRequest) (managed.PoolResult, error) {
	notices, err := m.Cleanup(ctx, managed.CleanupRequest{Scope: ch.state.scope(), Known: want.Known, Drain: ch.state.drain()})
	if err != nil {
		return managed.PoolResult{}, err
	}
	want.Create, want.OnExisting = true, onExisting(ch.config)
	want.Slots, want.Known, want.KnownLaunch, want.KnownHash = nil, nil, "", ""
	res, err := m.SetWorkerNumber(ctx, want)
	res.Notices = append(notices, res.Notices...)
	if err != nil && !res.Touched {
		res.Touched = true // the old cluster was: its workers are gone
		res.Slots = make([]managed.Handle, want.Workers)
	}
	return res, err
}

func onExisting(config *poolModel) managed.OnExisting {
	if v := config.OnExisting.ValueString(); v != "" {
		return managed.OnExisting(v)
	}
	return managed.OnExistingError
}
