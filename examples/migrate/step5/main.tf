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

resource "dockerparallel_cluster" "sim" {
  name = "sim"

  server = {
    container = {
      image       = "registry.example.com/sim:4"
      command     = ["sim", "server"]
      environment = { SIM_PORT = "$(DOCKERPARALLEL_SERVER_PORT)" }
    }
    port = 7000
  }
}

resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.sim.id
  worker_count = 4

  container = {
    image       = "registry.example.com/sim:4"
    command     = ["sim", "worker"]
    environment = { SIM_SERVER = "$(DOCKERPARALLEL_SERVER_HOST):$(DOCKERPARALLEL_SERVER_PORT)" }
  }

  hardware          = { cpu = 512, memory = 256 }
  stop_grace_period = "60s"
}
