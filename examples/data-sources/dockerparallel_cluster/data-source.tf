data "dockerparallel_cluster" "sim" {
  name = "sim"
}

output "sim_is_up" {
  value = data.dockerparallel_cluster.sim.exists
}
