// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The operations that are measured, in their order.
const (
	opApply   = "apply"
	opPlan    = "no-change plan"
	opScale   = "scale to 2N"
	opDestroy = "destroy"
)

func operations() []string { return []string{opApply, opPlan, opScale, opDestroy} }

// result of one subject at one size in one round.
type result struct {
	ours    bool
	n       int
	seconds map[string]float64
	// stateBytes of the state file after apply.
	stateBytes int
	// calls of the backend by operation and verb; only in the first round.
	calls map[string]map[string]int
}

// bench is a private place to measure in.
type bench struct {
	dir      string
	cli      string
	env      []string
	versions string
	cliName  string // and its version
	// overrides are lines for other providers that the CLI is not to look for.
	overrides string
}

// newBench has other providers than ours to measure as well, if there are
// overrides of them.
func newBench(ctx context.Context, overrides string) (*bench, error) {
	cli := os.Getenv("TF_ACC_TERRAFORM_PATH")
	for _, name := range []string{"terraform", "tofu"} {
		if cli == "" {
			cli, _ = exec.LookPath(name)
		}
	}
	if cli == "" {
		return nil, errors.New("neither terraform nor tofu is on the PATH, and TF_ACC_TERRAFORM_PATH is not set")
	}
	dir, err := os.MkdirTemp("", "dockerparallel-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, cli: cli, overrides: overrides}
	if err := b.prepare(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

func (b *bench) prepare(ctx context.Context) error {
	for path, pkg := range map[string]string{
		"terraform-provider-dockerparallel": "github.com/dockerparallel/terraform-provider-dockerparallel",
		"node":                              "github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv/node",
	} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(b.dir, path), pkg)
		// Static, so that the node runs in an empty image.
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	rc := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"registry.terraform.io/dockerparallel/dockerparallel\" = %[1]q\n    \"registry.opentofu.org/dockerparallel/dockerparallel\" = %[1]q\n%[2]s  }\n  direct {}\n}\n", b.dir, b.overrides)
	if err := os.WriteFile(filepath.Join(b.dir, "cli.tfrc"), []byte(rc), 0o600); err != nil {
		return err
	}
	b.env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(b.dir, "cli.tfrc"), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	version, err := exec.CommandContext(ctx, b.cli, "version").Output()
	if err != nil {
		return fmt.Errorf("%s version: %w", b.cli, err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	b.cliName = first
	b.versions = fmt.Sprintf("%s, %s, %s/%s, %d CPUs, %s", first, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly))
	return nil
}

// cluster measures this provider. With calls it repeats each operation with a
// log, to count the backend's calls; the times are of runs without one.
func (b *bench) cluster(ctx context.Context, n int, calls bool) (result, error) {
	config := func(n int) string {
		return fmt.Sprintf(`
terraform {
  required_providers { dockerparallel = { source = "dockerparallel/dockerparallel" } }
}
provider "dockerparallel" {
  owner   = "benchmark"
  process = { root = %q }
}
resource "dockerparallel_cluster" "bench" {
  name   = "bench"
  server = {
    container = { command = [%q, "server"] }
    port      = 0
  }
}
resource "dockerparallel_worker_pool" "bench" {
  cluster_id   = dockerparallel_cluster.bench.id
  name         = "default"
  worker_count = %d
  container    = { command = [%q, "worker"] }
}
`, filepath.Join(b.dir, "root"), filepath.Join(b.dir, "node"), n, filepath.Join(b.dir, "node"))
	}
	r, err := b.subject(ctx, "ours", n, config, "")
	if err != nil || !calls {
		return r, err
	}
	logged, err := b.subject(ctx, "ours", n, config, filepath.Join(b.dir, "log"))
	r.calls = logged.calls
	r.ours = true
	return r, err
}

// floor measures Terraform alone, with as many resources that do nothing as
// there are processes.
func (b *bench) floor(ctx context.Context, n int) (result, error) {
	return b.subject(ctx, "floor", n, func(n int) string {
		return fmt.Sprintf("resource \"terraform_data\" \"bench\" {\n  count = %d\n}\n", n+1)
	}, "")
}

func (b *bench) subject(ctx context.Context, name string, n int, config func(int) string, log string) (r result, err error) {
	dir, err := os.MkdirTemp(b.dir, name+"-")
	if err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r = result{ours: name == "ours", n: n, seconds: map[string]float64{}, calls: map[string]map[string]int{}}
	step := func(op string, workers int, args ...string) error {
		if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(config(workers)), 0o600); err != nil {
			return err
		}
		_ = os.Remove(log)
		c := exec.CommandContext(ctx, b.cli, append(args, "-no-color", "-input=false")...)
		c.Dir, c.Env = dir, slices.Concat(b.env, []string{"TF_DATA_DIR=" + filepath.Join(dir, "data")})
		if log != "" {
			c.Env = append(c.Env, "TF_LOG_PROVIDER=DEBUG", "TF_LOG_PATH="+log)
		}
		begun := time.Now()
		out, err := c.CombinedOutput()
		r.seconds[op] = time.Since(begun).Seconds()
		if err != nil {
			return fmt.Errorf("%s %s with %d: %w\n%s", name, op, n, err, out)
		}
		if log != "" {
			r.calls[op], err = countCalls(log)
		}
		return err
	}
	// The floor's provider is built in, but still has to be initialised.
	if name == "floor" {
		if err := step("init", n, "init"); err != nil {
			return r, err
		}
	}
	if err := step(opApply, n, "apply", "-auto-approve"); err != nil {
		return r, err
	}
	// Whatever fails from here on, nothing stays behind.
	defer func() {
		if err != nil {
			ctx := context.WithoutCancel(ctx)
			c := exec.CommandContext(ctx, b.cli, "destroy", "-auto-approve", "-no-color", "-input=false")
			c.Dir, c.Env = dir, slices.Concat(b.env, []string{"TF_DATA_DIR=" + filepath.Join(dir, "data")})
			_ = c.Run()
		}
	}()
	state, err := os.Stat(filepath.Join(dir, "terraform.tfstate"))
	if err != nil {
		return r, err
	}
	r.stateBytes = int(state.Size())
	if err := step(opPlan, n, "plan", "-detailed-exitcode"); err != nil {
		return r, err
	}
	if err := step(opScale, 2*n, "apply", "-auto-approve"); err != nil {
		return r, err
	}
	return r, step(opDestroy, 2*n, "destroy", "-auto-approve")
}

// countCalls reads the provider's log: a line for every backend call.
func countCalls(path string) (map[string]int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	calls := map[string]int{}
	for line := range bytes.Lines(b) {
		if !bytes.Contains(line, []byte("backend call")) {
			continue
		}
		// Terraform writes the fields of a provider's line as key=value.
		for _, field := range strings.Fields(string(line)) {
			if verb, ok := strings.CutPrefix(strings.Trim(field, `"`), "verb="); ok {
				calls[strings.Trim(verb, `"`)]++
			}
		}
	}
	if len(calls) == 0 {
		return nil, errors.New("the provider's log shows no backend calls")
	}
	return calls, nil
}

// callsText is a compact list of calls, for the report.
func callsText(calls map[string]int) string {
	b, err := json.Marshal(calls) // keys sorted
	if err != nil {
		return ""
	}
	return strings.NewReplacer(`"`, "", "{", "", "}", "", ":", " ", ",", ", ").Replace(string(b))
}
