variable "backend" {
  description = "What runs scheduler and workers: `process` (programs of this machine) or `docker` (containers)."
  type        = string
  default     = "process"

  validation {
    condition     = contains(["process", "docker"], var.backend)
    error_message = "The backend is process or docker."
  }
}

variable "worker_count" {
  description = "How many workers run tasks."
  type        = number
  default     = 4
}

variable "image" {
  description = "An image with the versions of Python and Dask that your client has. Null: Dask's own. Only `docker` needs one."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Keeps this cluster apart from others of the same name."
  type        = string
  default     = "example"
}

variable "state_root" {
  description = "The folder of the process backend. Null: $XDG_STATE_HOME/dockerparallel."
  type        = string
  default     = null
}
