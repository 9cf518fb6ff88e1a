output "handles" {
  description = "What the backend calls each worker: on `process` it begins with the process id, on `docker` it is the container's id."
  value       = dockerparallel_worker_pool.workers.handles
}

output "server_ip" {
  description = "Where a client on this machine finds the server."
  value       = coalesce(dockerparallel_cluster.quickstart.public_ip, dockerparallel_cluster.quickstart.private_ip)
}

output "server_port" {
  description = "The port that was free."
  value       = coalesce(dockerparallel_cluster.quickstart.public_port, dockerparallel_cluster.quickstart.private_port)
}

output "client_url" {
  description = "What a client connects to. The password is apart: `terraform-provider-dockerparallel credentials quickstart`."
  value       = dockerparallel_cluster.quickstart.client.url
}
