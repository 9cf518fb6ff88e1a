// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func TestUpdatePolicy(t *testing.T) {
	for _, c := range []struct {
		unavailable, surge string
		workers            int
		want               managed.UpdatePolicy
	}{
		{"25%", "0", 8, managed.UpdatePolicy{MaxUnavailable: 2}},
		{"25%", "0", 7, managed.UpdatePolicy{MaxUnavailable: 1}},
		{"25%", "0", 3, managed.UpdatePolicy{MaxUnavailable: 1}},
		{"25%", "0", 0, managed.UpdatePolicy{MaxUnavailable: 1}},
		{"0", "25%", 8, managed.UpdatePolicy{MaxSurge: 2}},
		{"0", "25%", 3, managed.UpdatePolicy{MaxUnavailable: 1}},
		{"0%", "1", 3, managed.UpdatePolicy{MaxSurge: 1}},
		{"100%", "100%", 5, managed.UpdatePolicy{MaxUnavailable: 5, MaxSurge: 5}},
		{"3", "2", 100, managed.UpdatePolicy{MaxUnavailable: 3, MaxSurge: 2}},
	} {
		c.want.Strategy = managed.StrategyRolling
		if got := updatePolicy("rolling", c.unavailable, c.surge, c.workers); got != c.want {
			t.Errorf("%s, %s of %d: %+v, want %+v", c.unavailable, c.surge, c.workers, got, c.want)
		}
	}
	for _, c := range []struct {
		unavailable, surge string
		want               bool
	}{{"0", "0", true}, {"0%", "0", true}, {"00", "0%", true}, {"10", "0", false}, {"0", "1", false}, {"100%", "0%", false}} {
		if got := noRoom(c.unavailable, c.surge); got != c.want {
			t.Errorf("noRoom(%s, %s) is %v", c.unavailable, c.surge, got)
		}
	}
}

func TestEffective(t *testing.T) {
	redis, err := frameworks.New("redis", nil)
	if err != nil {
		t.Fatal(err)
	}
	d := redis.Defaults(managed.RoleServer)
	in := func(entrypoint, command []string) input {
		list := func(s []string) types.List {
			if s == nil {
				return types.ListNull(types.StringType)
			}
			l, _ := types.ListValueFrom(context.Background(), types.StringType, s)
			return l
		}
		container := types.ObjectValueMust(
			map[string]attr.Type{"entrypoint": types.ListType{ElemType: types.StringType}, "command": types.ListType{ElemType: types.StringType}},
			map[string]attr.Value{"entrypoint": list(entrypoint), "command": list(command)})
		return input{types.ObjectValueMust(map[string]attr.Type{"container": container.Type(context.Background())}, map[string]attr.Value{"container": container})}
	}
	for _, c := range []struct {
		entrypoint, command         []string
		wantEntrypoint, wantCommand []string
	}{
		{nil, nil, d.Entrypoint, d.Command},
		{[]string{}, []string{}, d.Entrypoint, d.Command},
		{nil, []string{"a"}, d.Entrypoint, []string{"a"}},
		{[]string{"e"}, nil, []string{"e"}, nil}, // as with Docker: the default command is for another entrypoint
		{[]string{"e"}, []string{"a"}, []string{"e"}, []string{"a"}},
	} {
		e := newEffective(redis, managed.RoleServer, in(c.entrypoint, c.command))
		if !slices.Equal(e.Entrypoint, c.wantEntrypoint) || !slices.Equal(e.Command, c.wantCommand) {
			t.Errorf("%v %v: %v %v", c.entrypoint, c.command, e.Entrypoint, e.Command)
		}
		if back, ok := effectiveOf(e.serverObject()); !ok || fmt.Sprint(back) != fmt.Sprint(e) {
			t.Errorf("%+v became %+v", e, back)
		}
	}
	if e := newEffective(redis, managed.RoleServer, input{}); e.Image != d.Image || e.CPU != d.Hardware.CPU {
		t.Errorf("without a configuration: %+v", e)
	}
}

func TestOwnerFromEnvironment(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{workspaceVariable: "org/ws"}, "org/ws"},
		{map[string]string{workspaceVariable: "org/ws", ownerVariable: "me"}, "me"},
	} {
		if got := ownerFromEnvironment(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%v: %q, want %q", c.env, got, c.want)
		}
	}
}

