// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// effective decides, now that the framework is known, what the workers are
// made from.
func (ch poolChange) effective(framework string) (managed.Framework, effective, error) {
	fw, err := newFramework(framework, managed.RoleWorker, ch.plan.frameworkOptions())
	if err != nil {
		return nil, effective{}, err
	}
	if e, planned := effectiveOf(ch.plan.Effective); planned {
		if e.Framework != framework {
			return nil, e, managed.Errorf(managed.ClassConflict, "cluster_id", "the cluster's framework is %q now; the plan was made for %q: apply again", framework, e.Framework)
		}
		return fw, e, nil
	}
	if ch.state != nil && ch.plan.sameSpec(ch.state) {
		if old, ok := effectiveOf(ch.state.Effective); ok && old.Framework == framework {
			return fw, old, nil
		}
	}
	return fw, ch.plan.newEffective(fw), nil
}

// conclude writes the result of an operation into the model and its memory.
func (m *poolModel) conclude(mem *poolMemory, want managed.PoolRequest, res managed.PoolResult) {
	m.show(res.Slots, res.PoolCounts)
	m.settle()
	mem.Launch, mem.Framework, mem.Outdated = want.Server.Launch, want.Framework.Name(), res.Outdated
	mem.setStarted(res.Slots, res.Started)
}

// drain says how the pool's workers are let go; nil if nobody here could ask
// their server for it: the password of one from elsewhere is in no state.
func (m *poolModel) drain() *managed.PoolDrain {
	e, known := effectiveOf(m.Effective)
	if !known || !m.Server.IsNull() {
		return nil
	}
	fw, err := newFramework(e.Framework, managed.RoleWorker, m.frameworkOptions())
	if err != nil {
		return nil
	}
	t := e.template(fw, managed.RoleWorker, m.input())
	return &managed.PoolDrain{Framework: fw, Hardware: t.Hardware, Grace: t.StopGrace}
}

// achieved is how many slots have a worker.
func (m *poolModel) achieved() types.Int64 {
	return types.Int64Value(int64(len(alive(slotsOf(m.Handles)))))
}

// query asks how the pool is.
func (m *poolModel) query(mem poolMemory) managed.PoolQuery {
	e, _ := effectiveOf(m.Effective)
	q := managed.PoolQuery{
		Scope: m.scope(), Slots: slotsOf(m.Handles), KnownLaunch: mem.Launch, KnownHash: e.SpecHash,
		OnExit: managed.OnExit(m.OnExit.ValueString()), WaitFor: managed.WaitFor(m.WaitFor.ValueString()),
	}
	if !m.Server.IsNull() {
		q.Launch = mem.Launch
	}
	return q
}

// view writes what a refresh has seen into the model and its memory.
func (m *poolModel) view(mem *poolMemory, v managed.PoolView) {
	m.show(v.Slots, v.PoolCounts)
	m.WorkerCount = types.Int64Value(int64(v.Achieved))
	m.settle()
	mem.setStarted(v.Slots, v.Started)
	if v.Server.Found {
		mem.Framework = v.Server.Framework
	}
}

// ImportState implements resource.ResourceWithImportState. It looks the pool
// up, so that one that is not there is an error of the import.
func (r *poolResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	const summary = "Cannot Import Worker Pool"
	op := operation{doing: "Import Worker Pool"}
	var identity poolIdentity
	if req.ID == "" && req.Identity != nil {
		resp.Diagnostics.Append(req.Identity.Get(ctx, &identity)...)
	} else {
		cluster, pool, _ := strings.Cut(req.ID, "/")
		identity = poolIdentity{Cluster: types.StringValue(clusterNameOf(cluster)), Name: types.StringValue(pool)}
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if !namePattern.MatchString(identity.Cluster.ValueString()) || !namePattern.MatchString(identity.Name.ValueString()) {
		resp.Diagnostics.AddError(summary, fmt.Sprintf("%q does not name a worker pool. The import ID is the cluster's name and the pool's, such as \"sim/%s\".", req.ID, defaultPool))
		return
	}
	m, err := r.client.manager(ctx)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	if checkImportNamespace(r.client, identity.Namespace, summary, &resp.Diagnostics); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	scope := managed.Scope{Namespace: r.client.namespace.ValueString(), Cluster: identity.Cluster.ValueString(), Pool: identity.Name.ValueString()}
	newest, err := newestWorker(ctx, m, scope)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	if newest == nil {
		resp.Diagnostics.AddError(summary, fmt.Sprintf("Nothing runs as worker pool %q of cluster %q in namespace %q on this backend. "+
			"A pool without workers has left nothing to import: remove the import and let apply create it.", scope.Pool, scope.Cluster, scope.Namespace))
		return
	}
	r.importPool(ctx, op, m, scope, *newest, resp)
}

// importPool rebuilds a pool's state from the labels of its newest worker.
func (r *poolResource) importPool(ctx context.Context, op operation, m *managed.Manager, scope managed.Scope, newest managed.Member, resp *resource.ImportStateResponse) {
	st := nullState(ctx, poolSchema())
	var state poolModel
	resp.Diagnostics.Append(st.Get(ctx, &state)...)
	state.Name, state.Namespace = types.StringValue(scope.Pool), types.StringValue(scope.Namespace)
	state.GangStyle, state.WaitFor = types.StringValue(string(managed.GangSoft)), types.StringValue(string(managed.WaitForRunning))
	state.ScaleIn, state.OnExit = types.StringValue(string(managed.ScaleInNewest)), types.StringValue(string(managed.OnExitReplace))
	state.Update, state.KeepFailed = defaultUpdate(), types.BoolValue(false)
	record, err := managed.ParseRecord(newest.Record)
	if err != nil {
		resp.Diagnostics.AddWarning("Unreadable Record", sentence(err.Error()))
	}
	resp.Diagnostics.Append(restore(ctx, poolSchema(), &state, record.Spec, poolRecordNames())...)
	if e, ok := recordedEffective(record); ok {
		e.SpecHash = newest.SpecHash
		state.Effective = e.poolObject()
	}
	if state.Server.IsNull() {
		// Else the workers' launch is the pool's own, and the cluster's id is as
		// it was written.
		state.ClusterID = types.StringValue(scope.Cluster + "@" + newest.Launch)
	}
	mem := poolMemory{Launch: newest.Launch, Framework: newest.Framework}
	view, err := m.PoolStatus(ctx, state.query(mem))
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	state.view(&mem, view)
	mem.Outdated = view.Outdated // an update that stopped half-way goes on
	if state.Server.IsNull() && view.Launch != "" && view.Launch != newest.Launch {
		resp.Diagnostics.AddWarning("Workers of a Server That Is No More", "The server was started anew since these workers were; the next apply replaces them.")
	}
	resp.Diagnostics.Append(mem.write(ctx, resp.Private)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity())...)
}

// newestWorker of a pool that is alive, else the newest of all; nil if there
// is none.
func newestWorker(ctx context.Context, m *managed.Manager, scope managed.Scope) (*managed.Member, error) {
	all, err := m.Containers(ctx, managed.Selector{Namespace: scope.Namespace, Cluster: scope.Cluster, Pool: scope.Pool, Role: managed.RoleWorker})
	if err != nil {
		return nil, err
	}
	var best *managed.Member
	for i := range all {
		c := &all[i]
		if best == nil {
			best = c
			continue
		}
		live, bestLive := c.Status != managed.StatusStopped, best.Status != managed.StatusStopped
		if live && !bestLive || live == bestLive && c.CreatedAt.After(best.CreatedAt) {
			best = c
		}
	}
	return best, nil
}
