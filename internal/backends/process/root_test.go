// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func TestRoot(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil { //nolint:gosec // it is the point
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	roots := []string{open, file, filepath.Join(file, "below")}
	if os.Geteuid() == 0 {
		theirs := filepath.Join(dir, "theirs")
		if err := errors.Join(os.Mkdir(theirs, 0o700), os.Chown(theirs, 12345, 12345)); err != nil {
			t.Fatal(err)
		}
		roots = append(roots, theirs)
	}
	for _, root := range roots {
		b, err := New(Config{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			b.Prepare(ctx, poolScope, nil), b.Preflight(ctx, request(1, "sleep"), nil), second(b.Run(ctx, request(1, "sleep"))),
			second(b.List(ctx, managed.Selector{})), b.PutSecret(ctx, serverScope, nil, nil),
		} {
			wantClass(t, err, managed.ClassPermission, "process.root")
			if !strings.Contains(err.Error(), root) {
				t.Error(err)
			}
		}
	}
	t.Setenv("XDG_STATE_HOME", "/state")
	if root, err := (Config{}).rootFolder(); err != nil || root != "/state/dockerparallel" {
		t.Error(root, err)
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/me")
	if root, err := (Config{}).rootFolder(); err != nil || root != "/home/me/.local/state/dockerparallel" {
		t.Error(root, err)
	}
	for _, name := range []string{"Sim", "a_B-c", "0"} {
		if back, ok := nameOfFolder(folderName(name)); !ok || back != name {
			t.Errorf("%s: %s", name, back)
		}
	}
}

func TestSecretsAndArtifacts(t *testing.T) {
	b := newBackend(t)
	ctx := context.Background()
	labels := managed.Labels{Namespace: "default", Cluster: "Sim", Owner: "me"}.Map()
	get := func(s managed.Scope, want string) {
		t.Helper()
		if v, err := b.GetSecret(ctx, s); err != nil || string(v) != want || (v == nil) != (want == "") {
			t.Errorf("%q %v", v, err)
		}
	}
	get(serverScope, "")
	for _, value := range []string{"one", "two"} {
		if err := errors.Join(b.PutSecret(ctx, serverScope, []byte(value), labels), b.PutSecret(ctx, poolScope, []byte("p"+value), labels)); err != nil {
			t.Fatal(err)
		}
	}
	get(serverScope, "two")
	get(poolScope, "ptwo")
	if info, err := os.Stat(b.secretPath(serverScope)); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	lost := filepath.Join(b.clusterFolder("default", "Sim"), serverFolder, "lost")
	building := filepath.Join(b.clusterFolder("default", "Sim"), poolsFolder, "workers", buildingPrefix+"1")
	if err := errors.Join(os.MkdirAll(lost, 0o700), os.MkdirAll(building, 0o700)); err != nil {
		t.Fatal(err)
	}
	if inv, err := b.List(ctx, managed.Selector{}); err != nil || len(inv.Artifacts) != 2 {
		t.Errorf("%+v %v", inv, err) // the folders may be in use
	}
	age(t, lost)
	age(t, building)
	inv, err := b.List(ctx, managed.Selector{Namespace: "default"})
	if err != nil || len(inv.Artifacts) != 4 {
		t.Fatalf("%+v %v", inv, err)
	}
	for _, a := range inv.Artifacts {
		l, ok := managed.ParseLabels(a.Labels)
		if !ok || l.Cluster != "Sim" || a.CreatedAt.IsZero() || a.Kind == kindSecret && l.Owner != "me" {
			t.Errorf("%+v", a)
		}
	}
	if err := b.KillArtifacts(ctx, append(inv.Artifacts, inv.Artifacts...)); err != nil {
		t.Error(err)
	}
	get(serverScope, "")
	if err := errors.Join(b.DeleteSecret(ctx, serverScope), b.cleanup(ctx, poolScope, false), b.cleanup(ctx, serverScope, false)); err != nil {
		t.Error(err)
	}
	if files := filesBelow(t, b.root); len(files) > 0 {
		t.Error(files)
	}
	for range 2 {
		if err := b.cleanup(ctx, serverScope, true); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(b.root); !os.IsNotExist(err) {
		t.Error("the root is there")
	}
}

func TestTail(t *testing.T) {
	b := newBackend(t)
	h := mustRun(t, b, request(1, "sh", "-c", `printf 'one\ntwo\r\n\033[31mred\a\n' ; echo err >&2; head -c 100000 /dev/zero | tr '\0' x; echo; printf 'last'`))[0]
	stopped(t, b, h)
	// So few bytes are read that the long line before the last has no beginning.
	if lines, err := b.Tail(context.Background(), h, 2); err != nil || len(lines) != 1 || lines[0] != "last" {
		t.Errorf("%.80q %v", lines, err)
	}
	if lines, err := b.Tail(context.Background(), h, 0); err != nil || len(lines) != 0 {
		t.Errorf("%.80q %v", lines, err)
	}
	if lines, err := b.Tail(context.Background(), h, 200); err != nil || len(lines) != 6 ||
		strings.Join(lines[:4], "|") != "one|two|\uFFFD[31mred\uFFFD|err" || lines[4] != strings.Repeat("x", maxTailLine)+"..." || lines[5] != "last" {
		t.Errorf("%.80q %v", lines, err)
	}
}

// TestTornSecretIsGarbage: whoever wrote it was killed before it got its name.
func TestTornSecretIsGarbage(t *testing.T) {
	b := newBackend(t)
	dir := b.clusterFolder("default", "torn")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(dir, buildingPrefix+"1")
	if err := os.WriteFile(torn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if inv, err := b.List(t.Context(), managed.Selector{Artifacts: true}); err != nil || len(inv.Artifacts) != 0 {
		t.Errorf("while it may still be written: %+v, %v", inv.Artifacts, err)
	}
	old := time.Now().Add(-2 * garbageAge)
	if err := os.Chtimes(torn, old, old); err != nil {
		t.Fatal(err)
	}
	inv, err := b.List(t.Context(), managed.Selector{Artifacts: true})
	if err != nil || len(inv.Artifacts) != 1 {
		t.Fatalf("%+v, %v", inv.Artifacts, err)
	}
	if err := b.KillArtifacts(t.Context(), inv.Artifacts); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}
