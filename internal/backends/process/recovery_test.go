// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func TestLostSupervisor(t *testing.T) {
	b := newBackend(t)
	h := mustRun(t, b, request(1, "sleep", "1000"))[0]
	e, err := b.findOne(h)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(e.run.supervisor.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the supervisor is gone", func() bool { return !alive(t, e.run.supervisor.pid) })
	if o := observe1(t, b, h); o.Status != managed.StatusRunning {
		t.Errorf("%+v", o)
	}
	if err := syscall.Kill(pidOf(t, h), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if o := stopped(t, b, h); o.ExitCode != nil || o.Reason != "ended; how is not known" {
		t.Errorf("%+v", o)
	}
}

// half makes a container as a crash of Run can leave it.
func half(t *testing.T, b *Backend, age time.Duration) *entry {
	t.Helper()
	req := request(1, "sleep", "1000")
	p, err := b.newPlan(req)
	if err != nil {
		t.Fatal(err)
	}
	boot, err := b.table.boot()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ensureRoot(); err != nil {
		t.Fatal(err)
	}
	e := (&launch{b: b, p: p, boot: boot}).newEntry(b.containerID(req, 0))
	e.rec.CreatedAt = time.Now().Add(-age)
	if err := e.create(); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestNeverStarted(t *testing.T) {
	b := newBackend(t)
	young, old := half(t, b, 0), half(t, b, time.Minute)
	if o := observe1(t, b, young.handle()); o.Status != managed.StatusInitializing {
		t.Errorf("%+v", o)
	}
	if o := observe1(t, b, old.handle()); o.Status != managed.StatusStopped || o.Reason != "was never started" {
		t.Errorf("%+v", o)
	}
	// A Run that is sent again completes both kinds.
	for _, e := range []*entry{young, old} {
		req := request(1, "sleep", "1000")
		req.Token = e.rec.Token
		h := mustRun(t, b, req)[0]
		if o := observe1(t, b, e.provisional()); o.Status != managed.StatusRunning {
			t.Errorf("by its first handle: %+v", o)
		}
		mustKill(t, b, e.provisional())
		if observe1(t, b, h).Known || alive(t, pidOf(t, h)) {
			t.Error("it is still there")
		}
	}
}

// TestLateShell lets a shell begin only after Kill.
func TestLateShell(t *testing.T) {
	b := newBackend(t)
	e := half(t, b, 0)
	if err := b.announce(e); err != nil { // the first step of Kill
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	shell := func() {
		args := supervisorArgs(b.shell, b.table.stamp(), e.dir, "022", e.id, []string{"/bin/sh", "-c", "echo ran >" + out})
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.StartProcess(b.shell, args, &os.ProcAttr{
			Files: []*os.File{null, null, null, null},
			Sys:   &syscall.SysProcAttr{Setsid: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = null.Close()
		if _, err := p.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	shell() // sees the stop file
	mustKill(t, b, e.handle())
	shell() // sees no folder
	if _, err := os.Stat(out); err == nil {
		t.Error("the program ran")
	}
	if files := filesBelow(t, e.place.dir); len(files) > 0 {
		t.Errorf("left %v", files)
	}
}

func TestRestartAndOtherMachine(t *testing.T) {
	b := newBackend(t)
	h := mustRun(t, b, request(1, "sleep", "1000"))[0]
	other, err := New(Config{Root: b.root})
	if err != nil {
		t.Fatal(err)
	}
	other.hereOnce.Do(func() {})
	other.table = rebooted{b.table}
	if o := observe1(t, other, h); o.Status != managed.StatusStopped || o.Reason != "the machine was restarted" {
		t.Errorf("%+v", o)
	}
	if b.where().machine != "" {
		other.here = here{machine: "another", host: "node2"}
		if o := observe1(t, other, h); o.Status != managed.StatusRunning || o.Node != b.where().host {
			t.Errorf("%+v", o)
		}
		if err := other.Kill(context.Background(), []managed.Handle{h}); managed.ClassOf(err) != managed.ClassPermission {
			t.Errorf("%v", err)
		}
		other.here = here{}
	}
	// After a restart another process may have the pid; it is not touched.
	mustKill(t, other, h)
	if !alive(t, pidOf(t, h)) {
		t.Fatal("a process of another boot was killed")
	}
	_ = syscall.Kill(pidOf(t, h), syscall.SIGKILL)
}

type rebooted struct{ procTable }

func (rebooted) boot() (string, error) { return "another", nil }

// TestSameTokenAfterKill has a second program make a container anew under the
// id that the first one remembers.
func TestSameTokenAfterKill(t *testing.T) {
	b := newBackend(t)
	other, err := New(Config{Root: b.root})
	if err != nil {
		t.Fatal(err)
	}
	req := request(1, "sleep", "1000")
	first := mustRun(t, b, req)[0]
	mustKill(t, other, first)
	second := mustRun(t, other, req)[0]
	if first == second {
		t.Fatal("a handle was used again")
	}
	inv, err := b.List(context.Background(), managed.Selector{})
	if err != nil || len(inv.Containers) != 1 || inv.Containers[0].Handle != second || inv.Containers[0].Status != managed.StatusRunning {
		t.Errorf("%+v %v", inv.Containers, err)
	}
	mustKill(t, b, first)
	if observe1(t, b, first).Known || !observe1(t, b, second).Known {
		t.Error("the first handle is known, or has killed the second")
	}
}

// TestTogether has two programs run, kill and clean in one scope.
func TestTogether(t *testing.T) {
	b := newBackend(t)
	other, err := New(Config{Root: b.root})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var wg sync.WaitGroup
	for _, b := range []*Backend{b, other, b, other} {
		wg.Go(func() {
			for range 10 {
				err := b.Prepare(ctx, poolScope, nil)
				handles, runErr := b.Run(ctx, request(2, "sleep", "1000"))
				_, listErr := b.List(ctx, managed.Selector{Namespace: "default"})
				secretErr := b.PutSecret(ctx, serverScope, []byte("x"), nil)
				err = errors.Join(err, runErr, listErr, secretErr, b.Kill(ctx, handles), b.DeleteSecret(ctx, serverScope), b.cleanup(ctx, poolScope, true))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := b.cleanup(ctx, serverScope, true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.root); !os.IsNotExist(err) {
		t.Errorf("left %v", filesBelow(t, b.root))
	}
}

// TestOtherSystems lives a life with ps in place of /proc.
func TestOtherSystems(t *testing.T) {
	if _, err := os.Stat(psProgram); err != nil {
		t.Skip("no ps")
	}
	b := newBackend(t)
	b.table = psTable{}
	handles := mustRun(t, b, request(3, "sleep", "1000"))
	for _, h := range handles {
		if o := observe1(t, b, h); o.Status != managed.StatusRunning || time.Since(o.StartedAt).Abs() > 10*time.Second {
			t.Errorf("%+v", o)
		}
	}
	if err := syscall.Kill(pidOf(t, handles[0]), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if o := stopped(t, b, handles[0]); o.ExitCode == nil || *o.ExitCode != 137 {
		t.Errorf("%+v", o)
	}
	mustKill(t, b, handles...)
	for _, h := range handles {
		if alive(t, pidOf(t, h)) {
			t.Errorf("%s is alive", h)
		}
	}
	if mask := (psTable{}).umask(); mask != newProcTable().umask() {
		t.Error(mask)
	}
}
