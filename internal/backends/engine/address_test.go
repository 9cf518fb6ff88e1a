// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config"
	"github.com/opencontainers/go-digest"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// blank is a user without any Docker or SSH configuration.
func blank(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	if cache, err := os.UserCacheDir(); err == nil && os.Getenv("GOCACHE") == "" {
		t.Setenv("GOCACHE", filepath.Join(cache, "go-build")) // programs for images are still built quickly
	}
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	dir := filepath.Join(home, ".docker")
	t.Setenv("DOCKER_CONFIG", dir)
	old := config.Dir()
	config.SetDir(dir) // which reads the variable only once
	t.Cleanup(func() { config.SetDir(old) })
	return home
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// dockerContext writes a context as "docker context create" does.
func dockerContext(t *testing.T, name, endpoint string) {
	t.Helper()
	write(t, filepath.Join(os.Getenv("DOCKER_CONFIG"), "contexts", "meta", digest.FromString(name).Encoded(), "meta.json"),
		`{"Name":"`+name+`","Metadata":{},"Endpoints":{"docker":`+endpoint+`}}`)
}

// TestWhereTheEngineIs: what is nearer to the provider's configuration wins,
// in the order of the docker program.
func TestWhereTheEngineIs(t *testing.T) {
	home := blank(t)
	is := func(cfg Config, address, source string) {
		t.Helper()
		l, err := locate(cfg)
		if err != nil {
			t.Error(err)
			return
		}
		if l.address.String() != address || !strings.Contains(l.address.Source, source) {
			t.Errorf("it is %s from %s, want %s from %s", l.address, l.address.Source, address, source)
		}
	}
	_, err := os.Stat(usualSocket)
	if err != nil {
		is(Config{}, "unix://"+usualSocket, "the usual socket")
		desktop := filepath.Join(home, ".docker", "run", "docker.sock")
		write(t, desktop, "")
		is(Config{}, "unix://"+desktop, "the usual socket")
	} else {
		is(Config{}, "unix://"+usualSocket, "the usual socket")
	}

	dockerContext(t, "box", `{"Host":"tcp://box:2375"}`)
	dockerContext(t, "other", `{"Host":"ssh://me@other"}`)
	write(t, filepath.Join(home, ".docker", "config.json"), `{"currentContext":"box"}`)
	is(Config{}, "tcp://box:2375", `the Docker context "box"`)
	t.Setenv("DOCKER_CONTEXT", "other")
	is(Config{}, "ssh://me@other", `the Docker context "other"`)
	t.Setenv("DOCKER_HOST", "tcp://there")
	is(Config{}, "tcp://there:2375", "DOCKER_HOST")
	is(Config{Context: "box"}, "tcp://box:2375", `the Docker context "box"`)
	is(Config{Host: "unix:///x.sock"}, "unix:///x.sock", "the provider's configuration")
	t.Setenv("DOCKER_HOST", "")
	t.Setenv("DOCKER_CONTEXT", "default")
	is(Config{}, defaultHost(), "the usual socket")
}

func TestAddresses(t *testing.T) {
	blank(t)
	for host, want := range map[string]Address{
		"unix:///run/d.sock":          {Scheme: "unix", Path: "/run/d.sock", url: "unix:///run/d.sock"},
		"tcp://h":                     {Scheme: "tcp", Host: "h", Port: 2375, url: "tcp://h:2375"},
		"tcp://h:7/":                  {Scheme: "tcp", Host: "h", Port: 7, url: "tcp://h:7"},
		"https://h":                   {Scheme: "tcp", Host: "h", Port: 2376, url: "tcp://h:2376"},
		"tcp://[::1]:2376":            {Scheme: "tcp", Host: "::1", Port: 2376, url: "tcp://[::1]:2376"},
		"ssh://h":                     {Scheme: "ssh", Host: "h", Path: usualSocket, url: "ssh://h"},
		"ssh://me@h:22/run/p.sock":    {Scheme: "ssh", Host: "h", User: "me", Port: 22, Path: "/run/p.sock", url: "ssh://me@h:22/run/p.sock"},
		"npipe:////./pipe/docker_eng": {Scheme: "npipe", Path: "//./pipe/docker_eng", url: "npipe:////./pipe/docker_eng"},
	} {
		got, err := parseAddress(host, false)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", host, got, err, want)
		}
	}
	if got, err := parseAddress("tcp://h", true); err != nil || got.Port != 2376 {
		t.Errorf("with TLS: %+v, %v", got, err)
	}
	for host, word := range map[string]string{
		"/var/run/docker.sock": "begin with unix://", "unix://relative": "absolute", "ftp://h": "not known", "tcp://": "host is missing",
		"tcp://h:99999": "no port", "tcp://h/path": "has a path", "ssh://me:secret@h": "password", "ssh://": "host is missing",
	} {
		_, err := New(Config{Host: host})
		testenv.WantError(t, err, managed.ClassInvalid, "docker.host", word)
		if strings.Contains(host, "secret") {
			continue
		}
		t.Setenv("DOCKER_HOST", host)
		_, err = New(Config{})
		testenv.WantError(t, err, managed.ClassInvalid, "", word, "DOCKER_HOST")
		t.Setenv("DOCKER_HOST", "")
	}
}

func TestWhatDoesNotGoTogether(t *testing.T) {
	blank(t)
	refused := func(cfg Config, attribute string, words ...string) {
		t.Helper()
		_, err := New(cfg)
		testenv.WantError(t, err, managed.ClassInvalid, attribute, words...)
	}
	refused(Config{Host: "tcp://h", Context: "c"}, "docker.context", "exclude each other")
	refused(Config{Context: "none"}, "docker.context", "none", "docker context ls")
	refused(Config{Host: "unix:///s", TLS: &TLS{}}, "docker.tls", "tcp://")
	refused(Config{Host: "tcp://h", SSH: &SSH{}}, "docker.ssh", "ssh://")
	refused(Config{Host: "tcp://h", TLS: &TLS{CA: "x"}}, "docker.tls.ca", "BEGIN CERTIFICATE")
	refused(Config{Host: "tcp://h", TLS: &TLS{CAFile: "/no/such.pem"}}, "docker.tls.ca_file", "/no/such.pem")
	refused(Config{Host: "tcp://h", TLS: &TLS{Cert: "x"}}, "docker.tls", "belong together")
	refused(Config{Host: "tcp://h", TLS: &TLS{Cert: "x", Key: "y"}}, "docker.tls.cert", "reading")
	refused(Config{Host: "ssh://h", SSH: &SSH{PrivateKey: "x"}}, "docker.ssh.private_key", "cannot be used")
	refused(Config{Host: "ssh://h", SSH: &SSH{PrivateKeyFile: "/no/key"}}, "docker.ssh.private_key_file", "/no/key")
	refused(Config{Host: "ssh://h", SSH: &SSH{KnownHostsFile: "/no/hosts"}}, "docker.ssh.known_hosts_file", "/no/hosts")
	locked, _ := testenv.NewSSHKey(t, "secret")
	refused(Config{Host: "ssh://h", SSH: &SSH{PrivateKey: locked}}, "docker.ssh.private_key", "encrypted", "docker.ssh.passphrase")
	dockerContext(t, "broken", `{"Host":"gopher://x"}`)
	refused(Config{Context: "broken"}, "docker.context", "gopher")
	t.Setenv("DOCKER_HOST", "tcp://h")
	t.Setenv("DOCKER_TLS_VERIFY", "1")
	t.Setenv("DOCKER_CERT_PATH", t.TempDir())
	refused(Config{}, "", "DOCKER_CERT_PATH", "no ca.pem")
}
