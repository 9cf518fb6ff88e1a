terraform {
  required_providers {
    dockerparallel = {
      source = "dockerparallel/dockerparallel"
    }
  }
}

provider "dockerparallel" {
  # Keeps two teams' clusters on one backend apart.
  namespace = "stats"

  # Who answers for what is started: an apply that was cut off is finished by
  # the next one, and containers of others are left alone.
  owner = "sim-workspace"

  # Server and workers are containers of the engine that the docker program
  # would use. For another one:
  #   docker = { host = "ssh://me@big-machine.example.com" }
  # For processes on this machine:
  #   process = {}
  docker = {}
}
