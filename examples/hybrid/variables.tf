variable "namespace" {
  description = "Keeps this cluster apart from others on the same engine."
  type        = string
  default     = "example"
}

variable "redis_image" {
  description = "An image with redis-server."
  type        = string
  default     = "redis:7"
}

variable "worker_image" {
  description = "An image with the program rq."
  type        = string
}

variable "publish_address" {
  description = "The address of the engine's host at which workers from elsewhere reach the server."
  type        = string
  default     = "127.0.0.1"
}
