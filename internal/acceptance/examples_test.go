// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// Every example is applied, has an empty plan after it, and is destroyed.
func TestAccExamples(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Redis)
	examples := filepath.Join("..", "..", "examples")
	elsewhere := map[string]bool{
		"quickstart": true, // make quickstart applies it, and more
		"docker":     true, // needs images; TestAccDockerExampleWorks makes them
		"migrate":    true, // needs two providers and an order; TestAccMigrateFromDockerContainer has them
		"doredis":    true, // needs images that cannot be made here; TestAccDoRedisExampleIsValid
		"rq":         true, // these do real work: TestAccFrameworkExamples, and TestAccFrameworks for hybrid
		"celery":     true,
		"dask":       true,
		"hybrid":     true,
	}
	var files []string
	must(t, filepath.WalkDir(examples, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if elsewhere[d.Name()] && d.IsDir() {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".tf" && !strings.HasPrefix(d.Name(), "import-") {
			files = append(files, path)
		}
		return nil
	}))
	if len(files) < 7 {
		t.Fatalf("only %d examples were found", len(files))
	}
	for _, file := range files {
		name, err := filepath.Rel(examples, file)
		must(t, err)
		t.Run(filepath.Dir(name), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			must(t, os.CopyFS(w.dir, os.DirFS(filepath.Dir(file))))
			// Examples that show one thing leave the provider's configuration out.
			b, err := os.ReadFile(file)
			must(t, err)
			if strings.Contains(string(b), `provider "dockerparallel"`) {
				config := strings.Replace(string(b), "process = {}", fmt.Sprintf("process = { root = %q }", w.root), 1)
				must(t, os.WriteFile(filepath.Join(w.dir, filepath.Base(file)), []byte(config), 0o600))
			} else {
				must(t, os.WriteFile(filepath.Join(w.dir, "provider.tf"), []byte(fmt.Sprintf(`
terraform {
  required_providers { dockerparallel = { source = "dockerparallel/dockerparallel" } }
}
provider "dockerparallel" {
  owner   = "example"
  process = { root = %q }
}
`, w.root)), 0o600))
			}
			removeImports(t, w.dir)
			w.apply()
			w.emptyPlan()
			w.destroy()
			w.nothingLeft()
		})
	}
}

// exampleIsValid is for an example that cannot be applied as it is.
func exampleIsValid(t *testing.T, name string) {
	t.Helper()
	w := newWorld(t)
	must(t, os.CopyFS(w.dir, os.DirFS(filepath.Join("..", "..", "examples", name))))
	if out := w.mustRun("validate", "-no-color"); strings.Contains(out, ".tf line ") { // what a warning is about
		t.Error(out)
	}
	w.mustRun("fmt", "-check", "-diff")
}

// removeImports takes away what needs a cluster that is there already.
func removeImports(t *testing.T, dir string) {
	t.Helper()
	imports, err := filepath.Glob(filepath.Join(dir, "import-*.tf"))
	must(t, err)
	for _, path := range imports {
		must(t, os.Remove(path))
	}
}

// The Redis example does its job, also after its server was killed: one apply
// brings back server and workers.
func TestAccRedisExampleWorks(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Redis)
	t.Parallel()
	w := newWorld(t)
	must(t, os.CopyFS(w.dir, os.DirFS(filepath.Join("..", "..", "examples", "redis"))))
	w.write(strings.Replace(w.read(), "process = {}", fmt.Sprintf("process = { root = %q }", w.root), 1))
	w.apply()
	redis := func(script string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "sh", "-c", `eval "$("$1" credentials squares)"
export REDISCLI_AUTH="$DOCKERPARALLEL_PASSWORD"
redis() { redis-cli --raw -h "$DOCKERPARALLEL_SERVER_HOST" -p "$DOCKERPARALLEL_SERVER_PORT" "$@"; }
`+script, "sh", w.provider)
		c.Env = append(os.Environ(), "DOCKERPARALLEL_PROCESS_ROOT="+w.root)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	job := func() {
		t.Helper()
		redis("redis RPUSH squares 1 2 3 4 5 6 7 8 9 10 11 12")
		testenv.Eventually(t, "12 answers", func() bool { return redis("redis LLEN squares:answers") == "12" })
		if got := redis("redis LRANGE squares:answers 0 -1 | sort | head -n 1"); got != "1 squared is 1" {
			t.Errorf("an answer is %q", got)
		}
	}
	job()
	w.emptyPlan()
	w.kill(w.serverPID())
	w.apply()
	w.emptyPlan()
	job()
	w.destroy()
	w.nothingLeft()
}

// serverPID is the process of the only cluster's server.
func (w *world) serverPID() int {
	w.t.Helper()
	var clusters []struct {
		Server struct{ Handle string }
	}
	must(w.t, json.Unmarshal([]byte(w.self("list", "--json").out), &clusters))
	if len(clusters) != 1 {
		w.t.Fatalf("there are %d clusters, not 1", len(clusters))
	}
	pid, _, _ := strings.Cut(clusters[0].Server.Handle, "-")
	n, err := strconv.Atoi(pid)
	must(w.t, err)
	return n
}
