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

			password := passwordOf(t, w.self("credentials", "sim").out, given)
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

			places := contents{"the output of Terraform and list": out}
			places.read(t, w.dir, "terraform.tfstate", "plan.bin", "trace.log")
			for _, p := range w.processes() {
				places["the arguments of process "+itoa(p.pid)] = strings.Join(p.args, " ")
			}
			for _, path := range w.files() {
				if b, err := os.ReadFile(path); err == nil && !strings.Contains(filepath.Base(path), "secret") {
					places[path] = string(b)
				}
			}
			places.lack(t, 8, password)
			w.destroy()
			w.nothingLeft()
		})
	}
}

// passwordOf is the one that the credentials command shows to a shell, or the
// given one, which is quoted there.
func passwordOf(t *testing.T, shell, given string) string {
	t.Helper()
	password := given
	if given == "" {
		_, rest, _ := strings.Cut(shell, "DOCKERPARALLEL_PASSWORD='")
		password, _, _ = strings.Cut(rest, "'")
	}
	if len(password) < 16 {
		t.Fatalf("the credentials command shows no password: %s", shell)
	}
	return password
}

// contents are what is searched for a password, by the place.
type contents map[string]string

// read adds files. An empty one fails the test: there was nothing to search.
func (c contents) read(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if len(b) == 0 {
			t.Fatalf("%s is empty", name)
		}
		c[name] = string(b)
	}
}

// lack fails the test if the password is in a place, as it is or as in JSON,
// or if there are fewer places than there must be.
func (c contents) lack(t *testing.T, least int, password string) {
	t.Helper()
	if len(c) < least {
		t.Fatalf("only %d places were searched", len(c))
	}
	for place, content := range c {
		for _, form := range []string{password, strings.ReplaceAll(password, `"`, `\"`)} {
			if strings.Contains(content, form) {
				t.Errorf("the password is in %s", place)
			}
		}
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
