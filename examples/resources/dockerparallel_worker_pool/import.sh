# By the cluster's and the pool's name, in the provider's namespace.
terraform import dockerparallel_worker_pool.small sim/small
