# One queue, workers in two places: containers of a Docker Engine, and processes of this machine. See README.md.

terraform {
  required_providers {
    dockerparallel = {
      source = "dockerparallel/dockerparallel"
    }
  }
}

provider "dockerparallel" {
  owner     = "example"
  namespace = var.namespace
  docker    = {}
}

# The second place. It could as well be another engine (docker = { host = "ssh://..." }).
provider "dockerparallel" {
  alias     = "here"
  owner     = "example"
  namespace = var.namespace
  process   = {}
}

resource "dockerparallel_cluster" "jobs" {
  name      = "jobs"
  framework = "rq"

  # Another number: a new password for the server and both pools, in one apply.
  password_wo_version = 1

  server = {
    container = { image = var.redis_image }

    # Workers from elsewhere need an address that they reach. For another machine's it is one of a private network.
    publish = { address = var.publish_address }
  }
}

resource "dockerparallel_worker_pool" "containers" {
  cluster_id   = dockerparallel_cluster.jobs.id
  name         = "containers"
  worker_count = 2
  wait_for     = "registered"

  container = {
    image       = var.worker_image
    environment = { PYTHONPATH = "/app" }
  }
  docker = { mounts = [{ type = "bind", source = abspath("${path.module}/app"), target = "/app", read_only = true }] }
}

# The password goes from the first provider to the second without a stop in plan or state.
ephemeral "dockerparallel_credentials" "jobs" {
  cluster_id = dockerparallel_cluster.jobs.id
}

resource "dockerparallel_worker_pool" "processes" {
  provider = dockerparallel.here

  cluster_id   = dockerparallel_cluster.jobs.id # only a name to this provider: it looks nothing up
  name         = "processes"
  worker_count = 2
  wait_for     = "registered"
  framework    = dockerparallel_cluster.jobs.framework

  server = {
    public_ip   = dockerparallel_cluster.jobs.public_ip
    public_port = dockerparallel_cluster.jobs.public_port
    password_wo = ephemeral.dockerparallel_credentials.jobs.password

    password_wo_version = dockerparallel_cluster.jobs.password_wo_version
  }

  container = { environment = { PYTHONPATH = abspath("${path.module}/app") } }
}

output "client" {
  description = "How a client joins, for Python and for a shell."
  value       = dockerparallel_cluster.jobs.client
}
