// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// Before a measurement, what came before it is given time to end: containers
// go on being cleared away after the engine has answered.
const (
	lookTime  = 200 * time.Millisecond
	calmShare = 0.15 // of all CPUs
)

// settle waits until the machine is calm, or for most at the longest, and
// tells how busy it was at the end: the share of all CPUs, -1 if unknown.
func settle(ctx context.Context, most time.Duration) float64 {
	end := time.Now().Add(most)
	for {
		busy, all := cpuTimes()
		select {
		case <-ctx.Done():
			return -1
		case <-time.After(lookTime):
		}
		busyNow, allNow := cpuTimes()
		if allNow == all {
			return -1
		}
		share := (busyNow - busy) / (allNow - all)
		if share < calmShare || time.Now().After(end) {
			return share
		}
	}
}

// cpuTimes are the ticks that all CPUs together were busy, and all ticks.
func cpuTimes() (busy, all float64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	for i := 1; i < len(fields) && i <= 8; i++ { // what follows is counted already
		var ticks float64
		_, _ = fmt.Sscan(fields[i], &ticks)
		all += ticks
		if i != 4 && i != 5 { // idle, and waiting for the disk
			busy += ticks
		}
	}
	return busy, all
}

// cpuModel is the CPUs' name.
func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(name), ": \t")
		}
	}
	return "unknown CPUs"
}

// loadAverage is that of the last minute.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(b), " ")
	return load
}
