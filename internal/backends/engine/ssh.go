// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

const (
	// handshakeTime bounds the login to one host.
	handshakeTime = 15 * time.Second
	// keepaliveTime is how often a connection is asked whether it lives, and
	// how long it may take to say so.
	keepaliveTime = 15 * time.Second
	// sshSessions is how many sessions are open at once where the server
	// does not forward sockets: sshd allows ten for a connection.
	sshSessions = 8
)

// sshHost is the one SSH connection to an engine's host. All calls to the
// engine are channels in it. It is made with the first of them, and again when
// it is found dead.
type sshHost struct {
	hops   []hop // the last is the engine's host
	socket string
	log    *slog.Logger

	// making is held by who connects; the others wait for the result.
	making chan struct{}
	mu     sync.Mutex
	client *ssh.Client
	// chain are the clients of the jump hosts before it.
	chain    []*ssh.Client
	closed   bool
	sessions chan struct{}
	// noSockets is true once the server has refused to forward a socket.
	noSockets bool
}

func newSSHHost(cfg *SSH, a Address, log *slog.Logger) (*sshHost, error) {
	if cfg == nil {
		cfg = &SSH{}
	}
	hops, err := resolveHops(*cfg, a, log)
	if err != nil {
		return nil, err
	}
	return &sshHost{hops: hops, socket: a.Path, log: log, making: make(chan struct{}, 1), sessions: make(chan struct{}, sshSessions)}, nil
}

// connected gives the live connection, or makes one.
func (s *sshHost) connected(ctx context.Context) (*ssh.Client, error) {
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s.mu.Lock()
	c, closed := s.client, s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return nil, net.ErrClosed
	case c != nil:
		return c, nil
	}
	var chain []*ssh.Client
	for i := range s.hops {
		var via *ssh.Client
		if i > 0 {
			via = chain[i-1]
		}
		next, err := s.hops[i].login(ctx, via)
		if err != nil {
			closeAll(chain)
			return nil, err
		}
		chain = append(chain, next)
	}
	c = chain[len(chain)-1]
	s.mu.Lock()
	s.client, s.chain = c, chain
	s.mu.Unlock()
	s.log.Debug("connected by SSH", "host", s.hops[len(s.hops)-1].address)
	go s.watch(c, chain)
	return c, nil
}

// watch keeps a connection alive, and forgets it when it is dead.
func (s *sshHost) watch(c *ssh.Client, chain []*ssh.Client) {
	dead := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(dead)
	}()
	tick := time.NewTicker(keepaliveTime)
	defer tick.Stop()
	for alive := true; alive; {
		select {
		case <-dead:
			alive = false
		case <-tick.C:
			alive = answers(c)
		}
	}
	s.mu.Lock()
	if s.client == c {
		s.client, s.chain = nil, nil
	}
	s.mu.Unlock()
	closeAll(chain)
}

// answers asks the server for anything; that it does not know the question is
// an answer.
func answers(c *ssh.Client) bool {
	reply := make(chan error, 1)
	go func() {
		_, _, err := c.SendRequest("keepalive@openssh.com", true, nil)
		reply <- err
	}()
	select {
	case err := <-reply:
		return err == nil
	case <-time.After(keepaliveTime):
		return false
	}
}

func closeAll(chain []*ssh.Client) {
	for i := len(chain) - 1; i >= 0; i-- {
		_ = chain[i].Close()
	}
}

func (s *sshHost) close() {
	s.mu.Lock()
	chain := s.chain
	s.closed, s.client, s.chain = true, nil, nil
	s.mu.Unlock()
	closeAll(chain)
}

// dial opens a channel to an address as seen from the engine's host.
func (s *sshHost) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := s.connected(ctx)
	if err != nil {
		return nil, err
	}
	return c.DialContext(ctx, network, address)
}

// dialEngine opens a channel to the engine's socket. Where the server does not
// forward sockets, the docker program over there passes the bytes on.
func (s *sshHost) dialEngine(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	noSockets := s.noSockets
	s.mu.Unlock()
	if noSockets {
		return s.dialStdio(ctx)
	}
	conn, err := s.dial(ctx, "unix", s.socket)
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		return conn, err
	}
	if refused.Reason == ssh.Prohibited || refused.Reason == ssh.UnknownChannelType || s.socketIsThere(ctx) {
		s.log.Info("the SSH server forwards no sockets; using the docker program there")
		s.mu.Lock()
		s.noSockets = true
		s.mu.Unlock()
		return s.dialStdio(ctx)
	}
	return nil, managed.Errorf(managed.ClassUnavailable, "", "the socket %s on the host %s cannot be opened (%s): does the engine run there, and may the user %s use it (group docker)? "+
		"For another socket write ssh://host/path", s.socket, s.last().address, refused.Message, s.last().user)
}

