// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker/cli/cli/config"
	dockercontext "github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Address is where an engine is.
type Address struct {
	// Scheme is unix, tcp, ssh or npipe.
	Scheme string
	// Host is a name or an IP address, "" for a socket. Of an ssh address it
	// may be an alias of the user's ssh configuration.
	Host string
	// Port is 0 where the address names none.
	Port int
	// User of an ssh address; may be empty.
	User string
	// Path of the socket, on the ssh host for an ssh address.
	Path string
	// Source says for people where the address came from.
	Source string

	url string
}

// String is the address without secrets.
func (a Address) String() string { return a.url }

func (a Address) hostPort() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// usualSocket is where an engine listens unless told otherwise.
const usualSocket = "/var/run/docker.sock"

// location is a resolved configuration.
type location struct {
	address Address
	tls     *tls.Config // nil for none
}

// locate finds the engine in the order of the docker program: what is
// configured, then DOCKER_HOST, DOCKER_CONTEXT, the current context, and the
// usual sockets.
func locate(cfg Config) (location, error) {
	if cfg.Host != "" && cfg.Context != "" {
		return location{}, managed.Errorf(managed.ClassInvalid, "docker.context", "docker.host and docker.context exclude each other")
	}
	if cfg.Host != "" {
		return fromHost(cfg, cfg.Host, "docker.host", "the provider's configuration", nil)
	}
	if cfg.Context != "" {
		return fromContext(cfg, cfg.Context, "the provider's configuration")
	}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		env, err := environmentTLS()
		if err != nil {
			return location{}, err
		}
		return fromHost(cfg, host, "", "DOCKER_HOST", env)
	}
	if name := os.Getenv("DOCKER_CONTEXT"); name != "" {
		return fromContext(cfg, name, "DOCKER_CONTEXT")
	}
	if file, err := config.Load(config.Dir()); err == nil && file.CurrentContext != "" {
		return fromContext(cfg, file.CurrentContext, "the current Docker context")
	}
	return fromHost(cfg, defaultHost(), "", "the usual socket", nil)
}

// defaultHost is the first of the usual sockets that is there.
func defaultHost() string {
	var sockets []string
	add := func(base string, more ...string) {
		if base != "" {
			sockets = append(sockets, filepath.Join(append([]string{base}, more...)...))
		}
	}
	home, _ := os.UserHomeDir()
	runtimeDir := os.Getenv("XDG_RUNTIME_DIR")
	add(usualSocket)
	add(runtimeDir, "docker.sock")             // rootless Docker
	add(home, ".docker", "run", "docker.sock") // Docker Desktop
	add(runtimeDir, "podman", "podman.sock")
	add("/run/podman/podman.sock")
	for _, path := range sockets {
		if exists(path) {
			return "unix://" + path
		}
	}
	return "unix://" + usualSocket
}

// fromHost reads the address of an engine. Env is the TLS of the environment,
// which the configured one replaces.
func fromHost(cfg Config, host, attribute, source string, env *tls.Config) (location, error) {
	a, err := parseAddress(host, cfg.TLS != nil || env != nil)
	if err != nil {
		return location{}, managed.Errorf(managed.ClassInvalid, attribute, "%q (from %s) is no address of an engine: %w", host, source, err)
	}
	a.Source = source
	l := location{address: a}
	if cfg.SSH != nil && a.Scheme != "ssh" {
		return l, managed.Errorf(managed.ClassInvalid, "docker.ssh", "docker.ssh is for ssh:// addresses, and the engine's is %s", a)
	}
	if cfg.TLS != nil {
		if a.Scheme != "tcp" {
			return l, managed.Errorf(managed.ClassInvalid, "docker.tls", "docker.tls is for tcp:// addresses, and the engine's is %s", a)
		}
		l.tls, err = cfg.TLS.config(a.Host)
		return l, err
	}
	if a.Scheme == "tcp" {
		l.tls = env
		if l.tls != nil && l.tls.ServerName == "" {
			l.tls.ServerName = a.Host
		}
	}
	if a.Scheme == "tcp" && strings.HasPrefix(host, "https://") && l.tls == nil {
		l.tls = serverTLS(a.Host)
	}
	return l, nil
}

