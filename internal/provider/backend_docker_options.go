// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"reflect"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/docker"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
)

// The kinds of attributes that a role's options have.

func optionText(markdown string, more ...validator.String) schema.Attribute {
	return schema.StringAttribute{Optional: true, MarkdownDescription: markdown, Validators: append(more, stringvalidator.LengthAtLeast(1))}
}

func optionFlag(markdown string) schema.Attribute {
	return schema.BoolAttribute{Optional: true, MarkdownDescription: markdown}
}

func optionSize(markdown string) schema.Attribute {
	return schema.Int64Attribute{Optional: true, MarkdownDescription: markdown, Validators: []validator.Int64{int64validator.AtLeast(1)}}
}

// optionSet is for words whose order means nothing.
func optionSet(markdown string) schema.Attribute {
	return schema.SetAttribute{
		Optional: true, ElementType: types.StringType, MarkdownDescription: markdown,
		Validators: []validator.Set{setvalidator.NoNullValues(), setvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
	}
}

func optionList(markdown string) schema.Attribute {
	return schema.ListAttribute{
		Optional: true, ElementType: types.StringType, MarkdownDescription: markdown,
		Validators: []validator.List{listvalidator.NoNullValues(), listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
	}
}

func optionMap(markdown string) schema.Attribute {
	return schema.MapAttribute{
		Optional: true, ElementType: types.StringType, MarkdownDescription: markdown,
		Validators: []validator.Map{mapvalidator.NoNullValues()},
	}
}

// dockerOptions are a role's options on the docker backend. Their names are
// Docker's own.
func dockerOptions() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Options of the `docker` backend: what `docker run` offers, under the same names. A change restarts the containers, but for " +
			"`pull_policy` and `stop_signal`, which containers take that are started from then on. What Docker fills in or rewrites by itself never shows as a change.",
		Attributes: map[string]schema.Attribute{
			"network": optionText("The network to join in place of the cluster's own, which is otherwise made and removed with the cluster: the name of an " +
				"existing network, or `host`, `none` or `bridge` as Docker means them. Server and workers need one in common."),
			"extra_networks": optionSet("Existing networks to join as well."),
			"mounts": schema.ListNestedAttribute{
				Optional:            true,
				MarkdownDescription: "Folders, volumes and memory file systems in the container.",
				Validators:          []validator.List{listvalidator.NoNullValues()},
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"type": schema.StringAttribute{
						Required:            true,
						MarkdownDescription: "`bind` (a path of the engine's host), `volume` (a named volume, which is made if need be and stays when the cluster goes; without a source, one that goes with the container) or `tmpfs`.",
						Validators:          []validator.String{stringvalidator.OneOf("bind", "volume", "tmpfs")},
					},
					"source":     optionText("The path or the volume's name."),
					"target":     schema.StringAttribute{Required: true, MarkdownDescription: "The absolute path in the container."},
					"read_only":  optionFlag("Whether the container may only read it. Defaults to `false`."),
					"tmpfs_size": optionSize("The size of a `tmpfs` in MB. Defaults to half of the host's memory."),
				}},
			},
			"devices":      optionList("Devices of the engine's host, as `host path[:container path[:permissions]]`: `/dev/fuse`."),
			"user":         optionText("The user that the program runs as: `name`, `uid` or `uid:gid`. Defaults to the image's."),
			"group_add":    optionSet("Groups that the user belongs to besides."),
			"working_dir":  optionText("The absolute path that the program starts in. Defaults to the image's."),
			"privileged":   optionFlag("Whether the container has all rights of the engine's host. Defaults to `false`."),
			"cap_add":      optionSet("Capabilities of the kernel to have besides the usual ones, such as `SYS_PTRACE`."),
			"cap_drop":     optionSet("Capabilities not to have; `ALL` for none."),
			"security_opt": optionSet("Security options, such as `no-new-privileges`."),
			"read_only":    optionFlag("Whether the container's own file system can only be read. Defaults to `false`."),
			"sysctls":      optionMap("Kernel parameters of the container's own namespaces."),
			"shm_size":     optionSize("The size of `/dev/shm` in MB. Docker's default is 64, which is too little for some libraries that share memory between processes (PyTorch, Ray)."),
			"cpuset":       optionText("The CPUs that the container may use, such as `0-3,8`."),
			"init":         optionFlag("Whether a small init process passes signals on and reaps zombies. Use it for programs that do not expect to be process 1. Defaults to `false`."),
			"ipc_mode":     optionText("The IPC namespace: `private`, `shareable`, `host` or `none`."),
			"runtime":      optionText("The engine's runtime to use, such as `nvidia` or `runsc`."),
			"extra_hosts":  optionMap("Host names to add to the container's hosts file, with their addresses; `host-gateway` is the engine's host."),
			"dns":          optionList("Name servers in place of the engine's."),
			"dns_search":   optionList("Domains to look names up in."),
			"log_driver":   optionText("The log driver. With one that cannot be read back (`none`, `syslog`, ...), messages about failed containers have no last output."),
			"log_options":  optionMap("Options of the log driver, such as `max-size`."),
			"platform":     optionText("The platform of the image to run, such as `linux/arm64`. Defaults to the engine's."),
			"pull_policy":  optionText("When the image is pulled before containers are started: `missing` (the default: if the engine does not have it), `always` or `never`. A tag that was moved changes nothing until a container is started.", stringvalidator.OneOf("missing", "always", "never")),
			"stop_signal":  optionText("The signal that asks the container to stop. Defaults to the framework's, usually `SIGTERM`."),
			"restart_policy": optionText("Whether the engine restarts the container when it has ended or the engine itself was restarted: `no` (the default: " +
				"the next apply does), `always`, `unless-stopped`, `on-failure` or `on-failure:5`."),
			"ulimits": schema.MapNestedAttribute{
				Optional:            true,
				MarkdownDescription: "Limits of the kernel's on each process, by name (`nofile`, `memlock`, ...); -1 is no limit.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"soft": schema.Int64Attribute{Required: true, MarkdownDescription: "What holds unless the program asks for more.", Validators: []validator.Int64{int64validator.AtLeast(-1)}},
					"hard": schema.Int64Attribute{Optional: true, MarkdownDescription: "How much it may ask for. Defaults to `soft`.", Validators: []validator.Int64{int64validator.AtLeast(-1)}},
				}},
			},
			"health_check": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "How the engine finds out whether the container works; in place of the image's own, if that has one. A server counts as ready once it passes. " +
					"Without any, the server's port has to accept connections.",
				Attributes: map[string]schema.Attribute{
					"command":      schema.ListAttribute{Required: true, ElementType: types.StringType, MarkdownDescription: "The program and its arguments, run in the container; exit code 0 means that it works.", Validators: []validator.List{listvalidator.SizeAtLeast(1), listvalidator.NoNullValues()}},
					"interval":     optionText("The time between two checks. Docker's default is `30s`; for a quick start give a shorter one."),
					"timeout":      optionText("How long one check may take. Docker's default is `30s`."),
					"start_period": optionText("The time in which failures do not count. Docker's default is `0s`."),
					"retries":      optionSize("How many failures in a row make it unhealthy. Docker's default is 3."),
				},
			},
		},
	}
}

