// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func TestMain(m *testing.M) {
	if root := os.Getenv(crashRoot); root != "" {
		crashHelper(root)
		return
	}
	if conformanceRole(os.Args) {
		return
	}
	os.Exit(m.Run())
}

var (
	serverScope = managed.Scope{Namespace: "default", Cluster: "Sim"}
	poolScope   = managed.Scope{Namespace: "default", Cluster: "Sim", Pool: "workers"}
)

// newBackend has a root of its own, and leaves no process behind.
func newBackend(t testing.TB) *Backend {
	t.Helper()
	b, err := New(Config{Root: filepath.Join(t.TempDir(), "root")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killEverything(t, b) })
	return b
}

func killEverything(t testing.TB, b *Backend) {
	t.Helper()
	inv, err := b.List(context.Background(), managed.Selector{})
	if err != nil {
		t.Error(err)
		return
	}
	if err := b.Kill(canceled(), handlesOf(inv)); err != nil {
		t.Error(err)
	}
}

// canceled is a context that leaves a Kill no grace.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func handlesOf(inv managed.Inventory) []managed.Handle {
	var handles []managed.Handle
	for _, c := range inv.Containers {
		handles = append(handles, c.Handle)
	}
	return handles
}

// request for workers that run the command.
func request(count int, command ...string) managed.RunRequest {
	return requestIn(poolScope, managed.RoleWorker, count, command...)
}

func requestIn(scope managed.Scope, role managed.Role, count int, command ...string) managed.RunRequest {
	token := "token-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	return managed.RunRequest{
		Scope: scope, Role: role, Count: count, Token: token,
		Spec: managed.ContainerSpec{
			Command: command, Workers: 1, StopGrace: 5 * time.Second,
			Labels: managed.Labels{
				Namespace: scope.Namespace, Cluster: scope.Cluster, Pool: scope.Pool, Role: role,
				Owner: "me", Workers: 1, Token: token, Launch: "l1", Framework: "custom", SpecHash: "abc",
				Record: managed.Record{Spec: []byte(`{"image":"x","command":["` + strings.Repeat("y", 700) + `"]}`)}.String(),
			}.Map(),
		},
	}
}

func mustRun(t testing.TB, b *Backend, req managed.RunRequest) []managed.Handle {
	t.Helper()
	handles, err := b.Run(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	if len(handles) != req.Count {
		t.Fatalf("%d handles for %d containers", len(handles), req.Count)
	}
	return handles
}

func mustKill(t testing.TB, b *Backend, handles ...managed.Handle) {
	t.Helper()
	if err := b.Kill(context.Background(), handles); err != nil {
		t.Fatal(err)
	}
}

func observe1(t testing.TB, b *Backend, h managed.Handle) managed.Observation {
	t.Helper()
	status, err := b.Status(context.Background(), []managed.Handle{h})
	if err != nil {
		t.Fatal(err)
	}
	return status[h]
}

// eventually polls, for at most ten seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for !ok() {
		if ctx.Err() != nil {
			t.Fatalf("not within 10 s: %s", what)
		}
		pause(ctx, 2*time.Millisecond)
	}
}

func stopped(t testing.TB, b *Backend, h managed.Handle) managed.Observation {
	t.Helper()
	var o managed.Observation
	eventually(t, "the process stops", func() bool {
		o = observe1(t, b, h)
		return o.Known && o.Status == managed.StatusStopped
	})
	return o
}

func pidOf(t testing.TB, h managed.Handle) int {
	t.Helper()
	pid, _, _ := strings.Cut(string(h), "-")
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatalf("handle %s: %v", h, err)
	}
	return n
}

func alive(t testing.TB, pid int) bool {
	t.Helper()
	live, err := newProcTable().lookup([]int{pid})
	if err != nil {
		t.Fatal(err)
	}
	info, ok := live[pid]
	return ok && !info.dead
}

