# A parallel-computing cluster on this machine: one server that keeps the job queue, and workers that take tasks from it.
# Nothing but this provider is needed: the `process` backend runs them as local processes.
#
# The same two resources make a cluster elsewhere: replace `process` by `docker`, `swarm`, `ecs` or `exec`, and give the
# containers an `image`.

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

  # Where the backend keeps its records, log files and the server's password (readable by you only).
  process = {
    root = var.state_root
  }
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
      command = [var.program, "server"]
    }
    port = 0 # any free port; the outputs say which
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
    command = [var.program, "worker"]
  }
}
