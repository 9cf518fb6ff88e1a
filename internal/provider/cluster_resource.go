// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// clusterResource is dockerparallel_cluster.
type clusterResource struct {
	client *client
}

var (
	_ resource.Resource                   = (*clusterResource)(nil)
	_ resource.ResourceWithConfigure      = (*clusterResource)(nil)
	_ resource.ResourceWithIdentity       = (*clusterResource)(nil)
	_ resource.ResourceWithImportState    = (*clusterResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*clusterResource)(nil)
	_ resource.ResourceWithValidateConfig = (*clusterResource)(nil)
)

// NewClusterResource makes the resource.
func NewClusterResource() resource.Resource { return &clusterResource{} }

// Metadata implements resource.Resource.
func (r *clusterResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cluster"
}

// Schema implements resource.Resource.
func (r *clusterResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = clusterSchema()
}

// IdentitySchema implements resource.ResourceWithIdentity.
func (r *clusterResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = clusterIdentitySchema()
}

// Configure implements resource.ResourceWithConfigure.
func (r *clusterResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.client = clientFrom(req.ProviderData, &resp.Diagnostics)
}

// Create implements resource.Resource.
func (r *clusterResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan, config clusterModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(plan.Timeouts, timeoutCreate, clusterTimeout))
	defer cancel()
	op := r.operation(ctx, "Create Cluster", timeoutCreate, &config)
	m, err := r.client.manager(ctx)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	plan.Namespace = r.client.namespace
	launch := r.request(ctx, m, &plan, &config, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	launch.Create = true
	if config.OnExisting.ValueString() != "" {
		launch.OnExisting = managed.OnExisting(config.OnExisting.ValueString())
	}
	server, err := m.RunServer(ctx, launch)
	op.notices(&resp.Diagnostics, server.Notices)
	if err != nil {
		// The core has left nothing behind, so there is nothing to remember.
		op.failed(&resp.Diagnostics, nameAll(ctx, m, err))
		return
	}
	plan.show(server)
	plan.settle()
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity())...)
}

// Read implements resource.Resource. It never removes the cluster: one whose
// server is gone is a stopped one, and its workers may still be there.
func (r *clusterResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state clusterModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity())...)
	if !r.client.known() {
		notRefreshed(&resp.Diagnostics, "cluster "+state.Name.ValueString())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(state.Timeouts, timeoutRead, readTimeout))
	defer cancel()
	op := r.operation(ctx, "Read Cluster", timeoutRead, nil)
	m, err := r.client.refresher(ctx)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	diags, err := refreshCluster(ctx, m, &state)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// Update implements resource.Resource. What is to be done was decided by the
// plan: the server is started anew exactly if its id or its handle is not
// known, and under its old launch if that is.
func (r *clusterResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state, config clusterModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity())...)
	if !plan.ID.IsUnknown() && !plan.ServerHandle.IsUnknown() {
		plan.settle()
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(plan.Timeouts, timeoutUpdate, clusterTimeout))
	defer cancel()
	op := r.operation(ctx, "Update Cluster", timeoutUpdate, &config)
	m, err := r.client.manager(ctx)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	launch := r.request(ctx, m, &plan, &config, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	launch.Known = managed.Handle(state.ServerHandle.ValueString())
	launch.NewPassword = !plan.PasswordWOVersion.Equal(state.PasswordWOVersion)
	launch.KeepLaunch = plan.Launch.ValueString()
	server, err := m.RunServer(ctx, launch)
	op.notices(&resp.Diagnostics, server.Notices)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		if errors.Is(err, managed.ErrLaunchLost) {
			state.Launch = types.StringNull() // so that the next plan does not try to keep it
		}
		r.recordTruth(ctx, m, &state, resp)
		return
	}
	plan.show(server)
	plan.settle()
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// Delete implements resource.Resource. It goes by what is there under the
// cluster's name, not by what the state remembers.
func (r *clusterResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state clusterModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(state.Timeouts, timeoutDelete, clusterTimeout))
	defer cancel()
	op := r.operation(ctx, "Destroy Cluster", timeoutDelete, nil)
	m, err := r.client.manager(ctx)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	cleanup := managed.CleanupRequest{Scope: state.scope(), Force: state.ForceDestroy.ValueBool(), Deep: state.DeepCleanup.ValueBool()}
	if h := state.ServerHandle.ValueString(); h != "" {
		cleanup.Known = []managed.Handle{managed.Handle(h)}
	}
	notices, err := m.Cleanup(ctx, cleanup)
	op.notices(&resp.Diagnostics, notices)
	op.failed(&resp.Diagnostics, err)
}

