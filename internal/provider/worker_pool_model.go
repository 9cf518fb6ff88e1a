// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// poolModel is dockerparallel_worker_pool.
type poolModel struct {
	ClusterID       types.String `tfsdk:"cluster_id"`
	Name            types.String `tfsdk:"name"`
	WorkerCount     types.Int64  `tfsdk:"worker_count"`
	Container       types.Object `tfsdk:"container"`
	Hardware        types.Object `tfsdk:"hardware"`
	Docker          types.Object `tfsdk:"docker"`
	Process         types.Object `tfsdk:"process"`
	Server          types.Object `tfsdk:"server"`
	Framework       types.String `tfsdk:"framework"`
	OnExisting      types.String `tfsdk:"on_existing"`
	MinWorkerCount  types.Int64  `tfsdk:"min_worker_count"`
	GangStyle       types.String `tfsdk:"gang_style"`
	WaitFor         types.String `tfsdk:"wait_for"`
	ScaleIn         types.String `tfsdk:"scale_in"`
	OnExit          types.String `tfsdk:"on_exit"`
	Update          types.Object `tfsdk:"update"`
	StopGracePeriod types.String `tfsdk:"stop_grace_period"`
	KeepFailed      types.Bool   `tfsdk:"keep_failed"`
	Labels          types.Map    `tfsdk:"labels"`
	Timeouts        types.Object `tfsdk:"timeouts"`
	poolFrameworks

	ID                  types.String `tfsdk:"id"`
	Namespace           types.String `tfsdk:"namespace"`
	Handles             types.List   `tfsdk:"handles"`
	RunningWorkers      types.Int64  `tfsdk:"running_workers"`
	InitializingWorkers types.Int64  `tfsdk:"initializing_workers"`
	Containers          types.Int64  `tfsdk:"containers"`
	Effective           types.Object `tfsdk:"effective"`
}

// poolIdentity is the resource's identity. It changes when the pool moves to
// another cluster.
type poolIdentity struct {
	Namespace types.String `tfsdk:"namespace"`
	Cluster   types.String `tfsdk:"cluster"`
	Name      types.String `tfsdk:"name"`
}

func (m *poolModel) identity() poolIdentity {
	return poolIdentity{Namespace: m.Namespace, Cluster: types.StringValue(clusterNameOf(m.ClusterID.ValueString())), Name: m.Name}
}

func (m *poolModel) scope() managed.Scope {
	return managed.Scope{Namespace: m.Namespace.ValueString(), Cluster: clusterNameOf(m.ClusterID.ValueString()), Pool: m.Name.ValueString()}
}

func (m *poolModel) id() types.String {
	return types.StringValue(clusterNameOf(m.ClusterID.ValueString()) + "/" + m.Name.ValueString())
}

// launchOf is the launch in a cluster's id, "" in a plain name.
func launchOf(clusterID types.String) string {
	_, launch, _ := strings.Cut(clusterID.ValueString(), "@")
	return launch
}

// input is the pool as a role: what a server's attribute is to the cluster.
func (m *poolModel) input() input {
	values := map[string]attr.Value{
		"container": m.Container, "hardware": m.Hardware, "stop_grace_period": m.StopGracePeriod,
	}
	maps.Copy(values, m.optionValues())
	attrTypes := make(map[string]attr.Type, len(values))
	for name, v := range values {
		attrTypes[name] = v.Type(context.Background())
	}
	return input{types.ObjectValueMust(attrTypes, values)}
}

// poolRecordNames are the attributes that a worker's record holds: all that
// users write, but for the count, which is seen, and what is write-only.
func poolRecordNames() []string {
	return append(append(backends.Names(), frameworkOptionNames(managed.RoleWorker)...),
		"cluster_id", "container", "hardware", "server", "framework", "min_worker_count", "gang_style", "wait_for", "scale_in", "on_exit",
		"update", "stop_grace_period", "keep_failed", "labels", "timeouts")
}

