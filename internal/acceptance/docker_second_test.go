// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package acceptance_test

import (
	"fmt"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// One cluster on two engines: the server and a pool on Docker, another pool on
// Podman, which has a network of its own there and comes by the published port.
func TestAccDockerPoolOnAnotherEngine(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Docker, testenv.Podman)
	t.Parallel()
	w := newDockerWorld(t)
	p := newDockerWorldAt(t, testenv.StartPodman(t))
	config := func(here, there int) {
		w.write(requireProvider + w.provider("owner = \"ci\"") + fmt.Sprintf(`
provider "dockerparallel" {
  alias     = "there"
  namespace = %q
  owner     = "ci"
  docker    = { host = %q }
}
resource "dockerparallel_cluster" "sim" {
  name      = "sim"
  framework = "custom"
  server = {
    container = { image = %q, command = ["/node", "server"] }
    port      = 7000
    publish   = { address = %q }
  }
}
ephemeral "dockerparallel_credentials" "sim" {
  cluster_id = dockerparallel_cluster.sim.id
}
resource "dockerparallel_worker_pool" "there" {
  provider     = dockerparallel.there
  cluster_id   = dockerparallel_cluster.sim.id
  name         = "there"
  framework    = "custom"
  worker_count = %d
  container    = { image = %q, command = ["/node", "worker"] }
  server = {
    public_ip           = dockerparallel_cluster.sim.public_ip
    public_port         = dockerparallel_cluster.sim.public_port
    password_wo         = ephemeral.dockerparallel_credentials.sim.password
    password_wo_version = 1
  }
}
`, p.namespace, p.host, w.image, hostAddress(t), there, p.image) + w.poolBlock("sim", "default", here, ""))
	}
	config(2, 3)
	w.apply()
	w.expect(2)
	if s, n := len(p.ids("server")), len(p.ids("worker")); s != 0 || n != 3 {
		t.Fatalf("%d servers and %d workers are there, want 0 and 3", s, n)
	}
	w.emptyPlan()
	here := w.ids("worker")
	p.docker("kill", p.ids("worker")[0])
	config(2, 5)
	w.apply()
	if n := len(p.ids("worker")); n != 5 || len(gone(here, w.ids("worker"))) > 0 {
		t.Errorf("%d workers are there, want 5; here %v, were %v", n, w.ids("worker"), here)
	}
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
	p.nothingLeft()
}
