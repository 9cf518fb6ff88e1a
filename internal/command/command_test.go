// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package command_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/command"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

var update = flag.Bool("update", false, "write the golden files anew")

// selfVariable makes the test program the program itself, for the containers
// of the tests.
const selfVariable = "COMMAND_TEST_IS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(selfVariable) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := command.App{}.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// world is a root folder of the process backend, and what runs in it.
type world struct {
	t    *testing.T
	root string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	for _, name := range []string{"DOCKERPARALLEL_BACKEND", "DOCKERPARALLEL_PROCESS_ROOT"} {
		t.Setenv(name, "")
	}
	w := &world{t: t, root: filepath.Join(t.TempDir(), "root")}
	t.Cleanup(func() {
		m := w.manager("")
		all, err := m.Leftovers(context.Background(), managed.Selector{})
		if err == nil {
			err = m.Sweep(context.Background(), all)
		}
		if err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return w
}

func (w *world) manager(owner string) *managed.Manager {
	w.t.Helper()
	b, err := backends.New(backends.Config{Process: &process.Config{Root: w.root}})
	if err != nil {
		w.t.Fatal(err)
	}
	return managed.NewManager(b, managed.Options{Owner: owner})
}

// program is a template that runs this very program.
func (w *world) program(args ...string) managed.Template {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	return managed.Template{
		Command: append([]string{self}, args...),
		// The race detector lets a program sleep a second at its end.
		Environment: map[string]string{selfVariable: "1", "GORACE": "atexit_sleep_ms=0"},
		StopGrace:   2 * time.Second,
	}
}

func (w *world) server(owner, namespace, cluster, password string) managed.Server {
	w.t.Helper()
	fw, err := frameworks.New("custom", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := w.manager(owner).RunServer(w.t.Context(), managed.ServerRequest{
		Scope: managed.Scope{Namespace: namespace, Cluster: cluster}, Framework: fw, Password: managed.Secret(password),
		Server: managed.ServerSpec{Template: w.program("serve-port"), SameLAN: true}, Create: true, OnExisting: managed.OnExistingError,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// pool of a cluster in the namespace "default".
func (w *world) pool(owner, cluster, pool string, workers, maxWorkers int) []managed.Handle {
	w.t.Helper()
	return w.poolOf(w.program("sleep"), owner, cluster, pool, workers, maxWorkers)
}

func (w *world) poolOf(worker managed.Template, owner, cluster, pool string, workers, maxWorkers int) []managed.Handle {
	w.t.Helper()
	m := w.manager(owner)
	scope := managed.Scope{Namespace: "default", Cluster: cluster}
	server, err := m.ConnectServer(w.t.Context(), scope, "")
	if err != nil {
		w.t.Fatal(err)
	}
	fw, err := frameworks.New("custom", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	scope.Pool = pool
	r, err := m.SetWorkerNumber(w.t.Context(), managed.PoolRequest{
		Scope: scope, Framework: fw, Server: server, Worker: worker, MaxWorkers: maxWorkers,
		Workers: workers, MinWorkers: workers, WaitFor: managed.WaitForRunning, OnExit: managed.OnExitReplace,
		ScaleIn: managed.ScaleIn("newest"), Gang: managed.GangSoft, Create: true, OnExisting: managed.OnExistingError,
		Update: managed.UpdatePolicy{Strategy: managed.StrategyRolling, MaxUnavailable: 1},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Slots
}

// result of a command line.
type result struct {
	code     int
	out, err string
}

// run runs a command line in this world, with nobody at a terminal.
func (w *world) run(args ...string) result {
	w.t.Helper()
	return w.runAt("", false, args...)
}

// runAt runs a command line with input, which is typed at a terminal or not.
func (w *world) runAt(input string, terminal bool, args ...string) result {
	w.t.Helper()
	return run(w.t.Context(), command.App{Terminal: func(any) bool { return terminal }}, input, append(args, "--process-root", w.root)...)
}

func run(ctx context.Context, app command.App, input string, args ...string) result {
	var out, err bytes.Buffer
	code := app.Run(ctx, args, strings.NewReader(input), &out, &err)
	return result{code, out.String(), err.String()}
}

func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", r.code, code, r.out, r.err)
	}
	return r
}

func (r result) says(t *testing.T, words ...string) result {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(r.err, word) {
			t.Errorf("stderr does not say %q:\n%s", word, r.err)
		}
	}
	return r
}

// golden compares text with a file, in which what differs from run to run is
// named.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = steady(got)
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s\nwant:\n%s", path, got, want)
	}
}

// steady replaces what differs from run to run, and the blanks after it,
// which depend on its length.
func steady(s string) string {
	for _, r := range []struct{ pattern, by string }{
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "TIME"},
		{`\b\d+-[0-9a-z]+\b`, "HANDLE"},
		{`127\.0\.0\.1:\d+`, "ADDRESS"},
		{`"(private|public)_port": \d+`, `"${1}_port": PORT`},
		{`"launch": "[a-z0-9]{16}"`, `"launch": "LAUNCH"`},
		{`(\s)\d+s(\s)`, "${1}AGE${2}"},
		{`(HANDLE|TIME|ADDRESS|AGE) +`, "$1 "},
	} {
		s = regexp.MustCompile(r.pattern).ReplaceAllString(s, r.by)
	}
	return s
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"unknown command", []string{"lst"}, 2, `there is no command "lst"`},
		{"unknown flag", []string{"list", "--wide"}, 2, "-wide"},
		{"unknown backend", []string{"list", "--backend", "cloud"}, 2, "choose one of docker, process"},
		{"too many arguments", []string{"list", "sim"}, 2, "list takes no argument"},
		{"no name", []string{"credentials"}, 2, "credentials needs a NAME"},
		{"two names", []string{"credentials", "a", "b"}, 2, "takes one NAME, but there are 2"},
		{"empty name", []string{"credentials", "@launch"}, 2, "may not be empty"},
		{"empty namespace", []string{"credentials", "a", "--namespace="}, 2, "may not be empty"},
		{"unknown shell", []string{"credentials", "a", "--shell", "csh"}, 2, "choose one of sh, fish, powershell"},
		{"two forms", []string{"credentials", "a", "--json", "--show-url"}, 2, "do not go together"},
		{"sweep everything", []string{"sweep", "--yes"}, 2, "at least one of"},
		{"sweep an empty namespace", []string{"sweep", "--yes", "--namespace", ""}, 2, "may not be empty"},
		{"sweep without a terminal", []string{"sweep", "--owner", "o"}, 2, "add --yes"},
		{"sweep an age", []string{"sweep", "--older-than", "old", "--yes"}, 2, "30m, 2h or 7d"},
		{"help for nothing", []string{"help", "lst"}, 2, `there is no command "lst"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newWorld(t).run(test.args...).want(t, test.code).says(t, "Error: ", test.says, "help")
			if r.out != "" {
				t.Errorf("stdout is not empty: %s", r.out)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	app := command.App{Version: "1.2.3"}
	for _, args := range [][]string{{}, {"help"}, {"-h"}, {"--help"}} {
		golden(t, "help", run(t.Context(), app, "", args...).want(t, 0).out)
	}
	t.Setenv("DOCKERPARALLEL_BACKEND", "")
	t.Setenv("DOCKERPARALLEL_PROCESS_ROOT", "")
	for _, name := range []string{"list", "credentials", "sweep", "conformance", "version"} {
		out := run(t.Context(), app, "", "help", name).want(t, 0).out
		if again := run(t.Context(), app, "", name, "--help").want(t, 0).out; again != out {
			t.Errorf("%s --help is not help %s", name, name)
		}
		golden(t, "help-"+name, out)
		for line := range strings.Lines(out) {
			if len(line) > 81 {
				t.Errorf("help %s has a line of %d characters: %s", name, len(line)-1, line)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	app := command.App{Version: "1.2.3", Commit: "abc"}
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if out := run(t.Context(), app, "", args...).want(t, 0).out; !strings.HasPrefix(out, "terraform-provider-dockerparallel 1.2.3 (abc)\n") {
			t.Errorf("%v says %q", args, out)
		}
	}
	out := run(t.Context(), app, "", "version", "--json").want(t, 0).out
	if !strings.Contains(out, `"version": "1.2.3"`) || !strings.Contains(out, `"commit": "abc"`) {
		t.Errorf("version --json says %s", out)
	}
}

// The backend may be named by variables, too.
func TestVariables(t *testing.T) {
	w := newWorld(t)
	w.server("", "default", "sim", "")
	t.Setenv("DOCKERPARALLEL_PROCESS_ROOT", w.root)
	if out := run(t.Context(), command.App{}, "", "list").want(t, 0).out; !strings.Contains(out, "sim") {
		t.Errorf("list does not read DOCKERPARALLEL_PROCESS_ROOT: %s", out)
	}
	t.Setenv("DOCKERPARALLEL_BACKEND", "cloud")
	run(t.Context(), command.App{}, "", "list").want(t, 2).says(t, `there is no backend "cloud"`)
}

// A root that cannot be read is a failure, and not an empty list.
func TestBackendFails(t *testing.T) {
	w := newWorld(t)
	w.root = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(w.root, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(w.root) // for the world's own clean-up
	for _, args := range [][]string{{"list"}, {"credentials", "sim"}, {"sweep", "--all", "--yes"}} {
		w.run(args...).want(t, 1).says(t, "Error: ", w.root)
	}
}
