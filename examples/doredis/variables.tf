variable "worker_count" {
  description = "How many R processes."
  type        = number
  default     = 8
}

variable "r_packages" {
  description = "More R packages for the workers: names, or owner/repository for GitHub."
  type        = list(string)
  default     = []
}

variable "system_packages" {
  description = "Debian packages that the R packages need."
  type        = list(string)
  default     = []
}

variable "server_image" {
  description = "The image of the Redis server."
  type        = string
  default     = "docker.io/dockerparallel/redis-r-server:latest"
}

variable "worker_image" {
  description = "The image of the R workers."
  type        = string
  default     = "docker.io/dockerparallel/r-base-worker:latest"
}

variable "publish_address" {
  description = "The address of the engine's machine at which R reaches the server."
  type        = string
  default     = "127.0.0.1"
}
