output "handles" {
  description = "What the backend calls each worker. On `process` a handle begins with the process id."
  value       = dockerparallel_worker_pool.workers.handles
}

output "server_ip" {
  description = "Where the workers, and a client on this machine, find the server."
  value       = dockerparallel_cluster.quickstart.private_ip
}

output "server_port" {
  description = "The port that was free."
  value       = dockerparallel_cluster.quickstart.private_port
}

output "client_url" {
  description = "What a client connects to. The password is apart: `terraform-provider-dockerparallel credentials quickstart`."
  value       = dockerparallel_cluster.quickstart.client.url
}
