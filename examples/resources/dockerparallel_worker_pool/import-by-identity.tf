import {
  to = dockerparallel_worker_pool.small
  identity = {
    namespace = "default"
    cluster   = "sim"
    name      = "small"
  }
}
