# A parallel-computing cluster on this machine: one server that keeps the job queue, and workers that take tasks from it.
#
# The same two resources make it of local processes or of containers; the variable `backend` chooses. The `process` backend
# needs nothing but this provider, `docker` needs a Docker Engine or a Podman service.

terraform {
  required_providers {
    dockerparallel = {
      source = "dockerparallel/dockerparallel"
    }
  }
}

provider "dockerparallel" {
  # Who answers for what runs. If a state file is ever lost, this finds the cluster again:
  #   terraform-provider-dockerparallel sweep --owner quickstart
  owner = "quickstart"

  # Keeps clusters of the same name on one engine apart.
  namespace = var.namespace

  # Where the backend keeps its records, log files and the server's password (readable by you only).
  process = var.backend == "process" ? { root = var.state_root } : null

  # The engine that the `docker` program uses, too.
  docker = var.backend == "docker" ? {} : null
}

resource "dockerparallel_cluster" "quickstart" {
  # Also the name of the job queue.
  name = "quickstart"

  # "custom": the containers speak a protocol of their own. They find all they need in their environment:
  # DOCKERPARALLEL_QUEUE, DOCKERPARALLEL_SERVER_HOST, DOCKERPARALLEL_SERVER_PORT, DOCKERPARALLEL_SERVER_PASSWORD and
  # DOCKERPARALLEL_WORKERS. The password is generated, and is not in the state.
  framework = "custom"

  server = {
    container = {
      image   = var.image
      command = [var.program, "server"]
    }

    # A container has all ports to itself. A process shares them with others, and takes any free one.
    port = var.backend == "docker" ? 6379 : 0

    # A client on this machine reaches a container at a free port of 127.0.0.1. (A process needs none of this.)
    publish = {}
  }
}

resource "dockerparallel_worker_pool" "workers" {
  # The id changes when the server has to be started anew. The workers follow it in the same apply.
  cluster_id = dockerparallel_cluster.quickstart.id
  name       = "default"

  # Change it and apply: only the difference is started or stopped. If a worker has died, the plan says
  # `worker_count = 3 -> 4`, and apply starts the missing one.
  worker_count = var.worker_count

  container = {
    image   = var.image
    command = [var.program, "worker"]
  }
}
