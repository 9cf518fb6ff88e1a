# A Redis server as a job queue: the framework brings image, command and port.
resource "dockerparallel_cluster" "queue" {
  name      = "queue"
  framework = "redis"

  server = {
    port = 0 # any free port
  }
}

# A server of your own. It finds its port and the password in its environment:
# DOCKERPARALLEL_SERVER_PORT and DOCKERPARALLEL_SERVER_PASSWORD.
resource "dockerparallel_cluster" "own" {
  name      = "own"
  framework = "custom"

  server = {
    container = {
      command     = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "$(DOCKERPARALLEL_SERVER_PORT)"]
      environment = { PYTHONUNBUFFERED = "1" }
    }
    hardware = { cpu = 512, memory = 1024 }
    port     = 0
  }

  labels   = { team = "stats" }
  timeouts = { create = "2m" }
}
