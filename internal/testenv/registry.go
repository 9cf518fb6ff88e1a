// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// StartRegistry starts a real registry on 127.0.0.1, which every engine takes
// without TLS, and gives its address. With a user it wants a login.
func StartRegistry(t testing.TB, user, password string) string {
	t.Helper()
	Need(t, Registry)
	dir := t.TempDir()
	address := local(FreePort(t))
	config := fmt.Sprintf("version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %s}\n", filepath.Join(dir, "data"), address)
	if user != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		users := filepath.Join(dir, "users")
		if err := os.WriteFile(users, fmt.Appendf(nil, "%s:%s\n", user, hash), 0o600); err != nil {
			t.Fatal(err)
		}
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s}}\n", users)
	}
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	// The registry would take Podman's variable for a setting of its own.
	s := &service{t: t, args: []string{"env", "-u", "REGISTRY_AUTH_FILE", "docker-registry", "serve", file}}
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	s.start(func() error { return listening(address) })
	return address
}
