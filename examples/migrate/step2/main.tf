terraform {
  required_providers {
    docker = {
      source = "kreuzwerker/docker"
    }
    dockerparallel = {
      source = "dockerparallel/dockerparallel"
    }
  }
}

provider "docker" {}

provider "dockerparallel" {
  owner  = "sim-workspace"
  docker = {}
}

resource "docker_network" "sim" {
  name = "sim-net"
}

resource "docker_container" "server" {
  name    = "sim-server"
  image   = "registry.example.com/sim:4"
  command = ["sim", "server"]
  env     = ["SIM_PORT=7000"]

  networks_advanced {
    name = docker_network.sim.name
  }
}

resource "docker_container" "worker" {
  count   = 4
  name    = "sim-worker-${count.index}"
  image   = "registry.example.com/sim:4"
  command = ["sim", "worker"]
  env     = ["SIM_SERVER=sim-server:7000"]

  cpus        = "0.5"
  memory      = 256
  memory_swap = 256

  # Time to finish the running task, for the day when this worker is removed.
  destroy_grace_seconds = 60

  networks_advanced {
    name = docker_network.sim.name
  }
}

# The old server, as the new workers see it. Nothing is started for it.
resource "dockerparallel_cluster" "sim" {
  name = "sim"

  external_server = {
    private_ip   = docker_container.server.name
    private_port = 7000
  }
}

resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.sim.id
  worker_count = 1

  container = {
    image       = "registry.example.com/sim:4"
    command     = ["sim", "worker"]
    environment = { SIM_SERVER = "$(DOCKERPARALLEL_SERVER_HOST):$(DOCKERPARALLEL_SERVER_PORT)" }
  }

  hardware          = { cpu = 512, memory = 256 }
  docker            = { network = docker_network.sim.name }
  stop_grace_period = "60s"
}