// record of the configuration, for import.
func (m *poolModel) record(ctx context.Context, e effective) (managed.Record, error) {
	values := m.optionValues()
	maps.Copy(values, map[string]attr.Value{
		"cluster_id": m.ClusterID, "container": m.Container, "hardware": m.Hardware, "server": m.Server, "framework": m.Framework,
		"min_worker_count": m.MinWorkerCount, "gang_style": m.GangStyle, "wait_for": m.WaitFor, "scale_in": m.ScaleIn, "on_exit": m.OnExit,
		"update": m.Update, "stop_grace_period": m.StopGracePeriod, "keep_failed": m.KeepFailed, "labels": m.Labels, "timeouts": m.Timeouts,
	})
	spec, err := encodeAttributes(ctx, values)
	if err != nil {
		return managed.Record{}, err
	}
	eff, err := json.Marshal(e)
	return managed.Record{Version: 1, Spec: spec, Effective: eff}, err
}

// sameSpec tells whether the workers are made from the same configuration.
func (m *poolModel) sameSpec(o *poolModel) bool {
	return m.Container.Equal(o.Container) && m.Hardware.Equal(o.Hardware) && m.sameOptions(o) && m.Framework.Equal(o.Framework)
}

// keepSpec takes the worker's configuration over from another model.
func (m *poolModel) keepSpec(o *poolModel) {
	m.Container, m.Hardware, m.Framework, m.Effective = o.Container, o.Hardware, o.Framework, o.Effective
	m.keepOptions(o)
}

// newEffective fills in the defaults of workers whose configuration is known.
func (m *poolModel) newEffective(fw managed.Framework) effective {
	e := newEffective(fw, managed.RoleWorker, m.input())
	e.SpecHash = e.template(fw, managed.RoleWorker, m.input()).Hash()
	return e
}

// updatePolicy in workers.
func (m *poolModel) updatePolicy() managed.UpdatePolicy {
	in := input{m.Update}
	return updatePolicy(in.str("strategy").ValueString(), in.str("max_unavailable").ValueString(), in.str("max_surge").ValueString(), int(m.WorkerCount.ValueInt64()))
}

// onlyOnReplacement is true if a change of the specification stops nobody.
func (m *poolModel) onlyOnReplacement() bool {
	return input{m.Update}.str("strategy").ValueString() == string(managed.StrategyOnReplacement)
}

// minWorkers are enough for an operation to succeed.
func (m *poolModel) minWorkers() int {
	if m.MinWorkerCount.IsNull() {
		return int(m.WorkerCount.ValueInt64())
	}
	return int(m.MinWorkerCount.ValueInt64())
}

// ownLaunch names the server that the pool gives itself: it changes with the
// address, the password's version and the cluster's own launch, and the
// workers restart with it.
func (m *poolModel) ownLaunch(clusterID types.String) string {
	in := input{m.Server}
	e := endpointOf(in)
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d %q %d %v %d", launchOf(clusterID), e.PublicIP, e.PublicPort, e.PrivateIP, e.PrivatePort,
		in.bool("same_lan").ValueBool(), in.int("password_wo_version").ValueInt64()))
	return hex.EncodeToString(sum[:8])
}

// slots of a known list, "" for null.
func slotsOf(list types.List) []managed.Handle {
	slots := make([]managed.Handle, 0, len(list.Elements()))
	for _, e := range list.Elements() {
		s, _ := e.(types.String)
		slots = append(slots, managed.Handle(s.ValueString()))
	}
	return slots
}

// handlesOf is a list with empty for every "".
func handlesOf(slots []managed.Handle, empty types.String) types.List {
	elements := make([]attr.Value, len(slots))
	for i, h := range slots {
		elements[i] = empty
		if h != "" {
			elements[i] = types.StringValue(string(h))
		}
	}
	return types.ListValueMust(types.StringType, elements)
}

// alive drops the empty slots.
func alive(slots []managed.Handle) []managed.Handle {
	var known []managed.Handle
	for _, h := range slots {
		if h != "" {
			known = append(known, h)
		}
	}
	return known
}

