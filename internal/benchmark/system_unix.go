// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package main

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// detach gives a program a process group of its own, so that Ctrl-C reaches
// it only through us, and interrupt as a whole.
func detach(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGINT) }
}

// largest is the memory of the largest process of a finished program and of
// those that it has waited for, in bytes.
func largest(s *os.ProcessState) int64 {
	usage, ok := s.SysUsage().(*syscall.Rusage)
	switch {
	case !ok:
		return 0
	case runtime.GOOS == "darwin":
		return int64(usage.Maxrss) //nolint:unconvert // not an int64 everywhere
	}
	return int64(usage.Maxrss) << 10 //nolint:unconvert // not an int64 everywhere
}
