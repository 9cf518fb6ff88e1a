// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Engine is a way to one engine. It connects with the first call, and is safe
// for use by several goroutines.
type Engine struct {
	cfg     Config
	address Address
	docker  *client.Client
	ssh     *sshHost // nil unless the address is an ssh one
	log     *slog.Logger
	link    link
	pulls   pulls
}

const (
	// dialTime bounds one attempt to connect to a socket or a port.
	dialTime = 15 * time.Second
	// idleConns are kept for the next call, on a local engine as many as
	// calls are made at once.
	idleConns = 64
	// sshConns is how many channels the one SSH connection carries at once.
	sshConns = 16
)

// New resolves and checks the configuration. It makes no connection.
func New(cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg, log: cfg.Log}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	found, err := locate(cfg)
	if err != nil {
		return nil, err
	}
	e.address = found.address
	transport := &http.Transport{
		MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns, IdleConnTimeout: 30 * time.Second,
		TLSClientConfig: found.tls,
	}
	host := "http://docker" // only a name in the request: dial knows the way
	switch e.address.Scheme {
	case "unix":
		transport.DialContext = e.watched(func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", e.address.Path)
		})
	case "ssh":
		if e.ssh, err = newSSHHost(cfg.SSH, e.address, e.log); err != nil {
			return nil, err
		}
		transport.MaxConnsPerHost = sshConns
		transport.DialContext = e.watched(e.ssh.dialEngine)
	case "npipe":
		transport = nil
		host = e.address.url
	default:
		host = e.address.String()
		target := e.address.hostPort()
		transport.DialContext = e.watched(func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", target)
		})
	}
	opts := []client.Opt{client.WithHost(host), client.WithAPIVersionFromEnv()}
	if transport != nil {
		// Set after the host, which would put its own dialler in.
		opts = append(opts, withTransport(transport))
	}
	if e.docker, err = client.New(opts...); err != nil {
		return nil, managed.Errorf(managed.ClassInvalid, "docker.host", "setting up the way to the engine at %s: %w", e.address, err)
	}
	return e, nil
}

func withTransport(t *http.Transport) client.Opt {
	return client.WithHTTPClient(&http.Client{Transport: t, CheckRedirect: client.CheckRedirect})
}

// link is what is known of the connection, for error messages: the client
// does not hand on why it could not connect.
type link struct {
	mu     sync.Mutex
	worked bool
	last   error
}

// watched bounds a dialler and remembers how it went.
func (e *Engine) watched(dial func(ctx context.Context) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		conn, err := dial(ctx)
		e.link.mu.Lock()
		defer e.link.mu.Unlock()
		e.link.last = err
		e.link.worked = e.link.worked || err == nil
		return conn, err
	}
}

// Client of the engine's API, which agrees on a version by itself.
func (e *Engine) Client() *client.Client { return e.docker }

// Address of the engine.
func (e *Engine) Address() Address { return e.address }

// HostName of the engine's host, "" for a socket on this machine. It is what
// an alias of the user's ssh configuration stands for.
func (e *Engine) HostName() string {
	if e.ssh == nil {
		return e.address.Host
	}
	host, _, err := net.SplitHostPort(e.ssh.last().address)
	if err != nil {
		return e.address.Host
	}
	return host
}

// Log is never nil.
func (e *Engine) Log() *slog.Logger { return e.log }

// DialHost opens a connection as seen from the engine's own host: through the
// SSH connection, or directly where the engine is reached by a local socket.
// For others it is [managed.ErrNoRoute]: an address of the engine's networks
// may mean something else here.
func (e *Engine) DialHost(ctx context.Context, network, address string) (net.Conn, error) {
	switch e.address.Scheme {
	case "ssh":
		return e.ssh.dial(ctx, network, address)
	case "unix":
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	return nil, managed.Errorf(managed.ClassTransient, "", "%w: the engine is reached by %s", managed.ErrNoRoute, e.address.Scheme)
}

// Close ends all connections.
func (e *Engine) Close() error {
	err := e.docker.Close()
	if e.ssh != nil {
		e.ssh.close()
	}
	return err
}

// serverTLS is a configuration that verifies the server.
func serverTLS(name string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
