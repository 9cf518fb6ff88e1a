# Celery on this machine, without containers: needs Python with Celery, and redis-server
# (Debian: apt-get install python3-celery python3-redis redis-server). README.md shows the same in containers.

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

# The server is the broker, and keeps the results.
resource "dockerparallel_cluster" "primes" {
  name      = "primes"
  framework = "celery"

  server = {
    port = 0 # any free port
  }
}

resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.primes.id
  name         = "default"
  worker_count = 4

  celery = {
    app = "tasks" # tasks.py
  }

  container = {
    # Up to two workers in a container, which is one Celery node: here, two nodes with two processes each.
    max_workers = 2

    # Where Python finds tasks.py. An image has it in its working directory.
    environment = { PYTHONPATH = abspath(path.module) }
  }

  wait_for = "registered" # apply ends once Celery itself knows all four
  scale_in = "idle"       # and those without a task leave first
}

output "python" {
  description = "How a Python client connects."
  value       = dockerparallel_cluster.primes.client.python
}

output "shell" {
  description = "How a shell, and what is started in it, connects."
  value       = dockerparallel_cluster.primes.client.shell
}