func logOf(t testing.TB, b *Backend, h managed.Handle) string {
	t.Helper()
	lines, err := b.Tail(context.Background(), h, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func wantClass(t testing.TB, err error, class managed.Class, attribute string) {
	t.Helper()
	if managed.ClassOf(err) != class || managed.AttributeOf(err) != attribute {
		t.Fatalf("class %q, attribute %q, want %q, %q: %v", managed.ClassOf(err), managed.AttributeOf(err), class, attribute, err)
	}
}

func filesBelow(t testing.TB, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err == nil && path != root {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

func TestLife(t *testing.T) {
	b := newBackend(t)
	ctx := context.Background()
	before := time.Now()
	req := request(3, "sleep", "100")
	handles := mustRun(t, b, req)
	for _, h := range handles {
		o := observe1(t, b, h)
		if o.Status != managed.StatusRunning || !o.Known || o.ExitCode != nil {
			t.Errorf("%s: %+v", h, o)
		}
		// The system counts in hundredths of a second.
		if d := o.StartedAt.Sub(before); d < -time.Second || d > 5*time.Second {
			t.Errorf("started %v after the test", d)
		}
		if o.CreatedAt.Before(before) {
			t.Errorf("created %v, before the test", o.CreatedAt)
		}
	}
	inv, err := b.List(ctx, managed.Selector{Namespace: "default"})
	if err != nil || len(inv.Containers) != 3 {
		t.Fatalf("%d listed: %v", len(inv.Containers), err)
	}
	for _, c := range inv.Containers {
		if !slices.Contains(handles, c.Handle) || !maps.Equal(c.Labels, req.Spec.Labels) {
			t.Errorf("listed %s with %v", c.Handle, c.Labels)
		}
	}
	mustKill(t, b, append(handles, handles[0], "1-1", "new-nothing", "nonsense")...)
	for _, h := range handles {
		if observe1(t, b, h).Known || alive(t, pidOf(t, h)) {
			t.Errorf("%s is still known or alive", h)
		}
	}
	if err := b.cleanup(ctx, poolScope, false); err != nil {
		t.Fatal(err)
	}
	if files := filesBelow(t, b.root); len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
	mustKill(t, b, handles...)
}

func TestExitCodes(t *testing.T) {
	for _, shell := range shells(t) {
		t.Run(filepath.Base(filepath.Dir(shell)), func(t *testing.T) {
			b := newBackend(t)
			b.shell = shell
			tests := []struct {
				script string
				signal syscall.Signal
				code   int
				reason string
			}{
				{"exit 0", 0, 0, "exited with code 0"},
				{"exit 3", 0, 3, "exited with code 3"},
				{"exec sleep 100", syscall.SIGKILL, 137, "killed by SIGKILL"},
				{"exec sleep 100", syscall.SIGTERM, 143, "killed by SIGTERM"},
				{"exec sleep 100", syscall.SIGINT, 130, "killed by SIGINT"},
				{"exec sleep 100", syscall.SIGQUIT, 131, "killed by SIGQUIT"},
				{"kill -SEGV $$", 0, 139, "killed by SIGSEGV"},
			}
			for _, tt := range tests {
				h := mustRun(t, b, request(1, "sh", "-c", tt.script))[0]
				if tt.signal != 0 {
					// The whole group, as a stop signal is sent: the supervisor has to survive it.
					target := pidOf(t, h)
					if tt.signal != syscall.SIGKILL {
						e, err := b.findOne(h)
						if err != nil {
							t.Fatal(err)
						}
						target = -e.run.supervisor.pid
					}
					eventually(t, "exec", func() bool { return programOf(t, h) == "sleep" })
					if err := syscall.Kill(target, tt.signal); err != nil {
						t.Fatal(err)
					}
				}
				o := stopped(t, b, h)
				if o.ExitCode == nil || *o.ExitCode != tt.code || o.Reason != tt.reason || o.FinishedAt.IsZero() {
					t.Errorf("%s, signal %d: code %v, %q, finished %v", tt.script, tt.signal, o.ExitCode, o.Reason, o.FinishedAt)
				}
			}
		})
	}
}

// programOf is what the worker runs; where there is no /proc, it is guessed.
func programOf(t *testing.T, h managed.Handle) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pidOf(t, h)))
	if err != nil {
		return "sleep"
	}
	program, _, _ := strings.Cut(string(data), "\x00")
	return filepath.Base(program)
}

// shells are all that this machine has, each under the name sh.
func shells(t *testing.T) []string {
	t.Helper()
	found := []string{shellProgram}
	for _, name := range []string{"dash", "bash", "busybox", "ksh", "mksh"} {
		if path, err := lookPath(name, "", os.Environ()); err == nil {
			link := filepath.Join(t.TempDir(), name, "sh")
			if err := os.Mkdir(filepath.Dir(link), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			found = append(found, link)
		}
	}
	return found
}

func TestEnvironment(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "theirs")
	t.Setenv("LICENSE_FILE", "/opt/license")
	b := newBackend(t)
	req := request(1, "env")
	req.Spec.Environment = map[string]string{"PLAIN": "a b\nc", "LANG": "xx"}
	req.Spec.SecretEnvironment = map[string]string{"DP_PASSWORD": "s3cr3t"}
	h := mustRun(t, b, req)[0]
	stopped(t, b, h)
	log := logOf(t, b, h)
	for _, want := range []string{"PLAIN=a b\nc", "DP_PASSWORD=s3cr3t", "LANG=xx", "PATH=" + os.Getenv("PATH"), "HOME="} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	if strings.Contains(log, "theirs") || strings.Contains(log, "LICENSE") {
		t.Errorf("the provider's environment got through:\n%s", log)
	}
	e, err := b.findOne(h)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(e.dir, recordFile))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "s3cr3t") || strings.Contains(string(data), "a b") {
		t.Errorf("the record holds values of the environment: %s", data)
	}
	req = request(1, "env")
	req.Spec.Options = &Options{InheritEnvironment: []string{"PATH", "LICENSE_FILE"}}
	h = mustRun(t, b, req)[0]
	stopped(t, b, h)
	if log := logOf(t, b, h); !strings.Contains(log, "LICENSE_FILE=/opt/license") || strings.Contains(log, "\nHOME=") {
		t.Errorf("inherited:\n%s", log)
	}
}

