// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"maps"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/objectvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// clusterSchema is the schema of dockerparallel_cluster.
func clusterSchema() schema.Schema {
	names := frameworks.Names()
	s := schema.Schema{
		MarkdownDescription: "A parallel-computing cluster: its server, to which workers and clients connect. Workers are added by " +
			"`dockerparallel_worker_pool`, any number of pools per cluster.\n\n" +
			"A server that has died comes back with the next apply, under a new `id`; pools that refer to that `id` restart their " +
			"workers against it in the same apply. Whatever restarts the server (a change of its container, hardware, port or " +
			"password) does the same. Destroying a cluster removes everything of the same owner that runs under its name, worker " +
			"pools of other Terraform states included.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "The cluster's name, which is also the name of its job queue. Letters, digits, `-` and `_`, at most " +
					"63. Within a namespace of a backend, the same name is the same cluster. " + restartOnlyByReplace,
				Validators:    []validator.String{isName()},
				PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"framework": oneOf("The parallel framework that server and workers speak: `\""+strings.Join(names, "\"`, `\"")+"\"`. It supplies "+
				"defaults for image, command, port and hardware, and the code for `client`. Defaults to `\""+names[0]+"\"`: the containers "+
				"speak a protocol of their own and find all they need in `DOCKERPARALLEL_` environment variables. A change restarts server and workers.", names...),
			"server": serverAttribute(),
			"external_server": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "A server from elsewhere in place of one that the provider runs: nothing is started or stopped, and " +
					"the workers connect to it with `password_wo`. At least one of the two pairs of address and port is needed. A change " +
					"restarts the workers of pools that refer to the cluster's `id`.",
				Attributes: addressAttributes(),
				Validators: []validator.Object{
					objectvalidator.ConflictsWith(path.MatchRoot("server")),
					needsAddress{},
				},
			},
			"password_wo": schema.StringAttribute{
				Optional: true, WriteOnly: true, Sensitive: true,
				MarkdownDescription: "The server's password. Write-only: it is in no plan and no state. Left out, one is generated and " +
					"kept only where the backend keeps secrets; the ephemeral resource `dockerparallel_credentials` and the command " +
					"`terraform-provider-dockerparallel credentials` give it to those who may see it. With `external_server`, it is that " +
					"server's password. Terraform cannot see it change: increase `password_wo_version` to have a new one used.",
				Validators: []validator.String{isPassword()},
			},
			"password_wo_version": schema.Int64Attribute{
				Optional: true,
				MarkdownDescription: "Any number; a change of it takes a new password into use (`password_wo`, or else a newly generated " +
					"one), which restarts the server and the workers.",
				Validators: []validator.Int64{int64validator.AtLeast(0)},
			},
			"server_worker_same_lan": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Whether the workers use the server's private address and port rather than the public pair. Defaults " +
					"to what the backend offers. A change restarts server and workers.",
			},
			"server_client_same_lan": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Whether `client` uses the server's private address and port. Left out, it uses the public pair if " +
					"there is one, else the private one. A change restarts nothing.",
			},
			"workers_reconnect": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Whether the workers connect again by themselves when the server was restarted and has the same name, " +
					"port and password as before. If so, a restart of the server (because it died, or its image or hardware changed) " +
					"keeps `id` and `launch`, and the workers stay. It takes a backend whose servers have a stable name (`docker`); on " +
					"others it has no effect. Defaults to `false`: the workers are restarted with the server.",
			},
			"on_existing": onExistingAttribute("a cluster"),
			"force_destroy": flag("Whether a destroy also removes containers of other owners from the cluster. Defaults to `false`: it is " +
				"then refused while there are any."),
			"deep_cleanup": flag("Whether a destroy also removes what costs nothing and other clusters may use, as far as it is not in " +
				"use. Defaults to `false`."),
			"labels":   labelsAttribute(),
			"timeouts": timeoutsAttribute(clusterTimeout, clusterTimeout),

			"id": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "`name@launch`. It changes whenever the server is started anew, so that everything that refers to it " +
					"follows.",
				PlanModifiers: keepString(),
			},
			"namespace": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "The provider's namespace when the cluster was made. " + restartOnlyByReplace,
				PlanModifiers:       keepString(),
			},
			"launch": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "A random word that names this start of the server.",
				PlanModifiers:       keepString(),
			},
			"status": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "`running`, `initializing` or `stopped`. A server that is not running is started anew by the next apply.",
				PlanModifiers:       keepString(),
			},
			"server_handle": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "The backend's own name for the server's container; null for an external server.",
				PlanModifiers:       keepString(),
			},
			"public_ip": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Where the server is reached from outside; null if it is not.",
				PlanModifiers:       keepString(),
			},
			"public_port": schema.Int64Attribute{
				Computed:            true,
				MarkdownDescription: "The server's port at `public_ip`; null if there is none.",
				PlanModifiers:       keepInt(),
			},
			"private_ip": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Where the server is reached by the backend's containers.",
				PlanModifiers:       keepString(),
			},
			"private_port": schema.Int64Attribute{
				Computed:            true,
				MarkdownDescription: "The server's port at `private_ip`.",
				PlanModifiers:       keepInt(),
			},
			"effective_server": schema.SingleNestedAttribute{
				Computed:            true,
				MarkdownDescription: computedByFramework + " Null for an external server.",
				Attributes:          effectiveServerAttributes(),
			},
			"client": schema.SingleNestedAttribute{
				Computed: true,
				MarkdownDescription: "How a client connects: code, ready to paste, that registers the cluster as a parallel backend and " +
					"deregisters it. It holds no password but reads the environment variable `DOCKERPARALLEL_PASSWORD`. A language that " +
					"the framework has no client for is null.",
				Attributes:    clientAttributes(),
				PlanModifiers: []planmodifier.Object{objectplanmodifier.UseStateForUnknown()},
			},
			"exports": schema.MapAttribute{
				Computed: true, ElementType: types.StringType,
				MarkdownDescription: "What the backend and the framework have to tell beside that. On `docker`: `container_name`, `network` " +
					"(for containers of your own that are to join it), `image`, `image_digest` (what the image's name stood for when the " +
					"server was started) and, where the server is published on the loopback of a host that is reached by SSH, `ssh_tunnel` " +
					"(the command that makes it reachable from here).",
				PlanModifiers: []planmodifier.Map{mapplanmodifier.UseStateForUnknown()},
			},
		},
	}
	maps.Copy(s.Attributes, frameworkAttributes(managed.RoleServer))
	return s
}

