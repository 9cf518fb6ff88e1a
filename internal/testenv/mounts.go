// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package testenv

import (
	"os"
	"slices"
	"strings"
	"syscall"
)

// unmount what a daemon has left mounted below a folder.
func unmount(dir string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for _, path := range mountsBelow(string(mounts), dir) {
		_ = syscall.Unmount(path, syscall.MNT_DETACH)
	}
}

// mountsBelow are the mount points in a folder, the innermost first.
func mountsBelow(table, dir string) []string {
	var paths []string
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			paths = append(paths, f[1])
		}
	}
	slices.Reverse(paths)
	return paths
}
