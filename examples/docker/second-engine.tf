# More workers on a second engine, which is reached by SSH. They connect to the server's published address.

provider "dockerparallel" {
  alias     = "second"
  owner     = "example"
  namespace = "example"

  docker = {
    host = var.second_engine

    # Key, known hosts and jump hosts come from ~/.ssh, as for the ssh program; `ssh = {...}` says otherwise.

    registries = var.registry == null ? null : [var.registry]
  }
}

# The password passes from one engine to the other, and is neither in the plan nor in the state.
ephemeral "dockerparallel_credentials" "jobs" {
  count      = var.second_engine == null ? 0 : 1
  cluster_id = dockerparallel_cluster.jobs.id
}

resource "dockerparallel_worker_pool" "second" {
  count    = var.second_engine == null ? 0 : 1
  provider = dockerparallel.second

  cluster_id   = dockerparallel_cluster.jobs.id
  name         = "second"
  framework    = "redis"
  worker_count = 2

  # This engine knows nothing of the server.
  server = {
    public_ip   = dockerparallel_cluster.jobs.public_ip
    public_port = dockerparallel_cluster.jobs.public_port
    password_wo = ephemeral.dockerparallel_credentials.jobs[0].password

    # Nobody sees that value change: whoever gives the cluster a new password increases this, too.
    password_wo_version = 1
  }

  container         = local.worker
  docker            = local.options
  hardware          = { cpu = 512, memory = 256 }
  stop_grace_period = "5m"

  lifecycle {
    precondition {
      condition     = !startswith(var.publish_address, "127.")
      error_message = "Workers on another machine do not reach a server at 127.0.0.1: set publish_address."
    }
  }
}
