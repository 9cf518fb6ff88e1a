// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/objectvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/listplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// defaultPool is the name of a pool that has none.
const defaultPool = "default"

// poolSchema is the schema of dockerparallel_worker_pool.
func poolSchema() schema.Schema {
	attributes := map[string]schema.Attribute{
		"cluster_id": schema.StringAttribute{
			Required: true,
			MarkdownDescription: "The cluster that the workers belong to: `dockerparallel_cluster.<name>.id`, which makes them follow " +
				"a restart of the server in the same apply. For a cluster of another configuration its plain name works, too: then a " +
				"planned restart of the server is noticed by the next apply only. Another cluster moves the pool there: its workers " +
				"are stopped and started anew.",
			Validators: []validator.String{isClusterID()},
		},
		"name": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(defaultPool),
			MarkdownDescription: "The pool's name in its cluster. Letters, digits, `-` and `_`, at most 63. Defaults to `\"" + defaultPool + "\"`. " + restartOnlyByReplace,
			Validators:          []validator.String{isName()},
			PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"worker_count": schema.Int64Attribute{
			Required: true,
			MarkdownDescription: "How many workers there shall be. A change starts or stops the difference; the others go on working. If " +
				"workers have died, a plan shows `worker_count = 7 -> 8`, and apply starts what is missing. (With " +
				"`ignore_changes = [worker_count]`, dead workers are not replaced.)",
			Validators: []validator.Int64{int64validator.Between(0, maxWorkers)},
		},
		"container": containerAttribute("What the workers' containers are made from. A change replaces the workers as `update` says.", map[string]schema.Attribute{
			"max_workers": schema.Int64Attribute{
				Optional: true,
				MarkdownDescription: "How many workers may share one container, which finds the number in `DOCKERPARALLEL_WORKERS` and gets " +
					"that many times the hardware. They share a handle and die together. Defaults to the framework's, usually 1. A change " +
					"takes effect for containers that are started from then on.",
				Validators: []validator.Int64{int64validator.Between(1, maxWorkers)},
			},
		}),
		"hardware": hardwareAttribute("What one worker may use."),
		"server":   poolServerAttribute(),
		"framework": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "The framework of the `server` that is given here. Without `server` the cluster's own is used, and this " +
				"may not be set. A change replaces the workers.",
			Validators: []validator.String{
				stringvalidator.OneOf(frameworks.Names()...), stringvalidator.AlsoRequires(path.MatchRoot("server")),
			},
		},
		"on_existing": onExistingAttribute("a pool"),
		"labels":      labelsAttribute(),
		"timeouts":    timeoutsAttribute(poolUpdateTimeout, poolTimeout),
	}
	maps.Copy(attributes, backendOptionsAttributes())
	maps.Copy(attributes, frameworkAttributes(managed.RoleWorker))
	maps.Copy(attributes, poolPolicyAttributes())
	maps.Copy(attributes, poolComputedAttributes())
	return schema.Schema{
		MarkdownDescription: "Workers of one kind in a cluster. Growing, shrinking, mending and updating the pool are updates in place; " +
			"workers that need not go keep running, and keep their place in `handles`.\n\n" +
			"Policies (`min_worker_count`, `gang_style`, `wait_for`, `scale_in`, `on_exit`, `update`, `stop_grace_period`, " +
			"`keep_failed`, `labels`, `timeouts`) are changed in Terraform's state only, without a call to the backend.",
		Attributes: attributes,
	}
}

func poolServerAttribute() schema.Attribute {
	attributes := addressAttributes()
	attributes["same_lan"] = schema.BoolAttribute{
		Optional:            true,
		MarkdownDescription: "Whether these workers use the private address and port. Left out, they use the public pair if there is one.",
	}
	attributes["password_wo"] = schema.StringAttribute{
		Optional: true, WriteOnly: true, Sensitive: true,
		MarkdownDescription: "The server's password, for example from the ephemeral resource `dockerparallel_credentials`. Write-only: it " +
			"is in no plan and no state.",
		Validators: []validator.String{isPassword()},
	}
	attributes["password_wo_version"] = schema.Int64Attribute{
		Optional:            true,
		MarkdownDescription: "Any number; a change of it restarts the workers with the password as it is then.",
		Validators:          []validator.Int64{int64validator.AtLeast(0)},
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "For workers on another backend than their cluster's server: where they reach it. The cluster is then not " +
			"looked up. Needs `framework`. A change restarts the workers.",
		Attributes: attributes,
		Validators: []validator.Object{objectvalidator.AlsoRequires(path.MatchRoot("framework")), needsAddress{}},
	}
}

