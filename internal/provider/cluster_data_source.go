// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// clusterDataSource shows one cluster.
type clusterDataSource struct{ reader }

var (
	_ datasource.DataSource              = (*clusterDataSource)(nil)
	_ datasource.DataSourceWithConfigure = (*clusterDataSource)(nil)
)

// clusterDataModel is what the data source shows.
type clusterDataModel struct {
	Name         types.String  `tfsdk:"name"`
	ID           types.String  `tfsdk:"id"`
	Exists       types.Bool    `tfsdk:"exists"`
	Namespace    types.String  `tfsdk:"namespace"`
	Owner        types.String  `tfsdk:"owner"`
	Framework    types.String  `tfsdk:"framework"`
	Launch       types.String  `tfsdk:"launch"`
	Status       types.String  `tfsdk:"status"`
	Reason       types.String  `tfsdk:"reason"`
	ExitCode     types.Int64   `tfsdk:"exit_code"`
	StartedAt    types.String  `tfsdk:"started_at"`
	Node         types.String  `tfsdk:"node"`
	ServerHandle types.String  `tfsdk:"server_handle"`
	External     types.Bool    `tfsdk:"external_server"`
	PublicIP     types.String  `tfsdk:"public_ip"`
	PublicPort   types.Int64   `tfsdk:"public_port"`
	PrivateIP    types.String  `tfsdk:"private_ip"`
	PrivatePort  types.Int64   `tfsdk:"private_port"`
	URL          types.String  `tfsdk:"url"`
	Pools        []poolSummary `tfsdk:"pools"`
}

// NewClusterDataSource makes the data source dockerparallel_cluster.
func NewClusterDataSource() datasource.DataSource { return &clusterDataSource{} }

// Metadata implements datasource.DataSource.
func (d *clusterDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cluster"
}

// Schema implements datasource.DataSource.
func (d *clusterDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := serverAttributes()
	attributes["name"] = schema.StringAttribute{
		Required:            true,
		MarkdownDescription: "The name of the cluster, in the provider's namespace.",
		Validators:          []validator.String{isName()},
	}
	attributes["exists"] = schema.BoolAttribute{
		Computed: true,
		MarkdownDescription: "Whether the cluster has a server that runs or is being started. If not, the attributes that follow from a " +
			"server are null, or tell of the one that has stopped; it is not an error.",
	}
	attributes["namespace"] = schema.StringAttribute{Computed: true, MarkdownDescription: "The provider's namespace, in which was looked."}
	attributes["pools"] = poolSummariesAttribute()
	resp.Schema = schema.Schema{
		MarkdownDescription: "Shows one cluster as it runs on the backend now, whichever configuration has made it. It can be used to attach " +
			"a worker pool, or a client, to a cluster of another configuration. For the password see the ephemeral resource " +
			"`dockerparallel_credentials`.",
		Attributes: attributes,
	}
}

// Read implements datasource.DataSource.
func (d *clusterDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model clusterDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	m, namespace, ok := d.manager(ctx, "Read Cluster", &resp.Diagnostics)
	if !ok {
		return
	}
	found, err := m.Clusters(ctx, managed.Selector{Namespace: namespace, Cluster: model.Name.ValueString()})
	if err != nil {
		operation{doing: "Read Cluster"}.failed(&resp.Diagnostics, err)
		return
	}
	cluster := managed.Cluster{Namespace: namespace, Name: model.Name.ValueString()}
	if len(found) > 0 {
		cluster = found[0]
	}
	model = clusterDataModelOf(cluster)
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

// serverAttributes are what is known of a cluster's server.
func serverAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"id": schema.StringAttribute{
			Computed: true,
			MarkdownDescription: "The cluster's id, `name@launch`, for the `cluster_id` of a worker pool: it changes when the server is " +
				"started anew. Null if there is no server.",
		},
		"owner":     schema.StringAttribute{Computed: true, MarkdownDescription: "Who answers for the cluster. Null if it has no owner."},
		"framework": schema.StringAttribute{Computed: true, MarkdownDescription: "The parallel framework that the cluster speaks, such as `redis`."},
		"launch":    schema.StringAttribute{Computed: true, MarkdownDescription: "The launch of the server: a random token for each of its starts."},
		"status": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "What the server does: `initializing`, `running` or `stopped`. Without a server it is `stopped`.",
		},
		"reason":    schema.StringAttribute{Computed: true, MarkdownDescription: "Why the server is in its state, in a few words. Null if there is nothing to say."},
		"exit_code": schema.Int64Attribute{Computed: true, MarkdownDescription: "The exit code of a server that has stopped. Null if there is none."},
		"started_at": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "When the server was started, in RFC 3339 and UTC. Null if that is not known.",
		},
		"node":            schema.StringAttribute{Computed: true, MarkdownDescription: "The machine that the server runs on, where the backend has several."},
		"server_handle":   schema.StringAttribute{Computed: true, MarkdownDescription: "The backend's own name for the server's container. Null for a server from elsewhere."},
		"external_server": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the server comes from elsewhere, and was not started by this provider."},
		"public_ip":       schema.StringAttribute{Computed: true, MarkdownDescription: "The address of the server from outside. Null if it is not published."},
		"public_port":     schema.Int64Attribute{Computed: true, MarkdownDescription: "The port of the server from outside. Null if it is not published."},
		"private_ip":      schema.StringAttribute{Computed: true, MarkdownDescription: "The address of the server in the network of its workers."},
		"private_port":    schema.Int64Attribute{Computed: true, MarkdownDescription: "The port of the server in the network of its workers."},
		"url": schema.StringAttribute{
			Computed: true,
			MarkdownDescription: "The URL of the server as clients write it, without a password: at the public address if there is one, else " +
				"at the private one. Null if the server does not run.",
		},
	}
}

func clusterDataModelOf(c managed.Cluster) clusterDataModel {
	s := c.Server
	model := clusterDataModel{
		Name:         types.StringValue(c.Name),
		Exists:       types.BoolValue(s.Status == managed.StatusRunning || s.Status == managed.StatusInitializing),
		Namespace:    types.StringValue(c.Namespace),
		Owner:        stringOrNull(c.Owner),
		Framework:    stringOrNull(c.Framework),
		Launch:       stringOrNull(s.Launch),
		Status:       types.StringValue(string(managed.StatusStopped)),
		Reason:       stringOrNull(s.Reason),
		ExitCode:     exitCodeOrNull(s.ExitCode),
		StartedAt:    timeOrNull(s.StartedAt),
		Node:         stringOrNull(s.Node),
		ServerHandle: stringOrNull(string(s.Handle)),
		External:     types.BoolValue(s.External),
		PublicIP:     stringOrNull(s.Endpoint.PublicIP),
		PublicPort:   intOrNull(s.Endpoint.PublicPort),
		PrivateIP:    stringOrNull(s.Endpoint.PrivateIP),
		PrivatePort:  intOrNull(s.Endpoint.PrivatePort),
		Pools:        poolSummaries(c.Pools),
	}
	if s.Status != "" {
		model.Status = types.StringValue(string(s.Status))
	}
	if s.Found {
		model.ID = types.StringValue(c.Name + "@" + s.Launch)
	}
	if fw, err := frameworks.New(s.Framework, nil); err == nil && s.Status == managed.StatusRunning {
		host, port := s.Endpoint.ForClient(nil)
		model.URL = types.StringValue(fw.URL(host, port, ""))
	}
	return model
}
