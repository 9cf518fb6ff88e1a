data "dockerparallel_workers" "sim" {
  cluster_id = "sim"
}

output "stopped" {
  value = [for w in data.dockerparallel_workers.sim.containers : w.handle if w.status == "stopped"]
}
