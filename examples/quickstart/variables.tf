variable "program" {
  description = "The quickstart program: an absolute path. `go build` in this folder makes it."
  type        = string
}

variable "worker_count" {
  description = "How many workers take tasks from the queue."
  type        = number
  default     = 4
}

variable "state_root" {
  description = "The folder of the process backend. Null: $XDG_STATE_HOME/dockerparallel."
  type        = string
  default     = null
}