func decodeDockerOptions(in input) any {
	o := docker.Options{
		Network: in.str("network").ValueString(), ExtraNetworks: in.set("extra_networks"),
		Devices: in.strings("devices"), User: in.str("user").ValueString(), GroupAdd: in.set("group_add"), WorkingDir: in.str("working_dir").ValueString(),
		Privileged: in.bool("privileged").ValueBool(), CapAdd: in.set("cap_add"), CapDrop: in.set("cap_drop"), SecurityOpt: in.set("security_opt"),
		ReadOnlyRootFS: in.bool("read_only").ValueBool(), Sysctls: in.stringMap("sysctls"), ShmSize: int(in.int("shm_size").ValueInt64()),
		CPUSet: in.str("cpuset").ValueString(), Init: in.bool("init").ValueBool(), IpcMode: in.str("ipc_mode").ValueString(), Runtime: in.str("runtime").ValueString(),
		ExtraHosts: in.stringMap("extra_hosts"), DNS: in.strings("dns"), DNSSearch: in.strings("dns_search"),
		LogDriver: in.str("log_driver").ValueString(), LogOptions: in.stringMap("log_options"),
		RestartPolicy: in.str("restart_policy").ValueString(), Platform: in.str("platform").ValueString(),
		PullPolicy: engine.PullPolicy(in.str("pull_policy").ValueString()), StopSignal: in.str("stop_signal").ValueString(),
	}
	if o.RestartPolicy == "no" {
		o.RestartPolicy = "" // the same
	}
	for _, m := range in.objects("mounts") {
		o.Mounts = append(o.Mounts, docker.Mount{
			Type: m.str("type").ValueString(), Source: m.str("source").ValueString(), Target: m.str("target").ValueString(),
			ReadOnly: m.bool("read_only").ValueBool(), TmpfsSize: int(m.int("tmpfs_size").ValueInt64()),
		})
	}
	for name, u := range in.objectMap("ulimits") {
		limit := docker.Ulimit{Soft: u.int("soft").ValueInt64(), Hard: u.int("soft").ValueInt64()}
		if hard := u.int("hard"); !hard.IsNull() {
			limit.Hard = hard.ValueInt64()
		}
		if o.Ulimits == nil {
			o.Ulimits = map[string]docker.Ulimit{}
		}
		o.Ulimits[name] = limit
	}
	if h := in.object("health_check"); !h.IsNull() {
		o.HealthCheck = &docker.HealthCheck{
			Command: h.strings("command"), Interval: h.str("interval").ValueString(), Timeout: h.str("timeout").ValueString(),
			StartPeriod: h.str("start_period").ValueString(), Retries: int(h.int("retries").ValueInt64()),
		}
	}
	// Empty lists and maps are the same to Docker as none.
	for _, list := range []*[]string{&o.ExtraNetworks, &o.Devices, &o.GroupAdd, &o.CapAdd, &o.CapDrop, &o.SecurityOpt, &o.DNS, &o.DNSSearch} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	for _, m := range []*map[string]string{&o.Sysctls, &o.ExtraHosts, &o.LogOptions} {
		if len(*m) == 0 {
			*m = nil
		}
	}
	if reflect.DeepEqual(o, docker.Options{}) {
		return nil
	}
	return o
}

// restartsCompleted tells whether the engine starts containers again that have
// ended with code 0.
func restartsCompleted(options any) bool {
	o, ok := options.(docker.Options)
	return ok && (o.RestartPolicy == "always" || o.RestartPolicy == "unless-stopped")
}

// serverNameStays tells whether a server that is started anew is known by the
// name of the one before it: it has the same network, and that has names.
func serverNameStays(now, before input) bool {
	network := func(in input) string { return in.object(docker.Name).str("network").ValueString() }
	return network(now) == network(before) && docker.HasNames(network(now))
}
