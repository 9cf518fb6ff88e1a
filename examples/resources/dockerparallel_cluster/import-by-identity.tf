import {
  to = dockerparallel_cluster.queue
  identity = {
    namespace = "default"
    name      = "queue"
  }
}
