// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package provider is dockerparallel as Terraform sees it: schemas, plans and
// diagnostics. What a cluster is and how it is brought about is in package
// managed; here is only the way from configuration to its requests, and from
// its answers to state.
package provider

import (
	"context"
	"maps"
	"os"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// dockerparallelProvider is the provider.
type dockerparallelProvider struct {
	version string
	open    OpenBackend
	tracer  trace.Tracer
	// injected is true if a test has brought its own backend, so that the
	// configuration need not name one.
	injected bool
}

var (
	_ provider.Provider                       = (*dockerparallelProvider)(nil)
	_ provider.ProviderWithValidateConfig     = (*dockerparallelProvider)(nil)
	_ provider.ProviderWithEphemeralResources = (*dockerparallelProvider)(nil)
)

// defaultNamespace is where clusters are unless the configuration says otherwise.
const defaultNamespace = "default"

// The environment variables that name the owner where the configuration does
// not, in this order. The second is set by HCP Terraform.
const (
	ownerVariable     = "DOCKERPARALLEL_OWNER"
	workspaceVariable = "TFC_WORKSPACE_SLUG"
)

// providerModel is the provider's configuration.
type providerModel struct {
	Namespace     types.String `tfsdk:"namespace"`
	Owner         types.String `tfsdk:"owner"`
	DefaultLabels types.Map    `tfsdk:"default_labels"`
	Docker        types.Object `tfsdk:"docker"`
	Process       types.Object `tfsdk:"process"`
}

// Option changes how a provider is made.
type Option func(*dockerparallelProvider)

// WithTracer makes spans of all backend calls.
func WithTracer(t trace.Tracer) Option { return func(p *dockerparallelProvider) { p.tracer = t } }

// New makes the provider as it is served.
func New(version string, opts ...Option) func() provider.Provider {
	return func() provider.Provider {
		p := &dockerparallelProvider{version: version, open: openBackend, tracer: noop.NewTracerProvider().Tracer("")}
		for _, opt := range opts {
			opt(p)
		}
		return p
	}
}

// NewWithBackend makes a provider for tests: whatever its configuration says,
// everything runs on b.
func NewWithBackend(version string, b managed.Backend) func() provider.Provider {
	return New(version, func(p *dockerparallelProvider) {
		p.open = func(context.Context, backends.Config) (managed.Backend, error) { return b, nil }
		p.injected = true
	})
}

// Metadata implements provider.Provider.
func (p *dockerparallelProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "dockerparallel"
	resp.Version = p.version
}

// Schema implements provider.Provider.
func (p *dockerparallelProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	attributes := backendAttributes()
	resp.Schema = schema.Schema{
		MarkdownDescription: "Gives people a parallel-computing cluster: one server (a job queue or a scheduler) and any number of " +
			"workers that take work from it, on any backend that can run, watch and kill containers. One `terraform apply` makes the " +
			"cluster, grows, shrinks or mends it; one `terraform destroy` leaves nothing behind.\n\n" +
			"Nothing is contacted before it is needed: `terraform validate` works offline, and so does a plan in which this " +
			"configuration is not known yet.\n\n" +
			"A misspelt key inside a nested attribute (`server = { prot = 6379 }`) is dropped by Terraform before the provider sees " +
			"it, so nobody can report it. If a setting seems to have no effect, look at its spelling first.",
		Attributes: attributes,
	}
	maps.Copy(attributes, map[string]schema.Attribute{
		"namespace": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Keeps the clusters of two teams on one backend apart: clusters of the same name in different " +
				"namespaces have nothing to do with each other. Letters, digits, `-` and `_`, at most 63. Defaults to `\"" + defaultNamespace + "\"`. " +
				"A change replaces all clusters and pools.",
			Validators: []validator.String{isName()},
		},
		"owner": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Who answers for what is started: a workspace or a pipeline, for example. With an owner, the next " +
				"apply finishes what an interrupted one left half made, and `terraform-provider-dockerparallel sweep` finds what a " +
				"lost state left behind. Containers of another owner are never touched, unless a resource says so. Defaults to the " +
				"environment variable `" + ownerVariable + "`, then to `" + workspaceVariable + "` (set by HCP Terraform), then to none.",
			Validators: []validator.String{isOwner()},
		},
		"default_labels": schema.MapAttribute{
			Optional:    true,
			ElementType: types.StringType,
			MarkdownDescription: "Labels for all containers, beside those of their resource, which win. They reach a container " +
				"when it is next started; a change restarts nothing. Labels that begin with `dockerparallel.` are reserved.",
			Validators: []validator.Map{mapvalidator.NoNullValues(), mapvalidator.KeysAre(isLabelKey()), mapvalidator.ValueStringsAre(stringvalidator.LengthAtMost(maxLabelValue))},
		},
	})
}

// ValidateConfig implements provider.ProviderWithValidateConfig.
func (p *dockerparallelProvider) ValidateConfig(ctx context.Context, req provider.ValidateConfigRequest, resp *provider.ValidateConfigResponse) {
	var m providerModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || p.injected {
		return
	}
	checkBackends(m.backends(), &resp.Diagnostics)
}

// Configure implements provider.Provider. It contacts nothing and accepts
// unknown values: connecting is left to the first who needs it.
func (p *dockerparallelProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var m providerModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if m.Namespace.IsNull() {
		m.Namespace = types.StringValue(defaultNamespace)
	}
	if m.Owner.IsNull() {
		m.Owner = types.StringValue(ownerFromEnvironment(os.Getenv))
	}
	cfg, known := m.backendConfig(ctx)
	c := &client{namespace: m.Namespace, owner: m.Owner, labels: m.DefaultLabels, unknown: !known && !p.injected}
	c.open = func(ctx context.Context) (managed.Backend, error) {
		cfg.Log = newLogger(ctx)
		b, err := p.open(ctx, cfg)
		if err != nil {
			return nil, err
		}
		return p.decorate(ctx, b), nil
	}
	resp.ResourceData, resp.DataSourceData, resp.EphemeralResourceData = c, c, c
}

// Resources implements provider.Provider.
func (p *dockerparallelProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{NewClusterResource, NewWorkerPoolResource}
}

// DataSources implements provider.Provider.
func (p *dockerparallelProvider) DataSources(context.Context) []func() datasource.DataSource {
	return dataSources()
}

// EphemeralResources implements provider.ProviderWithEphemeralResources.
func (p *dockerparallelProvider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return ephemeralResources()
}

// decorate puts what all backends share around one: every call is traced, and
// what can pass by itself is tried again.
func (p *dockerparallelProvider) decorate(ctx context.Context, b managed.Backend) managed.Backend {
	// Retry is outermost, so that each try has a span of its own.
	return managed.Decorate(managed.Decorate(b, managed.Trace(p.tracer, newLogger(ctx))), managed.Retry(managed.DefaultRetry()))
}

func ownerFromEnvironment(getenv func(string) string) string {
	if owner := getenv(ownerVariable); owner != "" {
		return owner
	}
	return getenv(workspaceVariable)
}

// attributePath is path.Root of several steps.
func attributePath(first string, more ...string) path.Path {
	p := path.Root(first)
	for _, name := range more {
		p = p.AtName(name)
	}
	return p
}
