# RQ (Redis Queue) on this machine, without containers: needs rq and redis-server
# (Debian: apt-get install python3-rq redis-server). README.md shows the same in containers.

terraform {
  required_providers {
    dockerparallel = {
      source = "dockerparallel/dockerparallel"
    }
  }
}

provider "dockerparallel" {
  owner   = "example"
  process = {}
}

variable "worker_count" {
  description = "How many workers take jobs."
  type        = number
  default     = 4
}

resource "dockerparallel_cluster" "pi" {
  name      = "pi" # the queue's name, too
  framework = "rq"

  server = {
    port = 0 # any free port
  }
}

resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.pi.id
  name         = "default"
  worker_count = var.worker_count

  container = {
    # Up to two workers in a container: here, two containers with two workers each.
    max_workers = 2

    # Where Python finds tasks.py. An image has it in its working directory.
    environment = { PYTHONPATH = abspath(path.module) }
  }

  wait_for = "registered" # apply ends once RQ itself knows all of them
  scale_in = "idle"       # and those without a job leave first
}

output "python" {
  description = "How a Python client connects."
  value       = dockerparallel_cluster.pi.client.python
}

output "shell" {
  description = "How a shell, and what is started in it, connects."
  value       = dockerparallel_cluster.pi.client.shell
}
