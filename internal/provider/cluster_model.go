// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// clusterModel is dockerparallel_cluster. Nested attributes are objects, not
// structs: they may be unknown at every level.
type clusterModel struct {
	Name                types.String `tfsdk:"name"`
	Framework           types.String `tfsdk:"framework"`
	Server              types.Object `tfsdk:"server"`
	ExternalServer      types.Object `tfsdk:"external_server"`
	PasswordWO          types.String `tfsdk:"password_wo"`
	PasswordWOVersion   types.Int64  `tfsdk:"password_wo_version"`
	ServerWorkerSameLAN types.Bool   `tfsdk:"server_worker_same_lan"`
	ServerClientSameLAN types.Bool   `tfsdk:"server_client_same_lan"`
	WorkersReconnect    types.Bool   `tfsdk:"workers_reconnect"`
	OnExisting          types.String `tfsdk:"on_existing"`
	ForceDestroy        types.Bool   `tfsdk:"force_destroy"`
	DeepCleanup         types.Bool   `tfsdk:"deep_cleanup"`
	Labels              types.Map    `tfsdk:"labels"`
	Timeouts            types.Object `tfsdk:"timeouts"`
	clusterFrameworks

	ID              types.String `tfsdk:"id"`
	Namespace       types.String `tfsdk:"namespace"`
	Launch          types.String `tfsdk:"launch"`
	Status          types.String `tfsdk:"status"`
	ServerHandle    types.String `tfsdk:"server_handle"`
	PublicIP        types.String `tfsdk:"public_ip"`
	PublicPort      types.Int64  `tfsdk:"public_port"`
	PrivateIP       types.String `tfsdk:"private_ip"`
	PrivatePort     types.Int64  `tfsdk:"private_port"`
	EffectiveServer types.Object `tfsdk:"effective_server"`
	Client          types.Object `tfsdk:"client"`
	Exports         types.Map    `tfsdk:"exports"`
}

// clusterIdentity is the resource's identity.
type clusterIdentity struct {
	Namespace types.String `tfsdk:"namespace"`
	Name      types.String `tfsdk:"name"`
}

func (m *clusterModel) identity() clusterIdentity {
	return clusterIdentity{Namespace: m.Namespace, Name: m.Name}
}

func (m *clusterModel) scope() managed.Scope {
	return managed.Scope{Namespace: m.Namespace.ValueString(), Cluster: m.Name.ValueString()}
}

// clusterSpecNames are the attributes that decide what server runs.
func clusterSpecNames() []string {
	return append([]string{"framework", "server", "external_server", "server_worker_same_lan"}, frameworkOptionNames(managed.RoleServer)...)
}

// clusterRecordNames are the attributes that a server's record holds: all that
// users write, but for what is write-only.
func clusterRecordNames() []string {
	return append(clusterSpecNames(), "server_client_same_lan", "workers_reconnect", "password_wo_version", "force_destroy", "deep_cleanup", "labels", "timeouts")
}

// record of the configuration, for import.
func (m *clusterModel) record(ctx context.Context, e effective) (managed.Record, error) {
	values := m.frameworkOptions()
	maps.Copy(values, map[string]attr.Value{
		"framework": m.Framework, "server": m.Server, "external_server": m.ExternalServer,
		"server_worker_same_lan": m.ServerWorkerSameLAN, "server_client_same_lan": m.ServerClientSameLAN,
		"workers_reconnect":   m.WorkersReconnect,
		"password_wo_version": m.PasswordWOVersion, "force_destroy": m.ForceDestroy, "deep_cleanup": m.DeepCleanup,
		"labels": m.Labels, "timeouts": m.Timeouts,
	})
	spec, err := encodeAttributes(ctx, values)
	if err != nil {
		return managed.Record{}, err
	}
	eff, err := json.Marshal(e)
	return managed.Record{Version: 1, Spec: spec, Effective: eff}, err
}

// framework of a model whose framework and its options are known.
func (m *clusterModel) framework() (managed.Framework, error) {
	return newFramework(m.Framework.ValueString(), managed.RoleServer, m.frameworkOptions())
}

// newEffective fills in the defaults of a server whose configuration is known.
func (m *clusterModel) newEffective(fw managed.Framework, props managed.Properties) effective {
	in := input{m.Server}
	e := newEffective(fw, managed.RoleServer, in)
	e.Port = int(in.int("port").ValueInt64())
	if in.int("port").IsNull() {
		e.Port = fw.Defaults(managed.RoleServer).Port
	}
	e.SameLAN = props.SameLAN
	if !m.ServerWorkerSameLAN.IsNull() {
		e.SameLAN = m.ServerWorkerSameLAN.ValueBool()
	}
	e.SpecHash = e.server(fw, in).Hash()
	return e
}

// request asks the core for the server of a plan.
func (m *clusterModel) request(ctx context.Context, c *client, e effective, password managed.Secret) (managed.ServerRequest, diag.Diagnostics) {
	var diags diag.Diagnostics
	fw, err := m.framework()
	if err != nil {
		op := operation{doing: "Start Cluster", locate: locator(ctx, clusterSchema(), "server")}
		op.failed(&diags, err) // options that were unknown in the plan
		return managed.ServerRequest{}, diags
	}
	req := managed.ServerRequest{
		Scope: m.scope(), Framework: fw, Password: password, OnExisting: managed.OnExistingError,
		Server: e.server(fw, input{m.Server}),
	}
	if !m.ExternalServer.IsNull() {
		req.External = &managed.External{Endpoint: endpointOf(input{m.ExternalServer}), Password: password}
	}
	labels, more := c.containerLabels(ctx, m.Labels)
	diags.Append(more...)
	req.Server.Labels = labels
	if req.Server.Record, err = m.record(ctx, e); err != nil {
		unexpected(&diags, "recording the configuration", err)
	}
	return req, diags
}

