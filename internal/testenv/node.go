// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Node builds the containers' program (see its folder) into a folder of the
// test and gives its path. It is static, so that it runs in an empty image.
// Each test has a copy of its own, so that its processes can be told from all
// others.
func Node(t testing.TB) string {
	t.Helper()
	return node(t, runtime.GOOS)
}

func node(t testing.TB, system string) string {
	t.Helper()
	compiler, err := exec.LookPath("go")
	if err != nil {
		giveUp(t, "there is no go to build the test program with")
	}
	path := filepath.Join(t.TempDir(), "node")
	build := exec.Command(compiler, "build", "-trimpath", "-o", path, providerModule+"/internal/testenv/node")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the test program: %v\n%s", err, out)
	}
	return path
}
