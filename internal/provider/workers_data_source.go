// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// workersDataSource shows the worker containers of a cluster.
type workersDataSource struct{ reader }

var (
	_ datasource.DataSource              = (*workersDataSource)(nil)
	_ datasource.DataSourceWithConfigure = (*workersDataSource)(nil)
)

// workersDataModel is what the data source shows.
type workersDataModel struct {
	ClusterID           types.String     `tfsdk:"cluster_id"`
	Pool                types.String     `tfsdk:"pool"`
	Namespace           types.String     `tfsdk:"namespace"`
	RunningWorkers      types.Int64      `tfsdk:"running_workers"`
	InitializingWorkers types.Int64      `tfsdk:"initializing_workers"`
	Containers          []containerModel `tfsdk:"containers"`
}

// containerModel is one container with workers in it.
type containerModel struct {
	Handle    types.String `tfsdk:"handle"`
	Pool      types.String `tfsdk:"pool"`
	Owner     types.String `tfsdk:"owner"`
	Workers   types.Int64  `tfsdk:"workers"`
	Status    types.String `tfsdk:"status"`
	Reason    types.String `tfsdk:"reason"`
	ExitCode  types.Int64  `tfsdk:"exit_code"`
	StartedAt types.String `tfsdk:"started_at"`
	Node      types.String `tfsdk:"node"`
	Image     types.String `tfsdk:"image"`
	Digest    types.String `tfsdk:"image_digest"`
	Launch    types.String `tfsdk:"launch"`
	Current   types.Bool   `tfsdk:"current"`
}

// NewWorkersDataSource makes the data source dockerparallel_workers.
func NewWorkersDataSource() datasource.DataSource { return &workersDataSource{} }

// Metadata implements datasource.DataSource.
func (d *workersDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_workers"
}

// Schema implements datasource.DataSource.
func (d *workersDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Shows each container with workers of a cluster as it is on the backend now, those that have stopped included. A " +
			"cluster that does not exist has none; it is not an error.",
		Attributes: map[string]schema.Attribute{
			"cluster_id": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "The `id` of a `dockerparallel_cluster`, or the plain name of a cluster of another configuration.",
				Validators:          []validator.String{isClusterID()},
			},
			"pool": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Shows the containers of this worker pool only. Defaults to all pools of the cluster.",
				Validators:          []validator.String{isName()},
			},
			"namespace":            schema.StringAttribute{Computed: true, MarkdownDescription: "The provider's namespace, in which was looked."},
			"running_workers":      schema.Int64Attribute{Computed: true, MarkdownDescription: "How many workers run and are connected to the server that runs now."},
			"initializing_workers": schema.Int64Attribute{Computed: true, MarkdownDescription: "How many workers were started for the server that runs now, but do not run yet."},
			"containers": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The containers, by pool, the oldest first.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"handle":       schema.StringAttribute{Computed: true, MarkdownDescription: "The backend's own name for the container."},
					"pool":         schema.StringAttribute{Computed: true, MarkdownDescription: "The worker pool that the container belongs to."},
					"owner":        schema.StringAttribute{Computed: true, MarkdownDescription: "Who answers for the container. Null if it has no owner."},
					"workers":      schema.Int64Attribute{Computed: true, MarkdownDescription: "How many workers share the container."},
					"status":       schema.StringAttribute{Computed: true, MarkdownDescription: "What the container does: `initializing`, `running` or `stopped`."},
					"reason":       schema.StringAttribute{Computed: true, MarkdownDescription: "Why it is in its state, in a few words. Null if there is nothing to say."},
					"exit_code":    schema.Int64Attribute{Computed: true, MarkdownDescription: "The exit code of a container that has stopped; 128 + n after the signal n. Null if there is none."},
					"started_at":   schema.StringAttribute{Computed: true, MarkdownDescription: "When the container was started, in RFC 3339 and UTC. Null if that is not known."},
					"node":         schema.StringAttribute{Computed: true, MarkdownDescription: "The machine that the container runs on, where the backend has several."},
					"image":        schema.StringAttribute{Computed: true, MarkdownDescription: "The image as it was asked for. Null on a backend without images."},
					"image_digest": schema.StringAttribute{Computed: true, MarkdownDescription: "What the image's name stood for when the container was started: the digest of its registry, or the image's id where it came from none. Null if the backend does not tell."},
					"launch":       schema.StringAttribute{Computed: true, MarkdownDescription: "The launch of the server that the workers connect to."},
					"current":      schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether that is the server that runs now."},
				}},
			},
		},
	}
}

// Read implements datasource.DataSource.
func (d *workersDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model workersDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	m, namespace, ok := d.manager(ctx, "Read Workers", &resp.Diagnostics)
	if !ok {
		return
	}
	found, err := m.Clusters(ctx, managed.Selector{Namespace: namespace, Cluster: clusterNameOf(model.ClusterID.ValueString())})
	if err != nil {
		operation{doing: "Read Workers"}.failed(&resp.Diagnostics, err)
		return
	}
	model.Namespace = types.StringValue(namespace)
	model.Containers = []containerModel{}
	running, initializing := 0, 0
	for _, c := range found {
		for _, p := range c.Pools {
			if !model.Pool.IsNull() && model.Pool.ValueString() != p.Name {
				continue
			}
			running += p.Running
			initializing += p.Initializing
			for _, w := range p.Members {
				model.Containers = append(model.Containers, containerOf(w, c.Server))
			}
		}
	}
	model.RunningWorkers = types.Int64Value(int64(running))
	model.InitializingWorkers = types.Int64Value(int64(initializing))
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

func containerOf(w managed.Member, s managed.Server) containerModel {
	return containerModel{
		Handle:    types.StringValue(string(w.Handle)),
		Pool:      types.StringValue(w.Pool),
		Owner:     stringOrNull(w.Owner),
		Workers:   types.Int64Value(int64(w.Workers)),
		Status:    types.StringValue(string(w.Status)),
		Reason:    stringOrNull(w.Reason),
		ExitCode:  exitCodeOrNull(w.ExitCode),
		StartedAt: timeOrNull(w.StartedAt),
		Node:      stringOrNull(w.Node),
		Image:     stringOrNull(w.Image),
		Digest:    stringOrNull(w.ImageDigest),
		Launch:    stringOrNull(w.Launch),
		Current:   types.BoolValue(s.Status == managed.StatusRunning && w.Launch == s.Launch),
	}
}
