data "dockerparallel_clusters" "all" {}

output "names" {
  value = data.dockerparallel_clusters.all.clusters[*].name
}