func poolPolicyAttributes() map[string]schema.Attribute {
	scaleIn := oneOf("Which workers leave first when there are too many: the `\"newest\"` (the default), the `\"oldest\"`, or those "+
		"that are `\"idle\"`, the newest of them first, where the framework can tell who is. Who is idle is known only when the apply comes to it, so such a "+
		"plan does not show who leaves.", string(managed.ScaleInNewest), string(managed.ScaleInOldest), string(managed.ScaleInIdle))
	return map[string]schema.Attribute{
		"min_worker_count": schema.Int64Attribute{
			Optional: true,
			MarkdownDescription: "How many workers are enough for an operation to succeed. With fewer than `worker_count` but at least " +
				"this many it ends in a warning, and the next plan tops up. Defaults to `worker_count`.",
			Validators: []validator.Int64{int64validator.Between(0, maxWorkers)},
		},
		"gang_style": oneOf("What happens if fewer than `min_worker_count` workers come up: `\"soft\"` (the default) keeps those that run, "+
			"`\"hard\"` stops what the operation had started.", string(managed.GangSoft), string(managed.GangHard)),
		"wait_for": oneOf("When a worker counts as achieved: `\"running\"` (the default) once its container runs, `\"none\"` as soon as the "+
			"backend has accepted it, `\"registered\"` once the server counts it as well (where the framework's server can count its workers).",
			string(managed.WaitForRunning), string(managed.WaitForNone), string(managed.WaitForRegistered)),
		"scale_in": scaleIn,
		"on_exit": oneOf("What it means that a worker ends by itself with exit code 0: `\"replace\"` (the default) that it is missing, "+
			"`\"accept\"` that its work is done.", string(managed.OnExitReplace), string(managed.OnExitAccept)),
		"update": schema.SingleNestedAttribute{
			Optional: true, Computed: true,
			Default:             objectdefault.StaticValue(defaultUpdate()),
			MarkdownDescription: "How workers of an old specification give way to new ones.",
			Attributes: map[string]schema.Attribute{
				"strategy": oneOf("`\"rolling\"` (the default) replaces step by step (with `wait_for = \"registered\"`, each step waits until the server knows the new workers), `\"recreate\"` all at once, and `\"on_replacement\"` "+
					"not at all: only workers that are started for another reason get the new specification.",
					string(managed.StrategyRolling), string(managed.StrategyRecreate), string(managed.StrategyOnReplacement)),
				"max_unavailable": schema.StringAttribute{
					Optional: true, Computed: true, Default: stringdefault.StaticString(defaultMaxUnavailable),
					MarkdownDescription: "How many workers may be missing during a rolling update: a number, or a percentage of " +
						"`worker_count`, rounded down, but at least 1 if `max_surge` is 0. Defaults to `\"" + defaultMaxUnavailable + "\"`.",
					Validators: []validator.String{isShare()},
				},
				"max_surge": schema.StringAttribute{
					Optional: true, Computed: true, Default: stringdefault.StaticString(defaultMaxSurge),
					MarkdownDescription: "How many workers may run beyond `worker_count` during a rolling update: a number, or a percentage of " +
						"`worker_count`, rounded down. Defaults to `\"" + defaultMaxSurge + "\"`.",
					Validators: []validator.String{isShare()},
				},
			},
		},
		"stop_grace_period": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "The time that a worker has to finish what it is doing when it is stopped; after that it is killed. " +
				"Defaults to the framework's, usually `10s`. A change takes effect for containers that are started from then on." + durationAsWritten,
			Validators: []validator.String{isDuration(shortestGrace)},
		},
		"keep_failed": flag("Whether workers that failed are kept, with their logs, until the pool is destroyed. Defaults to `false`."),
	}
}

func poolComputedAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"id": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "`cluster/pool`.",
			PlanModifiers:       keepString(),
		},
		"namespace": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "The provider's namespace when the pool was made. " + restartOnlyByReplace,
			PlanModifiers:       keepString(),
		},
		"handles": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "The workers, one element for each: the backend's own name for its container, repeated if workers share " +
				"one, and null for one that is missing. A worker keeps its place as long as it lives. For the number of workers use " +
				"`worker_count`; in expressions that do not take nulls use `compact(...)`.",
			PlanModifiers: []planmodifier.List{listplanmodifier.UseStateForUnknown()},
		},
		"running_workers": schema.Int64Attribute{
			Computed:            true,
			MarkdownDescription: "How many workers run.",
			PlanModifiers:       keepInt(),
		},
		"initializing_workers": schema.Int64Attribute{
			Computed:            true,
			MarkdownDescription: "How many workers were accepted by the backend but do not run yet.",
			PlanModifiers:       keepInt(),
		},
		"containers": schema.Int64Attribute{
			Computed:            true,
			MarkdownDescription: "How many containers the workers are in.",
			PlanModifiers:       keepInt(),
		},
		"effective": schema.SingleNestedAttribute{
			Computed:            true,
			MarkdownDescription: computedByFramework,
			Attributes:          effectivePoolAttributes(),
		},
	}
}

func effectivePoolAttributes() map[string]schema.Attribute {
	return effectiveAttributes(map[string]schema.Attribute{
		"max_workers": computedInt("How many workers may share a container; the backend may allow fewer."),
	})
}

func defaultUpdate() types.Object {
	return types.ObjectValueMust(
		map[string]attr.Type{"strategy": types.StringType, "max_unavailable": types.StringType, "max_surge": types.StringType},
		map[string]attr.Value{
			"strategy":        types.StringValue(defaultStrategy),
			"max_unavailable": types.StringValue(defaultMaxUnavailable),
			"max_surge":       types.StringValue(defaultMaxSurge),
		})
}

// poolIdentitySchema names a pool on a backend.
func poolIdentitySchema() identityschema.Schema {
	return identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"namespace": identityschema.StringAttribute{OptionalForImport: true, Description: "The provider's namespace."},
		"cluster":   identityschema.StringAttribute{RequiredForImport: true, Description: "The cluster's name."},
		"name":      identityschema.StringAttribute{RequiredForImport: true, Description: "The pool's name."},
	}}
}
