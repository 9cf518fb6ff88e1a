// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// dataSources of the provider.
func dataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{NewClusterDataSource, NewClustersDataSource, NewWorkersDataSource}
}

// reader is what all data sources share: the client, and how it is asked.
type reader struct{ client *client }

// Configure implements datasource.DataSourceWithConfigure.
func (r *reader) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	r.client = clientFrom(req.ProviderData, &resp.Diagnostics)
}

// manager and namespace to look at; false if that failed, with a diagnostic.
// doing is as in operation.
func (r *reader) manager(ctx context.Context, doing string, diags *diag.Diagnostics) (m *managed.Manager, namespace string, ok bool) {
	if !r.client.known() {
		// There is no honest answer: what is read now is not read again in the
		// apply.
		diags.AddError("Provider Configuration Not Known Yet",
			"This data source reads the backend during the plan, but the provider's configuration is only known during the apply. "+
				"Add depends_on with the resource that the provider's configuration comes from: the data source is then read during the apply.")
		return nil, "", false
	}
	m, err := r.client.manager(ctx)
	if err != nil {
		operation{doing: doing}.failed(diags, err)
		return nil, "", false
	}
	return m, r.client.namespace.ValueString(), true
}

// clusterNameOf takes a cluster's id (name@launch) or its plain name.
func clusterNameOf(id string) string {
	name, _, _ := strings.Cut(id, "@")
	return name
}

// poolSummary is a worker pool as data sources show it.
type poolSummary struct {
	Name                types.String `tfsdk:"name"`
	Owner               types.String `tfsdk:"owner"`
	RunningWorkers      types.Int64  `tfsdk:"running_workers"`
	InitializingWorkers types.Int64  `tfsdk:"initializing_workers"`
	Containers          types.Int64  `tfsdk:"containers"`
}

func poolSummaries(pools []managed.Pool) []poolSummary {
	out := make([]poolSummary, 0, len(pools))
	for _, p := range pools {
		out = append(out, poolSummary{
			Name:                types.StringValue(p.Name),
			Owner:               stringOrNull(p.Owner),
			RunningWorkers:      types.Int64Value(int64(p.Running)),
			InitializingWorkers: types.Int64Value(int64(p.Initializing)),
			Containers:          types.Int64Value(int64(p.Containers)),
		})
	}
	return out
}

func poolSummariesAttribute() schema.Attribute {
	return schema.ListNestedAttribute{
		Computed: true,
		MarkdownDescription: "The worker pools of the cluster that have left a trace on the backend, in the order of their names. Workers " +
			"count if they are connected to the server that runs now.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"name":                 schema.StringAttribute{Computed: true, MarkdownDescription: "The name of the pool."},
			"owner":                schema.StringAttribute{Computed: true, MarkdownDescription: "Who answers for the pool. Null if it has no owner."},
			"running_workers":      schema.Int64Attribute{Computed: true, MarkdownDescription: "How many workers run."},
			"initializing_workers": schema.Int64Attribute{Computed: true, MarkdownDescription: "How many workers were started but do not run yet."},
			"containers":           schema.Int64Attribute{Computed: true, MarkdownDescription: "How many containers these workers share."},
		}},
	}
}

// timeOrNull is a time in RFC 3339, null if it is not known.
func timeOrNull(t time.Time) types.String {
	if t.IsZero() {
		return types.StringNull()
	}
	return types.StringValue(t.UTC().Format(time.RFC3339))
}

// exitCodeOrNull is null where there is none.
func exitCodeOrNull(code *int) types.Int64 {
	if code == nil {
		return types.Int64Null()
	}
	return types.Int64Value(int64(*code))
}
