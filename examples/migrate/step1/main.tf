terraform {
  required_providers {
    docker = {
      source = "kreuzwerker/docker"
    }
  }
}

provider "docker" {}

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

  networks_advanced {
    name = docker_network.sim.name
  }
}
