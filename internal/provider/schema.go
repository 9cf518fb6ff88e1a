// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// This file holds the attributes that clusters and worker pools share.

// The greatest numbers that are believed.
const (
	maxCPU     = 4 * 1024 * 1024
	maxMemory  = 64 * 1024 * 1024
	maxGPUs    = 1024
	maxWorkers = 100_000
	maxPort    = 65535
)

// containerAttribute is what a role's containers are made from.
func containerAttribute(markdown string, more map[string]schema.Attribute) schema.Attribute {
	attributes := map[string]schema.Attribute{
		"image": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "The image, such as `redis:7`. Defaults to the framework's, where it has one. Ignored by the `process` " +
				"backend. A change restarts the containers.",
			Validators: []validator.String{isImage()},
		},
		"entrypoint": schema.ListAttribute{
			Optional:    true,
			ElementType: types.StringType,
			MarkdownDescription: "The program and its first arguments, in place of the image's own entrypoint, as Docker means it; with " +
				"one, the framework's default command is not used. Empty or left out: the framework's or the image's own. `$(NAME)` stands for one of the " +
				"`DOCKERPARALLEL_` variables that every container finds in its environment, except for those that hold the password. " +
				"A change restarts the containers.",
			Validators: []validator.List{listvalidator.NoNullValues()},
		},
		"command": schema.ListAttribute{
			Optional:    true,
			ElementType: types.StringType,
			MarkdownDescription: "The arguments that follow the entrypoint, as Docker means it. Empty or left out: the framework's or " +
				"the image's own. On `process`, entrypoint and command together are the program and its arguments, and one of them is " +
				"required unless the framework has its own. `$(NAME)` as in `entrypoint`. A change restarts the containers.",
			Validators: []validator.List{listvalidator.NoNullValues()},
		},
		"environment": schema.MapAttribute{
			Optional:    true,
			ElementType: types.StringType,
			MarkdownDescription: "Environment variables beside those that the provider and the framework set; a clash is an error. " +
				"`$(NAME)` in a value stands for one of the provider's variables, those with the password included. The values are " +
				"kept in Terraform's state and in the container's labels: put no secrets here. A change restarts the containers.",
			Validators: []validator.Map{mapvalidator.NoNullValues()},
		},
	}
	maps.Copy(attributes, more)
	return schema.SingleNestedAttribute{Optional: true, MarkdownDescription: markdown, Attributes: attributes}
}

// hardwareAttribute is what a container, or a worker, may use.
func hardwareAttribute(markdown string) schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: markdown + " What is left out has the framework's default. A change restarts the containers.",
		Attributes: map[string]schema.Attribute{
			"cpu": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "CPU units: 1024 are one core.",
				Validators:          []validator.Int64{int64validator.Between(1, maxCPU)},
			},
			"memory": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "Memory in MB (1024 * 1024 bytes).",
				Validators:          []validator.Int64{int64validator.Between(1, maxMemory)},
			},
			"gpus": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "The number of GPUs. Defaults to none.",
				Validators:          []validator.Int64{int64validator.Between(0, maxGPUs)},
			},
			"id": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "The backend's own name for a type of machine, where it has several.",
				Validators:          []validator.String{stringvalidator.LengthBetween(1, 128)},
			},
		},
	}
}

// addressAttributes are where a server from elsewhere is found.
func addressAttributes() map[string]schema.Attribute {
	ip := func(which, port string) schema.Attribute {
		return schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "The server's " + which + " address: an IP address or a host name. Goes with `" + port + "`.",
			Validators:          []validator.String{isHost(), stringvalidator.AlsoRequires(sibling(port))},
		}
	}
	port := func(which, ip string) schema.Attribute {
		return schema.Int64Attribute{
			Optional:            true,
			MarkdownDescription: "The server's port at its " + which + " address. Goes with `" + ip + "`.",
			Validators:          []validator.Int64{int64validator.Between(1, maxPort), int64validator.AlsoRequires(sibling(ip))},
		}
	}
	return map[string]schema.Attribute{
		"public_ip":    ip("public", "public_port"),
		"public_port":  port("public", "public_ip"),
		"private_ip":   ip("private", "private_port"),
		"private_port": port("private", "private_ip"),
	}
}

func labelsAttribute() schema.Attribute {
	return schema.MapAttribute{
		Optional:    true,
		ElementType: types.StringType,
		MarkdownDescription: "Labels for the containers, on top of the provider's `default_labels`. They reach a container when it is " +
			"next started; a change restarts nothing. Labels that begin with `dockerparallel.` are reserved.",
		Validators: []validator.Map{
			mapvalidator.NoNullValues(), mapvalidator.KeysAre(isLabelKey()),
			mapvalidator.ValueStringsAre(stringvalidator.LengthAtMost(maxLabelValue)),
		},
	}
}