// ImportState implements resource.ResourceWithImportState. It looks the
// cluster up, so that one that is not there is an error of the import.
func (r *clusterResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	op := operation{doing: "Import Cluster"}
	identity := clusterIdentity{Name: types.StringValue(req.ID)}
	if req.ID == "" && req.Identity != nil {
		resp.Diagnostics.Append(req.Identity.Get(ctx, &identity)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if !namePattern.MatchString(identity.Name.ValueString()) {
		resp.Diagnostics.AddError("Cannot Import Cluster", fmt.Sprintf("%q is not the name of a cluster. The import ID is the name, such as \"sim\".", identity.Name.ValueString()))
		return
	}
	m, err := r.client.manager(ctx)
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	if checkImportNamespace(r.client, identity.Namespace, "Cannot Import Cluster", &resp.Diagnostics); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	scope := managed.Scope{Namespace: r.client.namespace.ValueString(), Cluster: identity.Name.ValueString()}
	server, err := m.ServerStatus(ctx, scope, "")
	if err != nil {
		op.failed(&resp.Diagnostics, err)
		return
	}
	if !server.Found {
		resp.Diagnostics.AddError("Cannot Import Cluster", fmt.Sprintf("There is no server of a cluster %q in namespace %q on this backend. %s", scope.Cluster, scope.Namespace, clustersThere(ctx, m, scope.Namespace)))
		return
	}
	st := nullState(ctx, clusterSchema())
	var state clusterModel
	resp.Diagnostics.Append(st.Get(ctx, &state)...)
	state.Name, state.Namespace = identity.Name, r.client.namespace
	state.Framework = stringOrNull(server.Framework)
	state.ForceDestroy, state.DeepCleanup = types.BoolValue(false), types.BoolValue(false)
	state.Launch, state.ServerHandle = types.StringValue(server.Launch), stringOrNull(string(server.Handle))
	resp.Diagnostics.Append(state.adopt(ctx, server, clusterRecordNames())...)
	state.show(server)
	state.settle()
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity())...)
}

// operation describes a method for its diagnostics. The configuration, if
// given, is where secrets are that no message may show.
func (r *clusterResource) operation(ctx context.Context, doing, timeout string, config *clusterModel) operation {
	op := operation{doing: doing, timeout: timeout, locate: locator(ctx, clusterSchema(), "server")}
	if config != nil {
		op.secrets = append(op.secrets, config.PasswordWO.ValueString())
	}
	return op
}

// request asks the core for the planned server. It fills in what the plan
// could not know.
func (r *clusterResource) request(ctx context.Context, m *managed.Manager, plan, config *clusterModel, diags *diag.Diagnostics) managed.ServerRequest {
	var e effective
	if plan.ExternalServer.IsNull() {
		fw, err := plan.framework()
		if err != nil {
			unexpected(diags, "choosing the framework", err)
			return managed.ServerRequest{}
		}
		known := false
		if e, known = effectiveOf(plan.EffectiveServer); !known {
			e = plan.newEffective(fw, m.Properties())
			plan.EffectiveServer = e.serverObject()
			operation{locate: locator(ctx, clusterSchema(), "server")}.problems(diags, r.check(m, fw, plan, e))
		}
	} else {
		e.Framework, e.SameLAN = plan.Framework.ValueString(), m.Properties().SameLAN
		if !plan.ServerWorkerSameLAN.IsNull() {
			e.SameLAN = plan.ServerWorkerSameLAN.ValueBool()
		}
	}
	req, more := plan.request(ctx, r.client, e, managed.Secret(config.PasswordWO.ValueString()))
	diags.Append(more...)
	return req
}