// The ports that engines listen on unless told otherwise.
const (
	portWithTLS    = 2376
	portWithoutTLS = 2375
)

func parseAddress(host string, withTLS bool) (Address, error) {
	scheme, rest, ok := strings.Cut(host, "://")
	if !ok {
		return Address{}, fmt.Errorf("it needs to begin with unix://, tcp:// or ssh://")
	}
	a := Address{Scheme: scheme, url: host}
	switch scheme {
	case "unix":
		a.Path = rest
		if !strings.HasPrefix(rest, "/") {
			return a, fmt.Errorf("the socket's path has to be absolute")
		}
		return a, nil
	case "npipe":
		a.Path = rest
		return a, nil
	case "tcp", "http", "https", "ssh":
	default:
		return a, fmt.Errorf("%s:// is not known; use unix://, tcp:// or ssh://", scheme)
	}
	u, err := url.Parse(host)
	if err != nil {
		return a, fmt.Errorf("it cannot be read")
	}
	if _, secret := u.User.Password(); secret {
		return a, fmt.Errorf("a password does not belong into an address")
	}
	a.Host, a.User = u.Hostname(), u.User.Username()
	if a.Host == "" {
		return a, fmt.Errorf("the host is missing")
	}
	if p := u.Port(); p != "" {
		if a.Port, err = strconv.Atoi(p); err != nil || a.Port < 1 || a.Port > 65535 {
			return a, fmt.Errorf("%q is no port", p)
		}
	}
	if scheme == "ssh" {
		a.Path = usualSocket
		if u.Path != "" && u.Path != "/" {
			a.Path = u.Path
		}
		return a, nil
	}
	a.Scheme = "tcp"
	if u.Path != "" && u.Path != "/" {
		return a, fmt.Errorf("it has a path")
	}
	if a.Port == 0 {
		a.Port = portWithTLS
		if scheme != "https" && !withTLS {
			a.Port = portWithoutTLS
		}
	}
	a.url = "tcp://" + a.hostPort()
	return a, nil
}

// defaultContext is the context that stands for no context.
const defaultContext = "default"

// fromContext reads a Docker context of the user's.
func fromContext(cfg Config, name, source string) (location, error) {
	attribute := ""
	if name == cfg.Context {
		attribute = "docker.context"
	}
	if name == defaultContext {
		return fromHost(cfg, defaultHost(), "", "the usual socket", nil)
	}
	s := store.New(config.ContextStoreDir(), store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(dockercontext.DockerEndpoint, func() any { return &dockercontext.EndpointMeta{} }),
	))
	meta, err := s.GetMetadata(name)
	if err != nil {
		return location{}, managed.Errorf(managed.ClassInvalid, attribute, "reading the Docker context %q (from %s): %w; \"docker context ls\" shows those that there are", name, source, err)
	}
	endpoint, err := dockercontext.EndpointFromContext(meta)
	if err != nil {
		return location{}, managed.Errorf(managed.ClassInvalid, attribute, "the Docker context %q (from %s) names no engine: %w", name, source, err)
	}
	l, err := fromHost(cfg, endpoint.Host, attribute, fmt.Sprintf("the Docker context %q", name), nil)
	if err != nil || l.address.Scheme != "tcp" || cfg.TLS != nil {
		return l, err
	}
	withTLS, err := dockercontext.WithTLSData(s, name, endpoint)
	if err != nil {
		return location{}, managed.Errorf(managed.ClassInvalid, attribute, "reading the TLS files of the Docker context %q: %w", name, err)
	}
	if withTLS.TLSData == nil && !endpoint.SkipTLSVerify {
		return l, nil
	}
	own := TLS{}
	if d := withTLS.TLSData; d != nil {
		own.CA, own.Cert, own.Key = string(d.CA), string(d.Cert), string(d.Key)
	}
	if l.tls, err = own.config(l.address.Host); err != nil {
		return location{}, err
	}
	l.tls.InsecureSkipVerify = endpoint.SkipTLSVerify //nolint:gosec // the user's own context says so
	return l, nil
}