func onExistingAttribute(what string) schema.Attribute {
	return schema.StringAttribute{
		Optional:  true,
		WriteOnly: true,
		MarkdownDescription: "What a create does if " + what + " of the same name is there already and does not belong to the provider's " +
			"`owner`: `\"error\"` (the default) names what is there and how to import it, `\"adopt\"` takes it over and restarts nothing " +
			"that fits. Write-only: it is read by a create and kept nowhere, so a change of it is no change.",
		Validators: []validator.String{stringvalidator.OneOf(string(managed.OnExistingError), string(managed.OnExistingAdopt))},
	}
}

// The time limits where the configuration has none. A pool's update may have
// to wait for every worker to finish its task.
const (
	readTimeout          = 2 * time.Minute
	clusterTimeout       = 10 * time.Minute
	poolTimeout          = 20 * time.Minute
	poolUpdateTimeout    = time.Hour
	shortestTimeout      = time.Second
	shortestGrace        = 0
	timeoutCreate        = "create"
	timeoutRead          = "read"
	timeoutUpdate        = "update"
	timeoutDelete        = "delete"
	durationAsWritten    = " Written as a number with a unit, such as `30s`, `5m` or `1h30m`."
	computedByFramework  = "What the containers are made from: the configuration with the framework's defaults filled in. The defaults are kept once they are used, so that a later release of the provider with other defaults restarts nothing."
	changedMeansRestart  = "The fingerprint of everything whose change restarts the containers, environment and backend options included."
	restartOnlyByReplace = "A change replaces it."
)

func timeoutsAttribute(update, other time.Duration) schema.Attribute {
	limit := func(what string, def time.Duration) schema.Attribute {
		return schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "The time limit of " + what + ". Defaults to `" + shortDuration(def) + "`." + durationAsWritten,
			Validators:          []validator.String{isDuration(shortestTimeout)},
		}
	}
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "How long operations may take. When the time is over, what was reached is recorded and the next apply goes on from there.",
		Attributes: map[string]schema.Attribute{
			timeoutCreate: limit("a create", other),
			timeoutRead:   limit("a refresh", readTimeout),
			timeoutUpdate: limit("an update", update),
			timeoutDelete: limit("a destroy", other),
		},
	}
}

// timeout is a configured time limit, or the default.
func timeout(timeouts types.Object, operation string, def time.Duration) time.Duration {
	d, err := time.ParseDuration(input{timeouts}.str(operation).ValueString())
	if err != nil {
		return def
	}
	return d
}

// shortDuration is a duration without zero minutes and seconds: 10m, 1h.
func shortDuration(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// oneOf is an optional word with a default.
func oneOf(markdown string, words ...string) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(words[0]),
		MarkdownDescription: markdown,
		Validators:          []validator.String{stringvalidator.OneOf(words...)},
	}
}

// flag is an optional bool that is false by default.
func flag(markdown string) schema.Attribute {
	return schema.BoolAttribute{
		Optional: true, Computed: true, Default: booldefault.StaticBool(false), MarkdownDescription: markdown,
	}
}

// computed describes the attributes of a computed object.
func computedString(markdown string) schema.Attribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: markdown}
}

func computedInt(markdown string) schema.Attribute {
	return schema.Int64Attribute{Computed: true, MarkdownDescription: markdown}
}

func computedList(markdown string) schema.Attribute {
	return schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: markdown}
}

// objectTypes are the types of a nested attribute's attributes.
func objectTypes(attributes map[string]schema.Attribute) map[string]attr.Type {
	out := make(map[string]attr.Type, len(attributes))
	for name, a := range attributes {
		out[name] = a.GetType()
	}
	return out
}

// effectiveAttributes are those of effective_server and effective.
func effectiveAttributes(more map[string]schema.Attribute) map[string]schema.Attribute {
	attributes := map[string]schema.Attribute{
		"framework":   computedString("The parallel framework."),
		"image":       computedString("The image; null if there is none."),
		"entrypoint":  computedList("The entrypoint; null for the image's own."),
		"command":     computedList("The command; null for the image's own."),
		"cpu":         computedInt("CPU units (1024 are one core); null if nothing is asked for."),
		"memory":      computedInt("Memory in MB; null if nothing is asked for."),
		"gpus":        computedInt("The number of GPUs."),
		"hardware_id": computedString("The backend's name for the type of machine; null if none is asked for."),
		"spec_hash":   computedString(changedMeansRestart),
	}
	maps.Copy(attributes, more)
	return attributes
}
