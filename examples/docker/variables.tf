variable "worker_image" {
  description = "An image with rq and the functions of your jobs."
  type        = string
}

variable "worker_count" {
  description = "How many workers run on the first engine."
  type        = number
  default     = 6
}

variable "redis_image" {
  description = "An image with Redis 7 or Valkey's redis-server."
  type        = string
  default     = "redis:7"
}

variable "publish_address" {
  description = "The address of the engine's machine at which clients, and workers elsewhere, reach the server."
  type        = string
  default     = "127.0.0.1"
}

variable "results_volume" {
  description = "The volume that the workers have at /results."
  type        = string
  default     = "jobs-results"
}

variable "registry" {
  description = "A login to the registry that the images come from."
  type = object({
    address  = string
    username = string
    password = string
  })
  default   = null
  sensitive = true
  ephemeral = true # in no plan
}

variable "second_engine" {
  description = "A second engine with workers of the same cluster, such as ssh://user@host."
  type        = string
  default     = null
}
