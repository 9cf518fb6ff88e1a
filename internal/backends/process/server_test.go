// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func TestServer(t *testing.T) {
	b := newBackend(t)
	ctx := context.Background()
	port, err := b.FreePort(ctx)
	if err != nil {
		t.Fatal(err)
	}
	req := requestIn(serverScope, managed.RoleServer, 1, "sleep", "1000")
	req.Spec.Ports = []managed.Port{{Name: managed.PortMain, Number: port}}
	if err := b.Preflight(ctx, req, nil); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", localAddress(port))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{b.Preflight(ctx, req, nil), second(b.Run(ctx, req))} {
		wantClass(t, err, managed.ClassConflict, "port")
		if text := err.Error(); !strings.Contains(text, strconv.Itoa(port)) || runtime.GOOS == "linux" && !strings.Contains(text, strconv.Itoa(os.Getpid())) {
			t.Error(text)
		}
	}
	if inv, _ := b.List(ctx, managed.Selector{}); len(inv.Containers) > 0 {
		t.Error("a refused server left a record")
	}
	_ = l.Close()
	h := mustRun(t, b, req)[0]
	mustRun(t, b, req)                                              // again, with its own token: no conflict
	if l, err = net.Listen("tcp", localAddress(port)); err != nil { // in the server's stead
		t.Fatal(err)
	}
	if err := b.Preflight(ctx, req, []managed.Handle{h}); err != nil {
		t.Errorf("held by what is replaced: %v", err)
	}
	if e, err := b.Endpoint(ctx, h, managed.PortMain); err != nil || e != localEndpoint(port) {
		t.Errorf("%+v %v", e, err)
	}
	if _, err := b.Endpoint(ctx, h, "web"); managed.ClassOf(err) != managed.ClassNotFound {
		t.Error(err)
	}
	conn, err := b.Dial(ctx, h, managed.PortMain)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	_ = l.Close()
	if _, err := b.Dial(ctx, h, managed.PortMain); managed.ClassOf(err) != managed.ClassTransient {
		t.Error(err)
	}
	mustRun(t, b, request(2, "sleep", "1000"))
	for sel, want := range map[managed.Selector]int{
		{}: 3, {Namespace: "default"}: 3, {Namespace: "default", Cluster: "Sim"}: 3, {Cluster: "Sim"}: 3, {Cluster: "sim"}: 0,
		{Namespace: "default", Cluster: "Sim", Role: managed.RoleServer}: 1, {Role: managed.RoleServer}: 1, {Role: managed.RoleWorker}: 2,
		{Namespace: "default", Cluster: "Sim", Pool: "workers"}: 2, {Pool: "workers"}: 2, {Pool: "other"}: 0, {Namespace: "x"}: 0,
		{Pool: "workers", Role: managed.RoleServer}: 0,
	} {
		inv, err := b.List(ctx, sel)
		if err != nil || len(inv.Containers) != want {
			t.Errorf("%+v: %d, want %d, %v", sel, len(inv.Containers), want, err)
		}
		for _, c := range inv.Containers {
			if labels, _ := managed.ParseLabels(c.Labels); !sel.Matches(labels) {
				t.Errorf("%+v lists %+v", sel, labels)
			}
		}
	}
	mustKill(t, b, h)
	if _, err := b.Endpoint(ctx, h, managed.PortMain); managed.ClassOf(err) != managed.ClassNotFound {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestRefusals(t *testing.T) {
	b := newBackend(t)
	ctx := context.Background()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(opts any, command ...string) managed.RunRequest {
		req := request(1, command...)
		req.Spec.Options = opts
		return req
	}
	tests := []struct {
		req       managed.RunRequest
		attribute string
	}{
		{with(nil), "container.command"},
		{with(nil, "no-such-program"), "container.command"},
		{with(nil, "/no/such/program"), "container.command"},
		{with(nil, "./relative"), "container.command"},
		{with(nil, filepath.Join(dir, "plain")), "container.command"},
		{with(nil, dir), "container.command"},
		{with(Options{WorkingDirectory: dir}, "./plain"), "container.command"},
		{with(Options{InheritEnvironment: []string{}}, "sleep"), "container.command"}, // without a PATH
		{with(Options{WorkingDirectory: dir + "/no"}, "sleep"), "process.working_directory"},
		{with(Options{WorkingDirectory: "relative"}, "sleep"), "process.working_directory"},
		{requestIn(managed.Scope{Namespace: "..", Cluster: "a", Pool: "b"}, managed.RoleWorker, 1, "sleep"), ""},
		{requestIn(managed.Scope{Namespace: "a", Cluster: "b/../c", Pool: "b"}, managed.RoleWorker, 1, "sleep"), ""},
		{requestIn(managed.Scope{Namespace: "a", Cluster: "b"}, managed.RoleWorker, 1, "sleep"), ""},
	}
	for _, tt := range tests {
		wantClass(t, b.Preflight(ctx, tt.req, nil), managed.ClassInvalid, tt.attribute)
		wantClass(t, second(b.Run(ctx, tt.req)), managed.ClassInvalid, tt.attribute)
	}
	if err := second(b.List(ctx, managed.Selector{Namespace: "../x"})); managed.ClassOf(err) != managed.ClassInvalid {
		t.Error(err)
	}
	if err := b.KillArtifacts(ctx, []managed.Artifact{{Kind: "folder", ID: "../../x"}, {Kind: "secret", ID: "/etc/passwd"}, {Kind: "network", ID: "n"}}); err != nil {
		t.Error(err)
	}
	if _, err := b.Tail(ctx, "1-1", 10); managed.ClassOf(err) != managed.ClassNotFound {
		t.Error(err)
	}
	for _, err := range []error{second(b.Run(canceled(), request(1, "sleep", "1"))), second(b.Status(canceled(), nil)), b.Prepare(canceled(), poolScope, nil)} {
		if managed.ClassOf(err) != managed.ClassCanceled || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestValidate(t *testing.T) {
	b := newBackend(t)
	spec := managed.ContainerSpec{
		Image: "ignored", Command: []string{"x"}, Hardware: managed.Hardware{CPU: 1024, Memory: 100},
		Ports: []managed.Port{{Name: "main", Number: 1, Publish: &managed.Publish{}}},
	}
	if p := b.Validate(managed.RoleServer, spec); len(p) != 1 || !p[0].Warning || p[0].Attribute != "publish" {
		t.Errorf("%+v", p)
	}
	bad := managed.ContainerSpec{
		Hardware:   managed.Hardware{CPU: -1, Memory: 1 << 40, GPUs: 1, ID: "m5"},
		StopSignal: "SIGFOO", StopGrace: -1, Environment: map[string]string{"a.b": ""},
		Ports: []managed.Port{{Number: 70000}},
	}
	var got []string
	for _, p := range b.Validate(managed.RoleWorker, bad) {
		got = append(got, p.Attribute)
	}
	want := "container.command hardware.cpu hardware.memory hardware.gpus hardware.id port container.environment container.stop_signal stop_grace_period"
	if strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
}
