# By name, in the provider's namespace.
terraform import dockerparallel_cluster.queue queue
