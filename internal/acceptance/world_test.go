// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package acceptance_test drives the real Terraform or OpenTofu program
// against the built provider, as a person does, for what a test inside one
// process cannot show: crashes, interrupts, leaks.
package acceptance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// world is a private place with a configuration, a state and a backend root.
type world struct {
	t        *testing.T
	id       string // in the environment of every process of this world
	dir      string // the configuration and the state
	root     string // of the process backend
	node     string // the containers' program; its path is unique to this world
	cli      string
	provider string
	// variables are more of the environment of Terraform.
	variables []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	testenv.Need(t, testenv.Acceptance, testenv.Terraform, testenv.Provider)
	dir := t.TempDir()
	w := &world{
		t: t, id: filepath.Base(filepath.Dir(dir)) + filepath.Base(dir) + strconv.FormatInt(time.Now().UnixNano(), 36),
		dir: filepath.Join(dir, "config"), root: filepath.Join(dir, "root"),
		cli: testenv.CLI(t), provider: testenv.ProviderBinary(t),
	}
	must(t, os.MkdirAll(w.dir, 0o700))
	w.node = testenv.Node(t)
	// An override for both registries: the program may be either.
	rc := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"registry.terraform.io/dockerparallel/dockerparallel\" = %q\n    \"registry.opentofu.org/dockerparallel/dockerparallel\" = %q\n  }\n}\n",
		filepath.Dir(w.provider), filepath.Dir(w.provider))
	must(t, os.WriteFile(filepath.Join(dir, "cli.tfrc"), []byte(rc), 0o600))
	t.Cleanup(func() {
		for _, p := range w.processes() { // only after a failure is there anything
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	})
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cluster is the usual configuration: a server and a pool of workers, of
// nobody if owner is "".
func (w *world) cluster(owner string, workers int) {
	w.t.Helper()
	if owner != "" {
		owner = fmt.Sprintf("owner = %q", owner)
	}
	w.write(fmt.Sprintf(`
terraform {
  required_providers { dockerparallel = { source = "dockerparallel/dockerparallel" } }
}
provider "dockerparallel" {
  %s
  process = { root = %q }
}
resource "dockerparallel_cluster" "sim" {
  name      = "sim"
  framework = "custom"
  server = {
    container = { command = [%q, "server"] }
    port      = 0
  }
}
resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.sim.id
  name         = "default"
  worker_count = %d
  container    = { command = [%q, "worker"] }
}
`, owner, w.root, w.node, workers, w.node))
}

func (w *world) write(config string) {
	w.t.Helper()
	must(w.t, os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(config), 0o600))
}

func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, w.cli, args...)
	c.Dir = w.dir
	c.Env = append(os.Environ(),
		"TF_CLI_CONFIG_FILE="+filepath.Join(filepath.Dir(w.dir), "cli.tfrc"),
		"TF_DATA_DIR="+filepath.Join(filepath.Dir(w.dir), "data"),
		"TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "DP_TEST_WORLD="+w.id, "DOCKERPARALLEL_OWNER=", "TFC_WORKSPACE_SLUG=",
	)
	c.Env = append(c.Env, w.variables...)
	// A group of its own, so that a signal to it is like Ctrl-C in a terminal.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.WaitDelay = 10 * time.Second
	return c
}

type result struct {
	code int
	out  string
}

// run waits for the program to end, at most three minutes.
func (w *world) run(args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	c := w.command(ctx, args...)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%s %v: %v\n%s", w.cli, args, err, out)
	}
	return result{code: c.ProcessState.ExitCode(), out: string(out)}
}

func (w *world) mustRun(args ...string) string {
	w.t.Helper()
	r := w.run(args...)
	if r.code != 0 {
		w.t.Fatalf("%v ended with %d:\n%s", args, r.code, r.out)
	}
	return r.out
}

func (w *world) apply() string {
	w.t.Helper()
	return w.mustRun("apply", "-auto-approve", "-no-color", "-input=false")
}

// output is a root output of the configuration, as a string.
func (w *world) output(name string) string {
	w.t.Helper()
	return strings.TrimSpace(w.mustRun("output", "-raw", "-no-color", name))
}

func (w *world) destroy() {
	w.t.Helper()
	w.mustRun("destroy", "-auto-approve", "-no-color", "-input=false")
}

// emptyPlan fails the test unless there is nothing to do.
func (w *world) emptyPlan() {
	w.t.Helper()
	if r := w.run("plan", "-detailed-exitcode", "-no-color", "-input=false"); r.code != 0 {
		w.t.Fatalf("the plan is not empty (exit code %d):\n%s", r.code, r.out)
	}
}

// self runs one of the provider's own commands.
func (w *world) self(args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, w.provider, args...)
	c.Env = append(os.Environ(), "DOCKERPARALLEL_PROCESS_ROOT="+w.root)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return result{code: c.ProcessState.ExitCode(), out: string(out)}
}

// process of this world: a container, what supervises one, Terraform or the
// provider.
type process struct {
	pid  int
	args []string
}

func (p process) is(program, role string) bool {
	return len(p.args) >= 2 && p.args[0] == program && p.args[1] == role
}

// processes reads the process table.
func (w *world) processes() []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")) // a zombie's is empty
		if len(cmdline) == 0 {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if bytes.Contains(cmdline, []byte(filepath.Dir(w.dir))) || bytes.Contains(cmdline, []byte(w.node)) || bytes.Contains(environ, []byte("DP_TEST_WORLD="+w.id)) {
			found = append(found, process{pid, strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")})
		}
	}
	return found
}

// running are the pids of the world's containers of a role, sorted.
func (w *world) running(role string) []int {
	var pids []int
	for _, p := range w.processes() {
		if p.is(w.node, role) {
			pids = append(pids, p.pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// expect fails the test unless one server and exactly so many containers of
// workers run.
func (w *world) expect(workers int) {
	w.t.Helper()
	if s, n := len(w.running("server")), len(w.running("worker")); s != 1 || n != workers {
		w.t.Fatalf("%d servers and %d workers run, want 1 and %d:\n%v", s, n, workers, w.processes())
	}
}

// nothingLeft fails the test unless no process and no file is left within a
// bounded time: a killed provider may need a moment.
func (w *world) nothingLeft() {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		files := w.files()
		if left := w.processes(); len(left) == 0 && len(files) == 0 {
			return
		} else if time.Now().After(deadline) {
			w.t.Fatalf("processes left: %v\nfiles left: %v", left, files)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// files under the backend's root.
func (w *world) files() []string {
	var files []string
	_ = filepath.WalkDir(w.root, func(path string, _ os.DirEntry, err error) error {
		if err == nil && path != w.root {
			files = append(files, path)
		}
		return nil
	})
	return files
}
