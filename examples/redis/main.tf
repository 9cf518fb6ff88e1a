# A job queue on Redis, with workers written in shell: needs redis-server and
# redis-cli on this machine.
#
#   terraform apply
#   eval "$(terraform-provider-dockerparallel credentials squares --backend process)"
#   export REDISCLI_AUTH="$DOCKERPARALLEL_PASSWORD"
#   redis() { redis-cli -h "$DOCKERPARALLEL_SERVER_HOST" -p "$DOCKERPARALLEL_SERVER_PORT" "$@"; }
#   redis RPUSH squares 1 2 3 4
#   redis LRANGE squares:answers 0 -1

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

resource "dockerparallel_cluster" "squares" {
  name      = "squares"
  framework = "redis"

  server = {
    port = 0 # any free port
  }
}

resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.squares.id
  name         = "default"
  worker_count = 3

  container = {
    command = ["sh", abspath("${path.module}/worker.sh")]
  }
}

output "python" {
  description = "How a Python client connects."
  value       = dockerparallel_cluster.squares.client.python
}