func TestClientConnectsOnceAndLate(t *testing.T) {
	opened := 0
	c := &client{namespace: types.StringValue("default"), owner: types.StringValue("me")}
	c.open = func(ctx context.Context) (managed.Backend, error) {
		opened++
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, managed.Errorf(managed.ClassUnavailable, "", "no daemon")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.manager(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for range 2 { // the error is kept, but not that of a caller who gave up
		if _, err := c.manager(t.Context()); managed.ClassOf(err) != managed.ClassUnavailable {
			t.Errorf("got %v", err)
		}
	}
	if opened != 2 {
		t.Errorf("opened %d times", opened)
	}
	c = &client{namespace: types.StringUnknown(), owner: types.StringValue("me")}
	if _, err := c.manager(t.Context()); !errors.Is(err, errUnknownProvider) {
		t.Errorf("got %v", err)
	}
	if _, err := openBackend(t.Context(), backends.Config{}); managed.ClassOf(err) != managed.ClassInvalid {
		t.Errorf("without a backend: %v", err)
	}
	var diags diag.Diagnostics
	if clientFrom(42, &diags); !diags.HasError() {
		t.Error("provider data of another type is accepted")
	}
}

func TestDiagnosticsSayWhatToDo(t *testing.T) {
	op := operation{doing: "Create Cluster", timeout: "create", secrets: []string{"hunter2hunter2"}}
	for _, c := range []struct {
		err     error
		summary string
		says    []string
	}{
		{managed.Errorf(managed.ClassUnavailable, "", "listing containers: no daemon"), "Unable to Create Cluster", []string{"Listing containers: no daemon.", "could not be reached"}},
		{managed.Errorf(managed.ClassTransient, "", "x"), "Unable to Create Cluster", []string{"tried several times"}},
		{managed.Errorf(managed.ClassThrottled, "", "x"), "Unable to Create Cluster", []string{"takes no more calls"}},
		{managed.Errorf(managed.ClassCapacity, "", "x"), "Unable to Create Cluster", []string{"no room"}},
		{managed.Errorf(managed.ClassPermission, "", "x"), "Unable to Create Cluster", []string{"refuses this"}},
		{context.DeadlineExceeded, "Unable to Create Cluster", []string{"raise timeouts.create"}},
		{context.Canceled, "Unable to Create Cluster", []string{"interrupted"}},
		{errors.New("the password is hunter2hunter2"), "Unable to Create Cluster", []string{"The password is (secret)."}},
		{errUnknownProvider, "Unable to Create Cluster", []string{"-target"}},
		{&managed.ShortfallError{Scope: managed.Scope{Cluster: "sim", Pool: "p"}, Wanted: 3, Min: 3, Achieved: 1}, "Too Few Workers", []string{"1 of 3", "lower min_worker_count"}},
		{&managed.ForeignError{Scope: managed.Scope{Namespace: "n", Cluster: "sim"}}, "Containers of Another Owner in the Cluster", []string{"force_destroy"}},
		{fmt.Errorf("starting: %w", &managed.FailedError{Failure: managed.Failure{Role: managed.RoleServer, Handle: "h", Reason: "exited with code 1"}}), "Server Ended Instead of Working", []string{"exited with code 1"}},
	} {
		var diags diag.Diagnostics
		op.failed(&diags, c.err)
		if len(diags) != 1 || diags[0].Summary() != c.summary || !containsAll(diags[0].Detail(), c.says) {
			t.Errorf("%v became %v", c.err, diags)
		}
	}
	var diags diag.Diagnostics
	op.failed(&diags, nil)
	if len(diags) != 0 {
		t.Errorf("no error became %v", diags)
	}
	op.locate = locator(t.Context(), clusterSchema(), "server")
	for attribute, want := range map[string]string{
		"container.command": "server.container.command", "hardware.memory": "server.hardware.memory", "framework": "framework", "port": "server.port",
		"": "server", "process.root": "", "nonsense.at.all": "",
	} {
		at, ok := op.locate(attribute)
		if got := at.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%q is at %q, %v; want %q", attribute, got, ok, want)
		}
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{"": "", "a b": "A b.", "A b.": "A b.", "x; log:\n  y": "X; log:\n  y"} {
		if got := sentence(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Hour: "1h", 10 * time.Minute: "10m", 90 * time.Second: "1m30s", 2 * time.Second: "2s", 90 * time.Minute: "90m", 0: "0s"} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v became %q, want %q", d, got, want)
		}
	}
}

func TestPoolMemory(t *testing.T) {
	base := time.Unix(1_700_000_000, 0)
	slots := []managed.Handle{"a", "", "b", "b", "c"}
	times := map[managed.Handle]time.Time{"a": base.Add(5 * time.Second), "b": base, "c": {}}
	var mem poolMemory
	mem.setStarted(slots, times)
	got := mem.started(slots)
	if len(got) != 2 || got["a"].Unix() != times["a"].Unix() || got["b"].Unix() != times["b"].Unix() {
		t.Errorf("%v became %v", times, got)
	}
	mem.setStarted(slots, map[managed.Handle]time.Time{"a": base, "b": base, "c": base})
	if got = mem.started(slots); !got["a"].Before(got["b"]) || !got["b"].Before(got["c"]) {
		t.Errorf("workers of the same second are not in the order of their slots: %v", got)
	}
	mem.setStarted(slots, nil)
	if mem.Offsets != nil || len(mem.started(slots)) != 0 {
		t.Errorf("no times became %v", mem)
	}
}

func TestLogHandler(t *testing.T) {
	h := logHandler{}.WithAttrs([]slog.Attr{slog.String("a", "b")}).WithGroup("g").WithAttrs([]slog.Attr{slog.Duration("d", time.Second)})
	got, ok := h.(logHandler)
	if !ok || got.fields["a"] != "b" || got.fields["g.d"] != "1s" {
		t.Fatalf("fields are %v", got.fields)
	}
	fields := map[string]any{}
	for _, a := range []slog.Attr{
		slog.Any("secret", managed.Secret("hunter2")), slog.Group("in", slog.Int("n", 1)), slog.Time("t", time.Unix(0, 0).UTC()), slog.Any("err", errors.New("x")),
	} {
		addField(fields, "p.", a)
	}
	if strings.Contains(fmt.Sprint(fields), "hunter2") || fields["p.in.n"] != int64(1) || fields["p.err"] != "x" || fields["p.t"] != "1970-01-01T00:00:00Z" {
		t.Errorf("fields are %v", fields)
	}
	for _, level := range []slog.Level{-8, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		newLogger(t.Context()).Log(t.Context(), level, "text", "key", "value") // without a sink nothing happens
	}
}

func TestRecordOutlivesTheSchema(t *testing.T) {
	ctx := t.Context()
	st := nullState(ctx, clusterSchema())
	var m clusterModel
	if diags := st.Get(ctx, &m); diags.HasError() {
		t.Fatal(diags)
	}
	record := `{"framework":"redis","server":{"port":1,"gone":true},"labels":5,"password_wo_version":7,"nonsense":[]}`
	diags := restore(ctx, clusterSchema(), &m, []byte(record), clusterRecordNames())
	if diags.HasError() || len(diags) != 1 || !strings.Contains(diags[0].Detail(), "labels") {
		t.Errorf("got %v", diags)
	}
	if m.Framework.ValueString() != "redis" || (input{m.Server}).int("port").ValueInt64() != 1 || m.PasswordWOVersion.ValueInt64() != 7 || !m.Labels.IsNull() {
		t.Errorf("got %+v", m)
	}
	if diags := restore(ctx, clusterSchema(), &m, []byte(`{`), clusterRecordNames()); len(diags) != 1 || diags.HasError() {
		t.Errorf("a damaged record: %v", diags)
	}
}

// TestClientThroughATunnel: a server whose published port is reached through
// ssh only has the command for it in the client's code.
func TestClientThroughATunnel(t *testing.T) {
	m := clusterModel{
		Name: types.StringValue("sim"), Framework: types.StringValue("redis"), PrivateIP: types.StringValue("sim-server"), PrivatePort: types.Int64Value(6379),
		PublicIP: types.StringValue("127.0.0.1"), PublicPort: types.Int64Value(32768),
		Exports: types.MapValueMust(types.StringType, map[string]attr.Value{exportTunnel: types.StringValue("ssh -N -L 32768:127.0.0.1:32768 me@far")}),
	}
	if code := (input{m.client()}).str("python").ValueString(); !strings.Contains(code, "ssh -N -L 32768:127.0.0.1:32768 me@far") {
		t.Errorf("the code is\n%s", code)
	}
	m.ServerClientSameLAN = types.BoolValue(true)
	if code := (input{m.client()}).str("python").ValueString(); strings.Contains(code, "ssh -N") || !strings.Contains(code, "sim-server") {
		t.Errorf("in the same network the code is\n%s", code)
	}
}
