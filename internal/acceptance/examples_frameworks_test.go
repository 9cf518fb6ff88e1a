// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// The frameworks' examples are applied, do what their README says, and leave
// nothing.
func TestAccFrameworkExamples(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Redis, testenv.RQ, testenv.Celery, testenv.Dask)
	for name, says := range map[string]string{
		"rq":     "pi is about 3.1",
		"celery": "primes below a million: 78498",
		"dask":   "pi is about 3.1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.variables = []string{systemPath()}
			must(t, os.CopyFS(w.dir, os.DirFS(filepath.Join("..", "..", "examples", name))))
			w.mustRun("fmt", "-check", "-diff")
			w.write(strings.Replace(w.read(), "process = {}", fmt.Sprintf("process = { root = %q }", w.root), 1))
			w.apply()
			w.emptyPlan()
			if out := w.shell(readmeCommands(t, filepath.Join(w.dir, "README.md"))); !strings.Contains(out, says) {
				t.Errorf("what the README tells to do says\n%s\nwithout %q", out, says)
			}
			w.destroy()
			w.nothingLeft()
		})
	}
}

// readmeCommands are what stands between apply and destroy in a README's first
// block of commands.
func readmeCommands(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	_, rest, _ := strings.Cut(string(b), "terraform apply\n")
	commands, _, found := strings.Cut(rest, "terraform destroy")
	if !found || !strings.Contains(commands, "python3 ") {
		t.Fatalf("%s has no commands between apply and destroy", file)
	}
	return commands
}

// shell runs commands as a person would in the configuration's folder.
func (w *world) shell(commands string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	// Nobody is there to say yes.
	c := exec.CommandContext(ctx, "sh", "-e", "-c", `terraform() {
  [ "$1" != apply ] || set -- "$@" -auto-approve
  "$DP_TEST_CLI" "$@"
}
`+commands)
	c.Dir = w.dir
	c.Env = slices.Concat(w.command(ctx).Env, []string{"DP_TEST_CLI=" + w.cli, "DOCKERPARALLEL_PROCESS_ROOT=" + w.root,
		"PATH=/usr/bin:/bin:" + filepath.Dir(w.provider) + ":" + os.Getenv("PATH")})
	c.WaitDelay = 5 * time.Second
	out, err := c.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s\nended with %v:\n%s", commands, err, out)
	}
	return string(out)
}

// The example for R is valid as it is; its images are not to be had here.
func TestAccDoRedisExampleIsValid(t *testing.T) {
	testenv.Need(t, testenv.Acceptance)
	t.Parallel()
	exampleIsValid(t, "doredis")
}