func serverAttribute() schema.Attribute {
	attributes := map[string]schema.Attribute{
		"container": containerAttribute("What the server's container is made from. The framework supplies defaults.", nil),
		"hardware":  hardwareAttribute("What the server may use."),
		"port": schema.Int64Attribute{
			Optional: true,
			MarkdownDescription: "The port that the server listens on. Defaults to the framework's; `custom` has none, so it is " +
				"required there. 0 is any free port, on backends that can find one (`process`): `private_port` says which. A change restarts the server.",
			Validators: []validator.Int64{int64validator.Between(0, maxPort)},
		},
		"publish": schema.SingleNestedAttribute{
			Optional: true,
			MarkdownDescription: "Makes the main port reachable from outside the backend's own network. Left out, it is not. Has no effect " +
				"on `process`. A change restarts the server.",
			Attributes: map[string]schema.Attribute{
				"address": schema.StringAttribute{
					Optional:            true,
					MarkdownDescription: "The address of the backend's host to listen on. Defaults to `127.0.0.1`: reachable from that host only.",
					Validators:          []validator.String{isHost()},
				},
				"port": schema.Int64Attribute{
					Optional:            true,
					MarkdownDescription: "The port there. Defaults to any free one.",
					Validators:          []validator.Int64{int64validator.Between(0, maxPort)},
				},
				"ports": schema.MapAttribute{
					ElementType: types.Int64Type, Optional: true,
					MarkdownDescription: "Further ports of the framework's server to publish at the same address, by name: `{ dashboard = 8787 }`. " +
						"0 is any free one. `exports` then has their addresses. The names are `dashboard` with Dask, `dashboard` and `client` with Ray, and `ui` with Spark.",
					Validators: []validator.Map{mapvalidator.ValueInt64sAre(int64validator.Between(0, maxPort))},
				},
			},
		},
	}
	maps.Copy(attributes, backendOptionsAttributes())
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "The server's container. What is left out has the framework's default, and `effective_server` shows what " +
			"came of it. Every change in it restarts the server, and with it the workers, unless it comes to the same thing.",
		Attributes: attributes,
	}
}

func effectiveServerAttributes() map[string]schema.Attribute {
	return effectiveAttributes(map[string]schema.Attribute{
		"port":     computedInt("The port that the server listens on; 0 for any free one."),
		"same_lan": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the workers use the server's private address."},
	})
}

func clientAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"url":    computedString("The server's URL, without the password."),
		"r":      computedString("Code for R."),
		"python": computedString("Code for Python."),
		"shell":  computedString("Code for a POSIX shell."),
	}
}

// clusterIdentitySchema names a cluster on a backend.
func clusterIdentitySchema() identityschema.Schema {
	return identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"namespace": identityschema.StringAttribute{OptionalForImport: true, Description: "The provider's namespace."},
		"name":      identityschema.StringAttribute{RequiredForImport: true, Description: "The cluster's name."},
	}}
}

func keepString() []planmodifier.String {
	return []planmodifier.String{stringplanmodifier.UseStateForUnknown()}
}

func keepInt() []planmodifier.Int64 {
	return []planmodifier.Int64{int64planmodifier.UseStateForUnknown()}
}
