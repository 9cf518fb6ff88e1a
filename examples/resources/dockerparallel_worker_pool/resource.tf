resource "dockerparallel_cluster" "sim" {
  name      = "sim"
  framework = "redis"
  server    = { port = 0 }
}

resource "dockerparallel_worker_pool" "small" {
  # Refer to the id, not to the name: a server that is started again restarts
  # its workers in the same apply.
  cluster_id   = dockerparallel_cluster.sim.id
  name         = "small"
  worker_count = 8

  container = {
    command     = ["sh", "-c", "while sleep 1; do redis-cli -h $REDIS_HOST -p $REDIS_PORT PING; done"]
    environment = { LEVEL = "info" }
    max_workers = 4 # eight workers in two containers
  }

  # Per worker: half a core and 256 MB.
  hardware = { cpu = 512, memory = 256 }

  # Six are enough to succeed; the next plan tops up.
  min_worker_count = 6

  # A new command or environment replaces at most a quarter of them at a time.
  update            = { strategy = "rolling", max_unavailable = "25%" }
  stop_grace_period = "5s"
}
