// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package process

import "github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"

// Backend does not exist on this operating system.
type Backend struct{ managed.Backend }

// New says that the backend needs a Unix.
func New(Config) (*Backend, error) {
	return nil, managed.Errorf(managed.ClassInvalid, Name,
		"the process backend needs Linux, macOS or another Unix; here, use docker, or run Terraform inside WSL")
}
