data "dockerparallel_workers" "sim" {
  cluster = "sim"
}

output "stopped" {
  value = [for w in data.dockerparallel_workers.sim.workers : w.handle if w.status == "stopped"]
}
