resource "dockerparallel_cluster" "queue" {
  name      = "queue"
  framework = "redis"
  server    = { port = 0 }
}

# Refer to the id: only then is it opened after the cluster exists.
ephemeral "dockerparallel_credentials" "queue" {
  cluster_id = dockerparallel_cluster.queue.id
}

# Its values go where Terraform keeps nothing: into write-only attributes,
# provider configurations and other ephemeral values.
locals {
  queue_url = ephemeral.dockerparallel_credentials.queue.url
}
