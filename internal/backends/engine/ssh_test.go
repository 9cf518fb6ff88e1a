// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package engine

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/sync/errgroup"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// far is the machine's engine behind a real sshd.
func far(t *testing.T, options ...string) (*testenv.SSHServer, string) {
	t.Helper()
	testenv.Need(t, testenv.Docker, testenv.SSHD)
	s := testenv.StartSSHD(t, options...)
	return s, s.Host(testenv.DockerHost())
}

func open(t *testing.T, cfg Config) *Engine {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// many calls at once.
func many(e *Engine, n int) error {
	var g errgroup.Group
	for range n {
		g.Go(func() error {
			_, err := e.Client().Info(context.Background(), client.InfoOptions{})
			return err
		})
	}
	return g.Wait()
}

func TestOneSSHConnection(t *testing.T) {
	s, host := far(t)
	blank(t)
	e := open(t, Config{Host: host, SSH: &SSH{PrivateKey: s.PrivateKey, KnownHosts: s.KnownHosts}})
	if err := many(e, 60); err != nil {
		t.Fatal(err)
	}
	if n := s.Logins(); n != 1 {
		t.Errorf("%d logins for 60 calls, want 1", n)
	}
	// From the engine's host, other ports can be reached.
	conn, err := e.DialHost(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()

	// A connection that breaks is made anew; what was under way may fail.
	s.Drop()
	for deadline := time.Now().Add(time.Minute); ; {
		if err = many(e, 1); err == nil {
			break
		}
		if class := managed.ClassOf(e.Classify(err, "asking")); class != managed.ClassTransient {
			t.Fatalf("class %q: %v", class, err)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if n := s.Logins(); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
	// A server that is gone for now may come back: it worked before.
	s.Stop()
	_, err = e.Client().Info(t.Context(), client.InfoOptions{})
	testenv.WantError(t, e.Classify(err, "asking"), managed.ClassTransient, "")
	s.Start()
	if err := many(e, 8); err != nil {
		t.Error(err)
	}
}

// TestSSHWithoutSockets: where sshd forwards no sockets, the docker program
// over there does.
func TestSSHWithoutSockets(t *testing.T) {
	s, host := far(t, "AllowStreamLocalForwarding no")
	blank(t)
	e := open(t, Config{Host: host, SSH: &SSH{PrivateKey: s.PrivateKey, KnownHosts: s.KnownHosts}})
	if err := many(e, 40); err != nil {
		t.Error(err)
	}
	if n := s.Logins(); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// TestSSHLogin: what the ssh program would use is used, and nothing else.
func TestSSHLogin(t *testing.T) {
	s, host := far(t)
	works := func(t *testing.T, cfg Config) {
		t.Helper()
		if err := ping(t, cfg); err != nil {
			t.Error(err)
		}
	}
	user := func(t *testing.T) (home string) {
		t.Helper()
		home = blank(t)
		write(t, filepath.Join(home, ".ssh", "known_hosts"), s.KnownHosts+"\n")
		return home
	}
	t.Run("usual files", func(t *testing.T) {
		write(t, filepath.Join(user(t), ".ssh", "id_ed25519"), s.PrivateKey)
		works(t, Config{Host: host})
	})
	t.Run("configured files", func(t *testing.T) {
		dir := t.TempDir()
		blank(t)
		write(t, filepath.Join(dir, "k"), s.PrivateKey)
		write(t, filepath.Join(dir, "h"), s.KnownHosts+"\n")
		works(t, Config{Host: host, SSH: &SSH{PrivateKeyFile: filepath.Join(dir, "k"), KnownHostsFile: filepath.Join(dir, "h")}})
	})
	t.Run("passphrase", func(t *testing.T) {
		user(t)
		locked, public := testenv.NewSSHKey(t, "open sesame")
		write(t, filepath.Join(s.Dir, "authorized"), public+"\n"+authorized(t, s.PrivateKey)+"\n")
		works(t, Config{Host: host, SSH: &SSH{PrivateKey: locked, Passphrase: "open sesame"}})
	})
	t.Run("agent", func(t *testing.T) {
		user(t)
		t.Setenv("SSH_AUTH_SOCK", serveAgent(t, s.PrivateKey))
		works(t, Config{Host: host})
	})
	t.Run("alias", func(t *testing.T) {
		home := blank(t)
		write(t, filepath.Join(home, "keys", "k"), s.PrivateKey)
		write(t, filepath.Join(home, "hosts"), s.KnownHosts+"\n")
		write(t, filepath.Join(home, ".ssh", "config"), fmt.Sprintf(
			"Host box\n  HostName 127.0.0.1\n  Port %d\n  User root\n  IdentityFile ~/keys/k\n  UserKnownHostsFile %%d/hosts\n", s.Port))
		works(t, Config{Host: "ssh://box" + strings.TrimPrefix(testenv.DockerHost(), "unix://")})
	})
	t.Run("agent with IdentitiesOnly", func(t *testing.T) {
		home := user(t)
		_, public := testenv.NewSSHKey(t, "")
		config := fmt.Sprintf("Match host nowhere\n  User nobody\nHost 127.0.0.1\n  IdentitiesOnly=yes\n  IdentityFile ~/k\n  Port %d\n", s.Port)
		write(t, filepath.Join(home, ".ssh", "config"), config)
		t.Setenv("SSH_AUTH_SOCK", serveAgent(t, s.PrivateKey))
		write(t, filepath.Join(home, "k.pub"), public)
		testenv.WantError(t, ping(t, Config{Host: host}), managed.ClassPermission, "docker.ssh", "there is none to try")
		write(t, filepath.Join(home, "k.pub"), authorized(t, s.PrivateKey))
		works(t, Config{Host: host})
	})
	t.Run("jump", func(t *testing.T) {
		home := user(t)
		write(t, filepath.Join(home, ".ssh", "id_ed25519"), s.PrivateKey)
		write(t, filepath.Join(home, ".ssh", "config"), fmt.Sprintf("Host box\n  HostName 127.0.0.1\n  Port %d\n  ProxyJump root@127.0.0.1:%d\n", s.Port, s.Port))
		before := s.Logins()
		works(t, Config{Host: "ssh://root@box" + strings.TrimPrefix(testenv.DockerHost(), "unix://")})
		if n := s.Logins() - before; n != 2 {
			t.Errorf("%d logins, want one to the host between and one to the engine's", n)
		}
	})
}

func TestSSHRefusals(t *testing.T) {
	s, host := far(t)
	other, _ := testenv.NewSSHKey(t, "")
	_, otherHost := testenv.NewSSHKey(t, "")
	blank(t)
	changed := fmt.Sprintf("[127.0.0.1]:%d %s", s.Port, otherHost)
	for name, c := range map[string]struct {
		cfg       Config
		class     managed.Class
		attribute string
		words     []string
	}{
		"unknown host": {Config{Host: host, SSH: &SSH{PrivateKey: s.PrivateKey}}, managed.ClassPermission, "docker.ssh.known_hosts", []string{"is not known", s.KnownHosts}},
		"changed host": {Config{Host: host, SSH: &SSH{PrivateKey: s.PrivateKey, KnownHosts: changed}}, managed.ClassPermission, "docker.ssh.known_hosts", []string{"another key", "ssh-keygen -R"}},
		"wrong key":    {Config{Host: host, SSH: &SSH{PrivateKey: other, KnownHosts: s.KnownHosts}}, managed.ClassPermission, "docker.ssh", []string{"root", "the configured key SHA256:"}},
		"no key":       {Config{Host: host, SSH: &SSH{KnownHosts: s.KnownHosts}}, managed.ClassPermission, "docker.ssh", []string{"there is none to try", "ssh-add"}},
		"no engine":    {Config{Host: s.Host("/no/docker.sock"), SSH: &SSH{PrivateKey: s.PrivateKey, KnownHosts: s.KnownHosts}}, managed.ClassUnavailable, "", []string{"/no/docker.sock", "cannot be opened"}},
	} {
		t.Run(name, func(t *testing.T) { testenv.WantError(t, ping(t, c.cfg), c.class, c.attribute, c.words...) })
	}
	if strings.Contains(s.Log(), "password") {
		t.Errorf("it tried a password:\n%s", s.Log())
	}
	t.Run("canceled", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0") // says nothing
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		e := open(t, Config{Host: "ssh://root@" + l.Addr().String()})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err = e.Client().Ping(ctx, client.PingOptions{})
		if err == nil || time.Since(begun) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
	t.Run("configuration", func(t *testing.T) {
		home := blank(t)
		write(t, filepath.Join(home, ".ssh", "config"), "Host box\n  ProxyCommand nc %h %p\nHost loop\n  ProxyJump loop\n")
		_, err := New(Config{Host: "ssh://box"})
		testenv.WantError(t, err, managed.ClassInvalid, "docker.host", "ProxyCommand", "ssh -N -L")
		_, err = New(Config{Host: "ssh://loop"})
		testenv.WantError(t, err, managed.ClassInvalid, "docker.host", "jumps over more than")
	})
}

// authorized is a private key's line for authorized_keys.
func authorized(t *testing.T, private string) string {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// serveAgent is an ssh agent with one key; it gives its socket.
func serveAgent(t *testing.T, private string) string {
	t.Helper()
	key, err := ssh.ParseRawPrivateKey([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "a")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keys, conn) }()
		}
	}()
	return socket
}