// socketIsThere asks the shell over there. sshd gives the same answer for a
// socket that it may not forward as for one that does not exist.
func (s *sshHost) socketIsThere(ctx context.Context) bool {
	c, err := s.connected(ctx)
	if err != nil {
		return false
	}
	session, err := c.NewSession()
	if err != nil {
		return false
	}
	defer func() { _ = session.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	return session.Run("test -w "+quoted(s.socket)) == nil
}

// quoted is a word of a POSIX shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (s *sshHost) last() *hop { return &s.hops[len(s.hops)-1] }

// dialStdio runs "docker system dial-stdio" in a session.
func (s *sshHost) dialStdio(ctx context.Context) (net.Conn, error) {
	select {
	case s.sessions <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	release := sync.OnceFunc(func() { <-s.sessions })
	c, err := s.connected(ctx)
	if err != nil {
		release()
		return nil, err
	}
	session, err := c.NewSession()
	if err != nil {
		release()
		return nil, managed.Errorf(managed.ClassUnavailable, "", "the SSH server on %s opens neither a socket nor a session: %w; allow one of them (AllowStreamLocalForwarding in its sshd_config)", s.last().address, err)
	}
	conn := &stdioConn{session: session, release: release, local: c.LocalAddr(), remote: c.RemoteAddr()}
	conn.in, err = session.StdinPipe()
	if err == nil {
		conn.out, err = session.StdoutPipe()
	}
	if err == nil {
		err = session.Start("docker -H " + quoted("unix://"+s.socket) + " system dial-stdio")
	}
	if err != nil {
		_ = conn.Close()
		return nil, managed.Errorf(managed.ClassUnavailable, "", "running docker on %s: %w", s.last().address, err)
	}
	return conn, nil
}

// stdioConn is a connection through a remote program.
type stdioConn struct {
	session *ssh.Session
	in      io.WriteCloser
	out     io.Reader
	release func()
	local   net.Addr
	remote  net.Addr
}

// Read implements net.Conn.
func (c *stdioConn) Read(p []byte) (int, error) { return c.out.Read(p) }

// Write implements net.Conn.
func (c *stdioConn) Write(p []byte) (int, error) { return c.in.Write(p) }

// CloseWrite ends the remote program's input.
func (c *stdioConn) CloseWrite() error { return c.in.Close() }

// Close implements net.Conn.
func (c *stdioConn) Close() error {
	defer c.release()
	return c.session.Close()
}

// LocalAddr implements net.Conn.
func (c *stdioConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *stdioConn) RemoteAddr() net.Addr { return c.remote }

var errNoDeadline = errors.New("a connection through SSH has no deadlines")

// SetDeadline implements net.Conn.
func (c *stdioConn) SetDeadline(time.Time) error { return errNoDeadline }

// SetReadDeadline implements net.Conn.
func (c *stdioConn) SetReadDeadline(time.Time) error { return errNoDeadline }

// SetWriteDeadline implements net.Conn.
func (c *stdioConn) SetWriteDeadline(time.Time) error { return errNoDeadline }

// hop is a host to log in to.
type hop struct {
	address string // host:port
	user    string
	auth    func() ([]ssh.Signer, []string, error)
	hosts   hostKeys
}

// login opens an SSH connection, through another one if via is not nil.
func (h *hop) login(ctx context.Context, via *ssh.Client) (*ssh.Client, error) {
	signers, tried, err := h.auth()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	var conn net.Conn
	if via != nil {
		conn, err = via.DialContext(ctx, "tcp", h.address)
	} else {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "tcp", h.address)
	}
	if err != nil {
		return nil, managed.Errorf(unreachable(ctx, err), "", "connecting to the SSH server at %s: %w", h.address, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	cfg := &ssh.ClientConfig{User: h.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)}}
	var hostErr error
	cfg.HostKeyCallback, cfg.HostKeyAlgorithms, err = h.hosts.check(h.address, &hostErr)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, h.address, cfg)
	if !stop() || err != nil {
		_ = conn.Close()
		switch {
		case hostErr != nil:
			return nil, hostErr
		case ctx.Err() != nil:
			return nil, managed.Errorf(managed.ClassOf(context.Cause(ctx)), "", "logging in to the SSH server at %s: %w", h.address, context.Cause(ctx))
		}
		return nil, h.noLogin(err, tried)
	}
	return ssh.NewClient(c, channels, requests), nil
}

func unreachable(ctx context.Context, err error) managed.Class {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return managed.ClassOf(err)
	}
	return managed.ClassUnavailable
}

func portOr(port, other int) string {
	if port == 0 {
		port = other
	}
	return strconv.Itoa(port)
}
