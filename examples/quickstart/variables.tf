variable "backend" {
  description = "What runs server and workers: `process` (processes of this machine) or `docker` (containers)."
  type        = string
  default     = "process"

  validation {
    condition     = contains(["process", "docker"], var.backend)
    error_message = "The backend is process or docker."
  }
}

variable "program" {
  description = "The quickstart program (`go build` in this folder makes it): its absolute path, on `docker` that in the image."
  type        = string
}

variable "image" {
  description = "The image with the program in it (`quickstart image` makes it). Only `docker` needs one."
  type        = string
  default     = null
}

variable "worker_count" {
  description = "How many workers take tasks from the queue."
  type        = number
  default     = 4
}

variable "namespace" {
  description = "Keeps this cluster apart from others of the same name."
  type        = string
  default     = "default"
}

variable "state_root" {
  description = "The folder of the process backend. Null: $XDG_STATE_HOME/dockerparallel."
  type        = string
  default     = null
}
