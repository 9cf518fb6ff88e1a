// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package testenv

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
)

// SSHServer is a real sshd on 127.0.0.1 that lets root in with one key.
type SSHServer struct {
	Port int
	// PrivateKey lets in, KnownHosts are the lines that make the server known.
	PrivateKey, KnownHosts string
	// Dir has files of the test's.
	Dir string

	service *service
}

// StartSSHD starts one; options are lines of its configuration.
func StartSSHD(t testing.TB, options ...string) *SSHServer {
	t.Helper()
	Need(t, SSHD)
	// sshd wants this one folder, whatever its configuration says.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	port := FreePort(t)
	hostKey, hostPublic := NewSSHKey(t, "")
	userKey, userPublic := NewSSHKey(t, "")
	config := append([]string{
		fmt.Sprintf("Port %d", port), "ListenAddress 127.0.0.1", "PidFile none", "UsePAM no", "StrictModes no", "LogLevel VERBOSE",
		"PermitRootLogin prohibit-password", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"HostKey " + filepath.Join(dir, "host"), "AuthorizedKeysFile " + filepath.Join(dir, "authorized"), "MaxStartups 100",
	}, options...)
	for name, text := range map[string]string{"host": hostKey, "authorized": userPublic, "config": strings.Join(config, "\n") + "\n", "user": userKey} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &SSHServer{
		Port: port, PrivateKey: userKey, Dir: dir,
		KnownHosts: fmt.Sprintf("[127.0.0.1]:%d %s", port, hostPublic),
		service:    &service{t: t, args: []string{sshdProgram, "-D", "-e", "-f", filepath.Join(dir, "config")}},
	}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// Host is the address of an engine at a socket behind this server.
func (s *SSHServer) Host(socket string) string {
	return fmt.Sprintf("ssh://root@127.0.0.1:%d%s", s.Port, strings.TrimPrefix(socket, "unix://"))
}

// Start starts a server that was stopped.
func (s *SSHServer) Start() {
	s.service.t.Helper()
	s.service.start(func() error { return listening(local(s.Port)) })
}

// Stop ends the server with all of its connections.
func (s *SSHServer) Stop() {
	s.Drop()
	s.service.stop(syscall.SIGTERM)
}

// Drop breaks the connections that are open. Each is served by a process of
// its own, in a session of its own.
func (s *SSHServer) Drop() {
	if s.service.cmd == nil {
		return
	}
	for _, pid := range children(s.service.cmd.Process.Pid) {
		for _, grandchild := range children(pid) {
			_ = syscall.Kill(grandchild, syscall.SIGKILL)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Logins is how often somebody was let in.
func (s *SSHServer) Logins() int {
	return strings.Count(s.service.out.String(), "Accepted publickey")
}

// Log is what the server has printed.
func (s *SSHServer) Log() string { return s.service.out.String() }

// children of a process.
func children(pid int) []int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var all []int
	for f := range strings.FieldsSeq(string(b)) {
		var child int
		if _, err := fmt.Sscan(f, &child); err == nil {
			all = append(all, child)
		}
	}
	return all
}

// NewSSHKey is a private key in OpenSSH's form, encrypted if there is a
// passphrase, and its line for authorized_keys.
func NewSSHKey(t testing.TB, passphrase string) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPub)))
}
