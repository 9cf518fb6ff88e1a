// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// clustersDataSource shows the clusters of a namespace.
type clustersDataSource struct{ reader }

var (
	_ datasource.DataSource              = (*clustersDataSource)(nil)
	_ datasource.DataSourceWithConfigure = (*clustersDataSource)(nil)
)

// clustersDataModel is what the data source shows.
type clustersDataModel struct {
	Owner     types.String          `tfsdk:"owner"`
	Namespace types.String          `tfsdk:"namespace"`
	Clusters  []clusterSummaryModel `tfsdk:"clusters"`
}

// clusterSummaryModel is one of several clusters.
type clusterSummaryModel struct {
	Name         types.String  `tfsdk:"name"`
	ID           types.String  `tfsdk:"id"`
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

// NewClustersDataSource makes the data source dockerparallel_clusters.
func NewClustersDataSource() datasource.DataSource { return &clustersDataSource{} }

// Metadata implements datasource.DataSource.
func (d *clustersDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_clusters"
}

// Schema implements datasource.DataSource.
func (d *clustersDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := serverAttributes()
	attributes["name"] = schema.StringAttribute{Computed: true, MarkdownDescription: "The name of the cluster."}
	attributes["pools"] = poolSummariesAttribute()
	resp.Schema = schema.Schema{
		MarkdownDescription: "Shows all clusters in the provider's namespace as they run on the backend now, whichever configurations have " +
			"made them. A cluster of which only workers are left is among them. A cluster with a server from elsewhere is among them as " +
			"long as it has workers.",
		Attributes: map[string]schema.Attribute{
			"owner": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Shows the clusters of this owner only. `\"\"` means those without an owner. Defaults to all of them.",
			},
			"namespace": schema.StringAttribute{Computed: true, MarkdownDescription: "The provider's namespace, in which was looked."},
			"clusters": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The clusters, in the order of their names.",
				NestedObject:        schema.NestedAttributeObject{Attributes: attributes},
			},
		},
	}
}

// Read implements datasource.DataSource.
func (d *clustersDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model clustersDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	m, namespace, ok := d.manager(ctx, "Read Clusters", &resp.Diagnostics)
	if !ok {
		return
	}
	found, err := m.Clusters(ctx, managed.Selector{Namespace: namespace})
	if err != nil {
		operation{doing: "Read Clusters"}.failed(&resp.Diagnostics, err)
		return
	}
	model.Namespace = types.StringValue(namespace)
	model.Clusters = []clusterSummaryModel{}
	for _, c := range found {
		if model.Owner.IsNull() || model.Owner.ValueString() == c.Owner {
			model.Clusters = append(model.Clusters, clusterSummaryOf(c))
		}
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

func clusterSummaryOf(c managed.Cluster) clusterSummaryModel {
	v := clusterDataModelOf(c)
	return clusterSummaryModel{
		Name: v.Name, ID: v.ID, Owner: v.Owner, Framework: v.Framework, Launch: v.Launch, Status: v.Status, Reason: v.Reason,
		ExitCode: v.ExitCode, StartedAt: v.StartedAt, Node: v.Node, ServerHandle: v.ServerHandle, External: v.External,
		PublicIP: v.PublicIP, PublicPort: v.PublicPort, PrivateIP: v.PrivateIP, PrivatePort: v.PrivatePort, URL: v.URL, Pools: v.Pools,
	}
}