// endpointOf reads an external server's addresses.
func endpointOf(in input) managed.Endpoint {
	return managed.Endpoint{
		PublicIP: in.str("public_ip").ValueString(), PublicPort: int(in.int("public_port").ValueInt64()),
		PrivateIP: in.str("private_ip").ValueString(), PrivatePort: int(in.int("private_port").ValueInt64()),
	}
}

// show writes what the world shows of the server into the model. Of a server
// that is gone the last known facts are kept; only its status changes.
func (m *clusterModel) show(s managed.Server) {
	m.Status = types.StringValue(string(s.Status))
	if !s.Found {
		m.Status = types.StringValue(string(managed.StatusStopped))
	}
	if s.Found && s.Status == managed.StatusRunning {
		m.Launch = types.StringValue(s.Launch)
		m.ServerHandle = stringOrNull(string(s.Handle))
		m.PublicIP, m.PublicPort = stringOrNull(s.Endpoint.PublicIP), intOrNull(s.Endpoint.PublicPort)
		m.PrivateIP, m.PrivatePort = stringOrNull(s.Endpoint.PrivateIP), intOrNull(s.Endpoint.PrivatePort)
	}
	m.ID = types.StringValue(m.Name.ValueString() + "@" + m.Launch.ValueString())
	if s.Found && s.Status == managed.StatusRunning || m.Exports.IsNull() || m.Exports.IsUnknown() {
		m.Exports = m.exportsOf(s)
	}
	m.Client = m.client()
}

// exportsOf a server are the backend's and the framework's.
func (m *clusterModel) exportsOf(s managed.Server) types.Map {
	all := make(map[string]attr.Value, len(s.Exports))
	if fw, err := m.framework(); err == nil {
		if e, ok := fw.(managed.Exporter); ok {
			for k, v := range e.Exports(s.Endpoints) {
				all[k] = types.StringValue(v)
			}
		}
	}
	for k, v := range s.Exports {
		all[k] = types.StringValue(v)
	}
	return types.MapValueMust(types.StringType, all)
}

// endpoint as the model's computed attributes have it.
func (m *clusterModel) endpoint() managed.Endpoint {
	return managed.Endpoint{
		PublicIP: m.PublicIP.ValueString(), PublicPort: int(m.PublicPort.ValueInt64()),
		PrivateIP: m.PrivateIP.ValueString(), PrivatePort: int(m.PrivatePort.ValueInt64()),
	}
}

// exportTunnel is the export of a backend with the ssh command that brings a
// published port to this machine.
const exportTunnel = "ssh_tunnel"

// client is how a client connects to the server that the model shows; null
// without an address.
func (m *clusterModel) client() types.Object {
	attrTypes := objectTypes(clientAttributes())
	var sameLAN *bool
	if !m.ServerClientSameLAN.IsNull() {
		sameLAN = m.ServerClientSameLAN.ValueBoolPointer()
	}
	host, port := m.endpoint().ForClient(sameLAN)
	fw, err := m.framework()
	if err != nil || host == "" {
		return types.ObjectNull(attrTypes)
	}
	facts := managed.ClientFacts{Cluster: m.Name.ValueString(), Host: host, Port: port, Exports: map[string]string{}}
	if host != m.PrivateIP.ValueString() { // a client in the server's own network needs none of these
		for name, value := range m.Exports.Elements() {
			if s, ok := value.(types.String); ok {
				facts.Exports[name] = s.ValueString()
			}
		}
		facts.Tunnel = facts.Exports[exportTunnel]
	}
	c := fw.Client(facts)
	return types.ObjectValueMust(attrTypes, map[string]attr.Value{
		"url": stringOrNull(c.URL), "r": stringOrNull(c.R), "python": stringOrNull(c.Python), "shell": stringOrNull(c.Shell),
	})
}

// settle makes everything known that the operation has not made so: nothing
// unknown may reach the state.
func (m *clusterModel) settle() {
	for _, s := range []*types.String{&m.ID, &m.Namespace, &m.Launch, &m.Status, &m.ServerHandle, &m.PublicIP, &m.PrivateIP} {
		if s.IsUnknown() {
			*s = types.StringNull()
		}
	}
	for _, n := range []*types.Int64{&m.PublicPort, &m.PrivatePort} {
		if n.IsUnknown() {
			*n = types.Int64Null()
		}
	}
	if m.EffectiveServer.IsUnknown() {
		m.EffectiveServer = types.ObjectNull(objectTypes(effectiveServerAttributes()))
	}
	if m.Client.IsUnknown() {
		m.Client = types.ObjectNull(objectTypes(clientAttributes()))
	}
	if m.Exports.IsUnknown() {
		m.Exports = types.MapValueMust(types.StringType, map[string]attr.Value{})
	}
	// Write-only values are in no plan, and never in state.
	m.PasswordWO, m.OnExisting = types.StringNull(), types.StringNull()
}
