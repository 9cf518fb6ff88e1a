// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package testenv

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Peer gives the path of a program that this provider is compared with, which
// tools/peers.sh builds: "provider" (terraform-provider-docker) or "compose".
func Peer(t testing.TB, name string) string {
	t.Helper()
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the repository is not known")
	}
	script := filepath.Join(filepath.Dir(self), "..", "..", "tools", "peers.sh")
	var said bytes.Buffer
	cmd := exec.Command(script, name)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		giveUp(t, "tools/peers.sh "+name+": "+err.Error()+": "+said.String())
	}
	return strings.TrimSpace(string(out))
}
