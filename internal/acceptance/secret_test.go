// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// The password, generated or given, is where it has to be and nowhere else.
func TestAccPasswordIsNowhereElse(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Redis)
	for name, given := range map[string]string{"generated": "", "given": "correct'horse\"battery $staple"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write(`
terraform {
  required_providers { dockerparallel = { source = "dockerparallel/dockerparallel" } }
}
variable "password" {
  type      = string
  ephemeral = true
  default   = null
}
provider "dockerparallel" {
  owner   = "ci"
  process = { root = "` + w.root + `" }
}
resource "dockerparallel_cluster" "sim" {
  name                = "sim"
  framework           = "redis"
  server              = { port = 0 }
  password_wo         = var.password
  password_wo_version = 1
}
resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.sim.id
  name         = "default"
  worker_count = 2
  container = {
    command     = ["` + w.node + `", "worker"]
    environment = { BROKER = "$(DOCKERPARALLEL_SERVER_URL)" }
  }
}
ephemeral "dockerparallel_credentials" "sim" {
  cluster_id = dockerparallel_cluster.sim.id
}
output "client" { value = dockerparallel_cluster.sim.client }
`)
			log := filepath.Join(w.dir, "trace.log")
			t.Setenv("TF_LOG", "TRACE")
			t.Setenv("TF_LOG_PATH", log)
			if given != "" {
				t.Setenv("TF_VAR_password", given)
			}
			out := w.apply()
			out += w.mustRun("plan", "-no-color", "-out=plan.bin")
			out += w.mustRun("show", "-json", "plan.bin")
			out += w.mustRun("show", "-no-color")
			out += w.self("list", "--json", "--containers").out

			shell := w.self("credentials", "sim").out
			password := given
			if given == "" {
				_, rest, _ := strings.Cut(shell, "DOCKERPARALLEL_PASSWORD='")
				password, _, _ = strings.Cut(rest, "'")
			}
			if len(password) < 16 {
				t.Fatalf("the credentials command shows no password: %s", shell)
			}
			// It works, and it is in the workers' environment.
			found := 0
			for _, pid := range w.running("worker") {
				environ, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "environ"))
				must(t, err)
				if bytes.Contains(environ, []byte("DOCKERPARALLEL_SERVER_PASSWORD="+password+"\x00")) {
					found++
				}
			}
			if found != 2 {
				t.Fatalf("%d of 2 workers know the password", found)
			}

			places := map[string][]byte{"the output of Terraform and list": []byte(out)}
			for _, file := range []string{"terraform.tfstate", "plan.bin", "trace.log"} {
				b, err := os.ReadFile(filepath.Join(w.dir, file))
				must(t, err)
				if len(b) == 0 {
					t.Fatalf("%s is empty", file)
				}
				places[file] = b
			}
			for _, p := range w.processes() {
				places["the arguments of process "+itoa(p.pid)] = []byte(strings.Join(p.args, " "))
			}
			for _, path := range w.files() {
				if b, err := os.ReadFile(path); err == nil && !strings.Contains(filepath.Base(path), "secret") {
					places[path] = b
				}
			}
			if len(places) < 8 {
				t.Fatalf("only %d places were searched", len(places))
			}
			for place, content := range places {
				for _, form := range []string{password, strings.ReplaceAll(password, `"`, `\"`)} {
					if bytes.Contains(content, []byte(form)) {
						t.Errorf("the password is in %s", place)
					}
				}
			}
			w.destroy()
			w.nothingLeft()
		})
	}
}

// A new version of the password restarts the server and its workers in one
// apply, and the old one is no longer valid.
func TestAccRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster("ci", 2)
	w.apply()
	old := w.self("credentials", "sim").out
	server, workers := w.running("server"), w.running("worker")
	w.write(strings.Replace(w.read(), `name      = "sim"`, "name      = \"sim\"\n  password_wo_version = 2", 1))
	w.apply()
	w.expect(2)
	if w.self("credentials", "sim").out == old {
		t.Error("the password is the same")
	}
	if len(without(w.running("server"), server)) != 1 || len(without(w.running("worker"), workers)) != 2 {
		t.Error("something still runs with the old password")
	}
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}

func itoa(n int) string { return strconv.Itoa(n) }

// waitFor polls until ok, for a bounded time.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}
