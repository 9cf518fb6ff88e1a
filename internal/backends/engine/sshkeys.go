// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// noLogin says which keys the server did not accept.
func (h *hop) noLogin(err error, tried []string) error {
	if !strings.Contains(err.Error(), "unable to authenticate") {
		return managed.Errorf(managed.ClassTransient, "", "logging in to the SSH server at %s: %w", h.address, err)
	}
	keys := "there is none to try"
	if len(tried) > 0 {
		keys = "tried were " + strings.Join(tried, ", ")
	}
	return managed.Errorf(managed.ClassPermission, "docker.ssh", "the SSH server at %s does not let the user %s in: %s. Give a key that it knows in docker.ssh.private_key, "+
		"load it into the agent (ssh-add), or name the user in the address (ssh://user@host)", h.address, h.user, keys)
}

// configuredKey is the key of the provider's configuration; nil if there is none.
func (s *SSH) configuredKey() (ssh.Signer, error) {
	text, attribute := []byte(s.PrivateKey), "docker.ssh.private_key"
	switch {
	case s.PrivateKey != "" && s.PrivateKeyFile != "":
		return nil, managed.Errorf(managed.ClassInvalid, attribute, "given twice, as text and as a file")
	case s.PrivateKeyFile != "":
		attribute = "docker.ssh.private_key_file"
		var err error
		if text, err = os.ReadFile(expandHome(s.PrivateKeyFile)); err != nil {
			return nil, managed.Errorf(managed.ClassInvalid, attribute, "reading %s: %w", s.PrivateKeyFile, err)
		}
	case s.PrivateKey == "":
		return nil, nil
	}
	signer, err := parseKey(text, s.Passphrase)
	if err != nil {
		return nil, managed.Errorf(managed.ClassInvalid, attribute, "the private key cannot be used: %w", err)
	}
	return signer, nil
}

// errEncrypted is a key without its passphrase.
var errEncrypted = errors.New("it is encrypted: give docker.ssh.passphrase, or load it into the agent (ssh-add)")

func parseKey(text []byte, passphrase string) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(text)
	var missing *ssh.PassphraseMissingError
	if !errors.As(err, &missing) {
		return signer, err
	}
	if passphrase == "" {
		return nil, errEncrypted
	}
	return ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase))
}

// userKeys are the keys of the agent and of files, those of the agent first as
// they need no passphrase. What cannot be used is told among what was tried.
func userKeys(files []string, passphrase string, onlyFiles bool) func() ([]ssh.Signer, []string, error) {
	return func() (signers []ssh.Signer, tried []string, err error) {
		for _, s := range agentKeys() {
			if onlyFiles && !slices.ContainsFunc(files, func(f string) bool { return isKeyOf(f, s.PublicKey()) }) {
				continue
			}
			signers = append(signers, s)
			tried = append(tried, "the agent's "+ssh.FingerprintSHA256(s.PublicKey()))
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			var signer ssh.Signer
			if err == nil {
				signer, err = parseKey(text, passphrase)
			}
			if err != nil {
				tried = append(tried, fmt.Sprintf("%s (not used: %v)", file, err))
				continue
			}
			signers = append(signers, signer)
			tried = append(tried, file)
		}
		return signers, tried, nil
	}
}

// isKeyOf tells whether a file has that key, of which the public half is beside
// it or, as of keys in OpenSSH's form, in it unencrypted.
func isKeyOf(file string, key ssh.PublicKey) bool {
	same := func(k ssh.PublicKey) bool { return k != nil && bytes.Equal(k.Marshal(), key.Marshal()) }
	for _, name := range []string{file + ".pub", file} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if k, _, _, _, err := ssh.ParseAuthorizedKey(text); err == nil && same(k) {
			return true
		}
		signer, err := ssh.ParsePrivateKey(text)
		var missing *ssh.PassphraseMissingError
		if err == nil && same(signer.PublicKey()) || errors.As(err, &missing) && same(missing.PublicKey) {
			return true
		}
	}
	return false
}

// agentKeys are those of the agent; none if there is no agent. The signers
// keep the connection to it.
func agentKeys() []ssh.Signer {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		_ = conn.Close()
		return nil
	}
	return signers
}

// hostKeys are the files with the keys of known hosts, and lines of such a file.
type hostKeys struct {
	files []string
	lines string
}

// check makes the check of a host's key. What it finds wrong it also writes to
// into, because the handshake does not hand it on whole.
func (k hostKeys) check(address string, into *error) (ssh.HostKeyCallback, []string, error) {
	var files []string
	for _, f := range k.files {
		if exists(f) {
			files = append(files, f)
		}
	}
	if k.lines != "" {
		name, remove, err := temporary(k.lines)
		if err != nil {
			return nil, nil, managed.Errorf(managed.ClassUnknown, "docker.ssh.known_hosts", "reading the known hosts: %w", err)
		}
		defer remove()
		files = append(files, name)
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return nil, nil, managed.Errorf(managed.ClassInvalid, "docker.ssh.known_hosts", "reading the known hosts: %w", err)
	}
	verify := db.HostKeyCallback()
	return func(host string, remote net.Addr, key ssh.PublicKey) error {
		err := verify(host, remote, key)
		if err != nil {
			*into = k.refuse(err, address, key)
		}
		return err
	}, db.HostKeyAlgorithms(address), nil
}

// refuse says what is wrong with a host's key.
func (k hostKeys) refuse(err error, address string, key ssh.PublicKey) error {
	shown := fmt.Sprintf("%s %s", key.Type(), ssh.FingerprintSHA256(key))
	if knownhosts.IsHostKeyChanged(err) {
		return managed.Errorf(managed.ClassPermission, "docker.ssh.known_hosts", "the SSH server at %s shows another key (%s) than the known one. Either the host was set up anew, or somebody "+
			"stands between: find out which. If the new key is right, replace the old line (ssh-keygen -R %s)", address, shown, knownhosts.Normalize(address))
	}
	if knownhosts.IsHostUnknown(err) {
		host, port, _ := net.SplitHostPort(address)
		return managed.Errorf(managed.ClassPermission, "docker.ssh.known_hosts", "the SSH server at %s is not known; its key is %s. If that is the host's own (ask it with \"ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\"), "+
			"add the line \"%s\" to known_hosts or to docker.ssh.known_hosts (\"ssh-keyscan -p %s %s\" prints it)", address, shown, knownhosts.Line([]string{address}, key), port, host)
	}
	return managed.Errorf(managed.ClassPermission, "docker.ssh.known_hosts", "the key of the SSH server at %s (%s) is not accepted: %w", address, shown, err)
}

// temporary writes a file that is readable by its owner only.
func temporary(text string) (name string, remove func(), err error) {
	f, err := os.CreateTemp("", "dockerparallel-known-hosts-")
	if err != nil {
		return "", nil, err
	}
	_, err = f.WriteString(text + "\n")
	return f.Name(), func() { _ = os.Remove(f.Name()) }, errors.Join(err, f.Close())
}

// expandHome replaces a leading ~.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, rest)
}
