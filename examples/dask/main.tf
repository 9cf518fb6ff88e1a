# A Dask cluster: a scheduler, and workers that run the tasks of Python programs. See README.md.
#
# The variable `backend` chooses what runs them: `process` (programs of this machine, with Debian's python3-distributed or
# whatever `dask` the PATH has) or `docker` (containers of Dask's own image).

terraform {
  required_providers {
    dockerparallel = {
      source = "dockerparallel/dockerparallel"
    }
  }
}

provider "dockerparallel" {
  # Who answers for what runs. If the state is ever lost:
  #   terraform-provider-dockerparallel sweep --owner example
  owner     = "example"
  namespace = var.namespace

  process = var.backend == "process" ? { root = var.state_root } : null
  docker  = var.backend == "docker" ? {} : null
}

resource "dockerparallel_cluster" "dask" {
  name      = "dask"
  framework = "dask"

  # The scheduler may leave when nobody has used it for so long:
  # dask = { idle_timeout = "2h" }

  server = {
    container = { image = var.image }

    # A container has all ports to itself. A process shares them with others and takes any free one; the dashboard has the
    # next one.
    port = var.backend == "docker" ? 8786 : 0

    # Dask asks nobody for a password: let no more than this machine in. (A process listens nowhere else, anyway.)
    publish = var.backend == "docker" ? { address = "127.0.0.1" } : null
  }
}

resource "dockerparallel_worker_pool" "workers" {
  # The workers follow the scheduler if it has to be started anew.
  cluster_id   = dockerparallel_cluster.dask.id
  name         = "default"
  worker_count = var.worker_count

  # Apply is done when the scheduler knows them all.
  wait_for = "registered"

  # When there are to be fewer, those without a task leave first. Those that leave finish their tasks and hand their results
  # to the others.
  scale_in = "idle"

  container = {
    image       = var.image
    max_workers = 4 # in one container, each in a process of its own
  }

  # Of each worker. A core is a thread; the memory is Dask's memory limit.
  hardware = { cpu = 1024, memory = 512 }

  # dask = { nthreads = 2 } for another number of threads.
}
