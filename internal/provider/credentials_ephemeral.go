// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// ephemeralResources of the provider.
func ephemeralResources() []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{NewCredentialsEphemeral}
}

// credentialsEphemeral hands out what a client needs to reach a cluster,
// without a trace in plan or state.
type credentialsEphemeral struct{ client *client }

var (
	_ ephemeral.EphemeralResource              = (*credentialsEphemeral)(nil)
	_ ephemeral.EphemeralResourceWithConfigure = (*credentialsEphemeral)(nil)
)

// credentialsModel is what it hands out.
type credentialsModel struct {
	ClusterID types.String `tfsdk:"cluster_id"`
	Password  types.String `tfsdk:"password"`
	URL       types.String `tfsdk:"url"`
	Host      types.String `tfsdk:"host"`
	Port      types.Int64  `tfsdk:"port"`
	Framework types.String `tfsdk:"framework"`
	Queue     types.String `tfsdk:"queue"`
}

// NewCredentialsEphemeral makes the ephemeral resource dockerparallel_credentials.
func NewCredentialsEphemeral() ephemeral.EphemeralResource { return &credentialsEphemeral{} }

// Metadata implements ephemeral.EphemeralResource.
func (e *credentialsEphemeral) Metadata(_ context.Context, req ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_credentials"
}

// Schema implements ephemeral.EphemeralResource.
func (e *credentialsEphemeral) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Gives what a client needs to reach a cluster, the password included. Nothing of it gets into the plan or the " +
			"state.\n\n" +
			"For a cluster of the same configuration refer to its `id`: the first plan then waits until the cluster is there. If the " +
			"cluster does not exist or its server does not run, all values are null and there is a warning, so that a destroy is never " +
			"blocked. A backend that cannot be reached is an error.",
		Attributes: map[string]schema.Attribute{
			"cluster_id": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "The `id` of a `dockerparallel_cluster`, or the plain name of a cluster of another configuration.",
				Validators:          []validator.String{isClusterID()},
			},
			"password": schema.StringAttribute{
				Computed:            true,
				Sensitive:           true,
				MarkdownDescription: "The password that the server and its clients share. Null if the framework has none.",
			},
			"url": schema.StringAttribute{
				Computed:  true,
				Sensitive: true,
				MarkdownDescription: "The URL of the server as clients write it, with the password in it where the framework's clients take " +
					"it from there.",
			},
			"host":      schema.StringAttribute{Computed: true, MarkdownDescription: "The address of the server: the public one if there is one, else the private one."},
			"port":      schema.Int64Attribute{Computed: true, MarkdownDescription: "The port of the server at that address."},
			"framework": schema.StringAttribute{Computed: true, MarkdownDescription: "The parallel framework that the cluster speaks, such as `redis`."},
			"queue":     schema.StringAttribute{Computed: true, MarkdownDescription: "The name of the cluster's job queue, which is the cluster's name."},
		},
	}
}

// Configure implements ephemeral.EphemeralResourceWithConfigure.
func (e *credentialsEphemeral) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	e.client = clientFrom(req.ProviderData, &resp.Diagnostics)
}

// Open implements ephemeral.EphemeralResource. Terraform calls it several
// times in one run, in a destroy as well.
func (e *credentialsEphemeral) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var model credentialsModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	e.fill(ctx, &model, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.Result.Set(ctx, &model)...)
}

func (e *credentialsEphemeral) fill(ctx context.Context, model *credentialsModel, diags *diag.Diagnostics) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if !e.client.known() {
		diags.AddWarning("Provider Configuration Not Known Yet",
			"The provider's configuration is only known during the apply, so the cluster's credentials cannot be read yet. They are null until then.")
		return
	}
	m, err := e.client.manager(ctx)
	if err != nil {
		operation{doing: "Read Credentials"}.failed(diags, err)
		return
	}
	scope := managed.Scope{Namespace: e.client.namespace.ValueString(), Cluster: clusterNameOf(model.ClusterID.ValueString())}
	found, err := m.Credentials(ctx, scope)
	if err != nil {
		operation{doing: "Read Credentials"}.failed(diags, err)
		return
	}
	if found == nil {
		diags.AddAttributeWarning(path.Root("cluster_id"), "Cluster Not Running",
			fmt.Sprintf("In namespace %q there is no cluster %q whose server runs, so its credentials are null.", scope.Namespace, scope.Cluster))
		return
	}
	host, port := found.Endpoint.ForClient(nil)
	if fw, err := frameworks.New(found.Framework, nil); err == nil {
		model.URL = types.StringValue(fw.URL(host, port, found.Password))
	} else {
		diags.AddAttributeWarning(path.Root("cluster_id"), "Unknown Framework",
			fmt.Sprintf("Cluster %q was made by another release of the provider, so its URL is null: %v.", scope.Cluster, err))
	}
	model.Password = stringOrNull(found.Password.Reveal())
	model.Host = stringOrNull(host)
	model.Port = intOrNull(port)
	model.Framework = stringOrNull(found.Framework)
	model.Queue = types.StringValue(scope.Cluster)
}
