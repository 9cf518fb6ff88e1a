# A job queue on Redis with Python workers (RQ), in containers of a Docker Engine or a Podman service. See README.md.

terraform {
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
  docker = {
    # Only for images that `docker login` on this machine does not open.
    registries = var.registry == null ? null : [var.registry]
  }
}

resource "dockerparallel_cluster" "jobs" {
  name      = "jobs" # the queue's name, too
  framework = "redis"

  server = {
    container = { image = var.redis_image }
    hardware  = { cpu = 1024, memory = 1024 } # one core, 1 GB

    # A free port of this address. At 127.0.0.1, only programs of the engine's own machine reach it. Redis does not encrypt:
    # elsewhere, use an address of a private network.
    publish = { address = var.publish_address }

    docker = {
      # apply waits until it passes. Without one it waits for the port.
      health_check = {
        command  = ["redis-cli", "-e", "ping"] # it finds the password in the server's environment
        interval = "2s"
        timeout  = "2s"
      }
    }
  }
}

locals {
  # The same for all pools.
  worker = {
    image = var.worker_image

    # Six workers, at most four in a container: two containers, and each hears how many workers it has to run.
    command     = ["rq", "worker-pool", "--num-workers", "$(DOCKERPARALLEL_WORKERS)", "$(DOCKERPARALLEL_QUEUE)"]
    max_workers = 4

    # What rq reads. A password is refused in a command, which everybody sees, but not here; and in state and labels
    # there is only the reference.
    environment = { RQ_REDIS_URL = "$(DOCKERPARALLEL_SERVER_URL)" }
  }

  # A volume for what the jobs write. The engine makes it, and it stays when the cluster goes.
  options = {
    init   = true # rq starts processes of its own: something has to reap them
    mounts = [{ type = "volume", source = var.results_volume, target = "/results" }]
  }
}

resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.jobs.id
  name         = "default"
  worker_count = var.worker_count

  container = local.worker
  docker    = local.options

  # Of each worker: a container of four has two cores and 1 GB.
  hardware = { cpu = 512, memory = 256 }

  # A worker that is stopped may finish its job first.
  stop_grace_period = "5m"
}

output "url" {
  description = "Where clients find the server. `terraform-provider-dockerparallel credentials jobs --namespace example` gives the password."
  value       = dockerparallel_cluster.jobs.client.url
}
