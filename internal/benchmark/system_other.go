// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package main

import (
	"os"
	"os/exec"
)

func detach(*exec.Cmd) {}

func largest(*os.ProcessState) int64 { return 0 }
