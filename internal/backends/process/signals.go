// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"strconv"
	"strings"
	"syscall"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// stopSignals may be asked for as a stop signal: the supervisor survives
// each of them except SIGKILL, after which there is nothing left to tell.
func stopSignals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"SIGHUP": syscall.SIGHUP, "SIGINT": syscall.SIGINT, "SIGQUIT": syscall.SIGQUIT,
		"SIGABRT": syscall.SIGABRT, "SIGALRM": syscall.SIGALRM, "SIGTERM": syscall.SIGTERM,
		"SIGPIPE": syscall.SIGPIPE, "SIGUSR1": syscall.SIGUSR1, "SIGUSR2": syscall.SIGUSR2,
		"SIGWINCH": syscall.SIGWINCH, "SIGKILL": syscall.SIGKILL,
	}
}

// parseSignal reads a stop signal as Docker does: "SIGTERM", "term" or "15".
func parseSignal(s string) (syscall.Signal, error) {
	if s == "" {
		return syscall.SIGTERM, nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig, ok := stopSignals()[name]; ok {
		return sig, nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		for _, sig := range stopSignals() {
			if int(sig) == n {
				return sig, nil
			}
		}
	}
	return 0, managed.Errorf(managed.ClassInvalid, "container.stop_signal",
		"the process backend cannot stop a process with the signal %q; use SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 or SIGKILL", s)
}

// signalName is the name of a signal that ends a process, "" if there is none.
func signalName(n int) string {
	for name, sig := range stopSignals() {
		if int(sig) == n {
			return name
		}
	}
	for name, sig := range map[string]syscall.Signal{
		"SIGSEGV": syscall.SIGSEGV, "SIGBUS": syscall.SIGBUS, "SIGFPE": syscall.SIGFPE, "SIGILL": syscall.SIGILL,
		"SIGTRAP": syscall.SIGTRAP, "SIGSYS": syscall.SIGSYS, "SIGXCPU": syscall.SIGXCPU, "SIGXFSZ": syscall.SIGXFSZ,
	} {
		if int(sig) == n {
			return name
		}
	}
	return ""
}