func TestArgumentsAndDirectory(t *testing.T) {
	b := newBackend(t)
	args := []string{"a b", "", "$HOME", "`id`", "'\"\\", "-x", "line\nbreak", "*"}
	req := request(1, args...)
	req.Spec.Entrypoint = []string{"sh", "-c", `pwd; umask; for a; do printf '<%s>' "$a"; done`, "sh"}
	h := mustRun(t, b, req)[0]
	stopped(t, b, h)
	e, err := b.findOne(h)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(e.dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	mask := syscall.Umask(0o22)
	syscall.Umask(mask)
	want := fmt.Sprintf("%s\n%04o\n<%s>", e.dir, mask, strings.Join(args, "><"))
	if string(log) != want {
		t.Errorf("got\n%s\nwant\n%s", log, want)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prog"), []byte("#!/bin/sh\npwd\nread x || echo no input\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	req = request(1, "./prog")
	req.Spec.Options = Options{WorkingDirectory: dir}
	h = mustRun(t, b, req)[0]
	stopped(t, b, h)
	if log := logOf(t, b, h); log != dir+"\nno input" {
		t.Errorf("log %q", log)
	}
	var modes []string
	for _, file := range filesBelow(t, b.root) {
		info, err := os.Lstat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			modes = append(modes, file+" "+info.Mode().String())
		}
	}
	if len(modes) > 0 {
		t.Errorf("others may read %v", modes)
	}
}

func TestOneTokenStartsOnce(t *testing.T) {
	b := newBackend(t)
	req := request(4, "sleep", "100")
	first := mustRun(t, b, req)
	again, err := New(Config{Root: b.root}) // another provider process
	if err != nil {
		t.Fatal(err)
	}
	more := req
	more.Count = 6
	second := mustRun(t, again, more)
	for _, h := range first {
		if !slices.Contains(second, h) {
			t.Errorf("%s is missing in %v", h, second)
		}
	}
	if inv, err := b.List(context.Background(), managed.Selector{}); err != nil || len(inv.Containers) != 6 {
		t.Errorf("%d containers, %v", len(inv.Containers), err)
	}
	// Two at once with a new token.
	req = request(8, "sleep", "100")
	results := make(chan []managed.Handle, 2)
	for _, backend := range []*Backend{b, again} {
		go func() {
			handles, err := backend.Run(context.Background(), req)
			if err != nil {
				t.Error(err)
			}
			slices.Sort(handles)
			results <- handles
		}()
	}
	if a, b := <-results, <-results; len(a) != 8 || !slices.Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
}
