// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"time"
)

// procInfo is a line of the machine's process table.
type procInfo struct {
	pid     int
	group   int
	session int
	// start tells a process from a later one with the same pid. It is
	// compared, and understood only by the table it came from.
	start string
	// dead: it has ended and waits to be reaped.
	dead bool
	// mark is the id of the container that the process belongs to, from its
	// environment; only members fills it, and only where it can be seen.
	mark string
}

// procTable reads the machine's process table.
type procTable interface {
	// boot names the time since the machine, or the container that we live
	// in, was started: pids mean nothing beyond it. "" if start times are
	// unique without it.
	boot() (string, error)
	// stamp is shell text that sets t to the start time of the shell itself,
	// as raw text for parseStart.
	stamp() string
	parseStart(raw string) (string, bool)
	// lookup finds processes by pid. Those that do not exist are absent.
	lookup(pids []int) (map[int]procInfo, error)
	// members are all processes that could belong to a container.
	members() ([]procInfo, error)
	// startedAt is the wall-clock time of a start.
	startedAt(start string) time.Time
	// umask of this process.
	umask() string
	// portHolder says for people which process listens on a port of this
	// machine, "" if that cannot be told.
	portHolder(port int) string
}
