# A cluster for foreach in R: a Redis server, and R workers with doRedis, as containers of a Docker Engine. See README.md.

terraform {
  # The function below needs Terraform 1.8 or OpenTofu 1.7.
  required_version = ">= 1.8"

  required_providers {
    dockerparallel = {
      source = "dockerparallel/dockerparallel"
    }
  }
}

provider "dockerparallel" {
  # Who answers for what runs: an apply that was cut off is finished by the next one, and if the state is ever lost,
  # `terraform-provider-dockerparallel sweep --owner example` finds what is left.
  owner     = "example"
  namespace = "example"

  # Without a host, it is the engine that the `docker` program uses (DOCKER_HOST, the current Docker context, a usual socket).
  docker = {}
}

locals {
  # What jobs need beside foreach and doRedis. Blanks and repeated names are dropped, and what cannot be a package is an
  # error when you plan.
  r_packages = provider::dockerparallel::r_packages(concat(["data.table"], var.r_packages))

  # What they need to be compiled.
  system_packages = provider::dockerparallel::system_packages(var.system_packages)
}

resource "dockerparallel_cluster" "r" {
  name      = "r" # the queue's name, too
  framework = "doredis"

  server = {
    container = { image = var.server_image }
    hardware  = { cpu = 1024, memory = 1024 } # one core, 1 GB

    # A free port of this address. At 127.0.0.1, only programs of the engine's own machine reach it. Redis does not encrypt:
    # elsewhere, use an address of a private network.
    publish = { address = var.publish_address }
  }
}

resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.r.id
  name         = "default"
  worker_count = var.worker_count

  # At most four R processes in a container. They share its packages, which are installed once per container.
  container = {
    image       = var.worker_image
    max_workers = 4
  }

  # Of each worker: a container of four has four cores and 8 GB.
  hardware = { cpu = 1024, memory = 2048 }

  doredis = {
    r_packages      = local.r_packages
    system_packages = local.system_packages
  }
}

output "client" {
  description = "R code that registers the cluster with foreach. It reads DOCKERPARALLEL_PASSWORD; `terraform-provider-dockerparallel credentials r --namespace example` gives it."
  value       = dockerparallel_cluster.r.client.r
}