// show writes what the world shows of the workers into the model.
func (m *poolModel) show(slots []managed.Handle, counts managed.PoolCounts) {
	m.Handles = handlesOf(slots, types.StringNull())
	m.RunningWorkers = types.Int64Value(int64(counts.Running))
	m.InitializingWorkers = types.Int64Value(int64(counts.Initializing))
	m.Containers = types.Int64Value(int64(counts.Containers))
}

// settle makes everything known that the operation has not made so: nothing
// unknown may reach the state.
func (m *poolModel) settle() {
	m.ID = m.id()
	if m.Handles.IsUnknown() {
		m.Handles = handlesOf(nil, types.StringNull())
	}
	for _, n := range []*types.Int64{&m.RunningWorkers, &m.InitializingWorkers, &m.Containers} {
		if n.IsUnknown() || n.IsNull() {
			*n = types.Int64Value(0)
		}
	}
	if m.Effective.IsUnknown() {
		m.Effective = types.ObjectNull(objectTypes(effectivePoolAttributes()))
	}
	m.OnExisting = types.StringNull() // write-only values are never in state
}

// poolMemory is what a pool keeps in private state, beside what people see.
type poolMemory struct {
	// Launch that the workers connect to.
	Launch string `json:"l,omitempty"`
	// Base and Offsets tell when the worker in each slot started: Unix
	// seconds, -1 for not known. It is compact, because it is kept per worker.
	Base    int64   `json:"t,omitempty"`
	Offsets []int64 `json:"o,omitempty"`
	// Outdated workers run an older specification.
	Outdated int `json:"u,omitempty"`
	// Framework of the server, as the last refresh saw it.
	Framework string `json:"f,omitempty"`
}

// memoryKey is the name under which it is kept.
const memoryKey = "pool"

// privateReader and privateWriter are the framework's private state, whose
// own type has no name here.
type privateReader interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
}

type privateWriter interface {
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// readMemory is empty where nothing, or nothing readable, is kept: it is only
// ever a help.
func readMemory(ctx context.Context, private privateReader) poolMemory {
	var mem poolMemory
	b, diags := private.GetKey(ctx, memoryKey)
	if diags.HasError() || len(b) == 0 || json.Unmarshal(b, &mem) != nil {
		return poolMemory{}
	}
	return mem
}

func (mem poolMemory) write(ctx context.Context, private privateWriter) diag.Diagnostics {
	b, err := json.Marshal(mem)
	if err != nil {
		var diags diag.Diagnostics
		unexpected(&diags, "keeping private state", err)
		return diags
	}
	return private.SetKey(ctx, memoryKey, b)
}

// setStarted notes when the workers in slots started.
func (mem *poolMemory) setStarted(slots []managed.Handle, started map[managed.Handle]time.Time) {
	mem.Base, mem.Offsets = 0, nil
	for _, t := range started {
		if !t.IsZero() && (mem.Base == 0 || t.Unix() < mem.Base) {
			mem.Base = t.Unix()
		}
	}
	if mem.Base == 0 {
		return
	}
	mem.Offsets = make([]int64, len(slots))
	for i, h := range slots {
		mem.Offsets[i] = -1
		if t := started[h]; !t.IsZero() {
			mem.Offsets[i] = t.Unix() - mem.Base
		}
	}
}

// started is the reverse of setStarted. Of workers that started in the same
// second, those in later slots count as younger: that is the order in which
// they were added, and how people expect a list to shrink.
func (mem poolMemory) started(slots []managed.Handle) map[managed.Handle]time.Time {
	times := make(map[managed.Handle]time.Time, len(slots))
	for i, h := range slots {
		if h != "" && times[h].IsZero() && i < len(mem.Offsets) && mem.Offsets[i] >= 0 {
			times[h] = time.Unix(mem.Base+mem.Offsets[i], int64(i))
		}
	}
	return times
}