// recordTruth writes what is left after an update that failed. The
// configuration stays the old one, so that the next plan tries again.
func (r *clusterResource) recordTruth(ctx context.Context, m *managed.Manager, state *clusterModel, resp *resource.UpdateResponse) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	diags, err := refreshCluster(ctx, m, state)
	if err != nil {
		return // the state stays as it was; the next refresh will tell
	}
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

// refreshCluster brings a state up to date, with one list.
func refreshCluster(ctx context.Context, m *managed.Manager, state *clusterModel) (diag.Diagnostics, error) {
	var diags diag.Diagnostics
	server, err := m.ServerStatus(ctx, state.scope(), managed.Handle(state.ServerHandle.ValueString()))
	if err != nil {
		return diags, err
	}
	old, _ := effectiveOf(state.EffectiveServer)
	if server.Found && server.Launch != state.Launch.ValueString() && server.SpecHash != old.SpecHash {
		// Someone else has started another server under the name, or an apply
		// of ours was cut off before its state was saved.
		diags.Append(state.adopt(ctx, server, clusterSpecNames())...)
	}
	state.show(server)
	state.settle()
	return diags, nil
}

// adopt takes over from a server's record what it was started with.
func (m *clusterModel) adopt(ctx context.Context, server managed.Server, names []string) diag.Diagnostics {
	var diags diag.Diagnostics
	record, err := managed.ParseRecord(server.Record)
	if err != nil {
		diags.AddWarning("Unreadable Record", sentence(err.Error()))
		return diags
	}
	diags.Append(restore(ctx, clusterSchema(), m, record.Spec, names)...)
	m.EffectiveServer = types.ObjectNull(objectTypes(effectiveServerAttributes()))
	if e, ok := recordedEffective(record); ok && !server.External {
		e.SpecHash = server.SpecHash
		m.EffectiveServer = e.serverObject()
	}
	return diags
}

// nameAll has an error about what exists name all that is there, so that its
// import commands are complete.
func nameAll(ctx context.Context, m *managed.Manager, err error) error {
	var exists *managed.ExistsError
	if !errors.As(err, &exists) {
		return err
	}
	if all, listErr := m.Containers(ctx, managed.Selector{Namespace: exists.Scope.Namespace, Cluster: exists.Scope.Cluster}); listErr == nil && len(all) > len(exists.Members) {
		exists.Members = all
	}
	return err
}

// clustersThere tells which clusters could have been meant.
func clustersThere(ctx context.Context, m *managed.Manager, namespace string) string {
	clusters, err := m.Clusters(ctx, managed.Selector{Namespace: namespace})
	if err != nil || len(clusters) == 0 {
		return "There are no clusters in that namespace at all; is it the right one, and the right backend?"
	}
	var names []string
	for _, c := range clusters {
		if c.Server.Found {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return "Only workers without a server are left in that namespace; \"terraform-provider-dockerparallel list\" shows them."
	}
	return "Those that are there: " + strings.Join(names[:min(10, len(names))], ", ") + "."
}

// checkImportNamespace refuses an identity of a namespace that the provider
// does not serve.
func checkImportNamespace(c *client, namespace types.String, summary string, diags *diag.Diagnostics) {
	if !namespace.IsNull() && !namespace.Equal(c.namespace) {
		diags.AddAttributeError(path.Root("namespace"), summary, fmt.Sprintf("The provider works in namespace %q, the identity names %q. Import with a provider that has namespace = %q.",
			c.namespace.ValueString(), namespace.ValueString(), namespace.ValueString()))
	}
}

// notRefreshed says that a state is shown as it was.
func notRefreshed(diags *diag.Diagnostics, what string) {
	diags.AddWarning("State Not Refreshed", "The provider's configuration is not known yet, so the "+what+" is shown as it was at the last apply.")
}
