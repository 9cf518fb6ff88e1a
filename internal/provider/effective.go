// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"encoding/json"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// effective is what a role's containers are made from: the configuration with
// the framework's defaults filled in. It is kept in state and in the
// containers' labels, so that other defaults of a later release restart
// nothing.
type effective struct {
	Framework  string   `json:"framework"`
	Image      string   `json:"image,omitempty"`
	Entrypoint []string `json:"entrypoint,omitempty"`
	Command    []string `json:"command,omitempty"`
	CPU        int      `json:"cpu,omitempty"`
	Memory     int      `json:"memory,omitempty"`
	GPUs       int      `json:"gpus,omitempty"`
	HardwareID string   `json:"hardware_id,omitempty"`
	// Port and SameLAN are a server's, MaxWorkers a pool's.
	Port       int    `json:"port,omitempty"`
	SameLAN    bool   `json:"same_lan,omitempty"`
	MaxWorkers int    `json:"max_workers,omitempty"`
	SpecHash   string `json:"spec_hash"`
}

// newEffective fills in the defaults. The input is a server's, or a pool as a
// whole; it must be known.
func newEffective(fw managed.Framework, role managed.Role, in input) effective {
	d := fw.Defaults(role)
	container, hardware := in.object("container"), in.object("hardware")
	e := effective{
		Framework:  fw.Name(),
		Image:      container.str("image").ValueString(),
		Entrypoint: container.strings("entrypoint"),
		Command:    container.strings("command"),
		CPU:        int(hardware.int("cpu").ValueInt64()),
		Memory:     int(hardware.int("memory").ValueInt64()),
		GPUs:       int(hardware.int("gpus").ValueInt64()),
		HardwareID: hardware.str("id").ValueString(),
		MaxWorkers: int(container.int("max_workers").ValueInt64()),
	}
	if e.Image == "" {
		e.Image = d.Image
	}
	// As with Docker, a command is for the entrypoint it was written for: a
	// default one does not follow an entrypoint of the user's. An empty list
	// means the same as none.
	if len(e.Command) == 0 {
		e.Command = nil
		if len(e.Entrypoint) == 0 {
			e.Command = d.Command
		}
	}
	if len(e.Entrypoint) == 0 {
		e.Entrypoint = d.Entrypoint
	}
	if e.CPU == 0 {
		e.CPU = d.Hardware.CPU
	}
	if e.Memory == 0 {
		e.Memory = d.Hardware.Memory
	}
	if hardware.int("gpus").IsNull() {
		e.GPUs = d.Hardware.GPUs
	}
	if e.HardwareID == "" {
		e.HardwareID = d.Hardware.ID
	}
	if e.MaxWorkers == 0 && role == managed.RoleWorker {
		e.MaxWorkers = max(1, d.MaxWorkers)
	}
	return e
}

// template of a role's containers; environment and backend options come from
// the configuration as they are.
func (e effective) template(fw managed.Framework, role managed.Role, in input) managed.Template {
	d := fw.Defaults(role)
	t := managed.Template{
		Image:       e.Image,
		Entrypoint:  e.Entrypoint,
		Command:     e.Command,
		Environment: in.object("container").stringMap("environment"),
		Hardware:    managed.Hardware{CPU: e.CPU, Memory: e.Memory, GPUs: e.GPUs, ID: e.HardwareID},
		StopSignal:  d.StopSignal,
		StopGrace:   d.StopGrace,
		Options:     backendOptions(in),
	}
	if c, ok := fw.(managed.Configured); ok {
		t.Settings = c.Options()
	}
	if grace, err := time.ParseDuration(in.str("stop_grace_period").ValueString()); err == nil {
		t.StopGrace = grace
	}
	return t
}

// server is the spec of a server made from e.
func (e effective) server(fw managed.Framework, in input) managed.ServerSpec {
	s := managed.ServerSpec{Template: e.template(fw, managed.RoleServer, in), Port: e.Port, SameLAN: e.SameLAN}
	if p := in.object("publish"); !p.IsNull() {
		s.Publish = &managed.Publish{Address: p.str("address").ValueString(), Port: int(p.int("port").ValueInt64())}
		if s.Publish.Address == "" {
			s.Publish.Address = "127.0.0.1"
		}
		s.Publish.Others = p.intMap("ports")
	}
	return s
}

func (e effective) attributes() map[string]attr.Value {
	return map[string]attr.Value{
		"framework":   types.StringValue(e.Framework),
		"image":       stringOrNull(e.Image),
		"entrypoint":  listOrNull(e.Entrypoint),
		"command":     listOrNull(e.Command),
		"cpu":         intOrNull(e.CPU),
		"memory":      intOrNull(e.Memory),
		"gpus":        types.Int64Value(int64(e.GPUs)),
		"hardware_id": stringOrNull(e.HardwareID),
		"spec_hash":   types.StringValue(e.SpecHash),
	}
}

// serverObject is e as effective_server shows it.
func (e effective) serverObject() types.Object {
	values := e.attributes()
	values["port"] = types.Int64Value(int64(e.Port))
	values["same_lan"] = types.BoolValue(e.SameLAN)
	return types.ObjectValueMust(objectTypes(effectiveServerAttributes()), values)
}

// poolObject is e as a pool's effective shows it.
func (e effective) poolObject() types.Object {
	values := e.attributes()
	values["max_workers"] = types.Int64Value(int64(e.MaxWorkers))
	return types.ObjectValueMust(objectTypes(effectivePoolAttributes()), values)
}

// effectiveOf reads either object back; it is false for one that is null or
// not known.
func effectiveOf(o types.Object) (effective, bool) {
	if o.IsNull() || o.IsUnknown() {
		return effective{}, false
	}
	in := input{o}
	return effective{
		Framework:  in.str("framework").ValueString(),
		Image:      in.str("image").ValueString(),
		Entrypoint: in.strings("entrypoint"),
		Command:    in.strings("command"),
		CPU:        int(in.int("cpu").ValueInt64()),
		Memory:     int(in.int("memory").ValueInt64()),
		GPUs:       int(in.int("gpus").ValueInt64()),
		HardwareID: in.str("hardware_id").ValueString(),
		Port:       int(in.int("port").ValueInt64()),
		SameLAN:    in.bool("same_lan").ValueBool(),
		MaxWorkers: int(in.int("max_workers").ValueInt64()),
		SpecHash:   in.str("spec_hash").ValueString(),
	}, true
}

// recordedEffective reads a record's effective; it is false if there is none.
func recordedEffective(r managed.Record) (effective, bool) {
	var e effective
	if len(r.Effective) == 0 || json.Unmarshal(r.Effective, &e) != nil {
		return effective{}, false
	}
	return e, true
}

// validationSpec is a container as far as it can be known in a plan: enough
// for a backend's Validator.
func validationSpec(t managed.Template, workers int) managed.ContainerSpec {
	return managed.ContainerSpec{
		Image: t.Image, Entrypoint: t.Entrypoint, Command: t.Command, Environment: t.Environment,
		Hardware: t.Hardware.Times(max(1, workers)), Workers: workers,
		StopSignal: t.StopSignal, StopGrace: t.StopGrace, Options: t.Options,
	}
}
