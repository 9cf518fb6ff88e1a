output "shell" {
  description = "For a shell, with eval: Python programs that it starts then find the cluster."
  value       = dockerparallel_cluster.dask.client.shell
}

output "python" {
  description = "For a Python program or a notebook: connects to the cluster."
  value       = dockerparallel_cluster.dask.client.python
}

output "dashboard" {
  description = "Where the scheduler shows what it does."
  value       = dockerparallel_cluster.dask.exports["dashboard"]
}
