// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"net"
	"strconv"
	"time"
)

// ServerAddress is how the workers of a cluster reach its server.
type ServerAddress struct {
	// Handle of the server's container, "" for a server from elsewhere.
	Handle    Handle
	Launch    string
	Framework string
	Host      string
	Port      int
	Password  Secret
}

// ConnectServer waits until the cluster has a running server and tells how
// workers reach it. With a launch it waits for that launch, and gives up at
// once if that has ended. If there is no trace of a server, it gives up after
// two minutes; if there is one, when ctx is done.
func (m *Manager) ConnectServer(ctx context.Context, scope Scope, launch string) (ServerAddress, error) {
	begun := time.Now()
	for p := m.newPause(); ; {
		s, err := m.ServerStatus(ctx, scope, "")
		if err != nil {
			return ServerAddress{}, err
		}
		secret, err := m.getSecret(ctx, scope)
		if err != nil {
			return ServerAddress{}, err
		}
		if m.can.Lister == nil && secret != nil && secret.Handle != "" {
			if s, err = m.ServerStatus(ctx, scope, secret.Handle); err != nil {
				return ServerAddress{}, err
			}
		}
		if s.Status == StatusRunning && (launch == "" || s.Launch == launch) {
			if secret == nil {
				return ServerAddress{}, Errorf(ClassNotFound, "", "the secret of cluster %q is gone: its workers cannot be told how to reach the server; replace the cluster", scope.Cluster)
			}
			if secret.Launch == s.Launch { // else it is being started again right now
				return addressOf(s, secret), nil
			}
		}
		if launch != "" && s.Status == StatusStopped && s.Launch == launch {
			return ServerAddress{}, m.noServer(scope, launch, s) // what starts it again gives it another launch
		}
		if !s.Found && secret == nil && time.Since(begun) > appearTime {
			return ServerAddress{}, m.noServer(scope, launch, s)
		}
		if err := p.wait(ctx); err != nil {
			return ServerAddress{}, m.noServer(scope, launch, s)
		}
	}
}

func (m *Manager) noServer(scope Scope, launch string, s Server) error {
	switch {
	case !s.Found:
		return Errorf(ClassNotFound, "cluster_id", "there is no cluster %q in namespace %q on this backend", scope.Cluster, scope.Namespace)
	case s.Status == StatusRunning:
		return Errorf(ClassNotFound, "cluster_id", "cluster %q runs as launch %q, not %q: it was started again by someone else; refresh and apply again", scope.Cluster, s.Launch, launch)
	case s.Status == StatusInitializing:
		return Errorf(ClassDeadline, "cluster_id", "the server %s of cluster %q did not start in time", s.Handle, scope.Cluster)
	}
	return Errorf(ClassNotFound, "cluster_id", "the server %s of cluster %q does not run (%s): apply the cluster first", s.Handle, scope.Cluster, s.Reason)
}

func addressOf(s Server, secret *clusterSecret) ServerAddress {
	a := ServerAddress{Handle: s.Handle, Launch: s.Launch, Framework: secret.Framework, Password: Secret(secret.Password)}
	a.Host, a.Port = s.Endpoint.For(secret.SameLAN)
	return a
}

// For chooses the pair of an endpoint: the private one in the same LAN, the
// public one elsewhere; where the one that was chosen is absent, the other.
func (e Endpoint) For(sameLAN bool) (host string, port int) {
	if (sameLAN && e.PrivateIP != "") || e.PublicIP == "" {
		return e.PrivateIP, e.PrivatePort
	}
	return e.PublicIP, e.PublicPort
}

// ForClient chooses the pair for a client: nil means the public one if there
// is one.
func (e Endpoint) ForClient(sameLAN *bool) (host string, port int) {
	return e.For(sameLAN != nil && *sameLAN)
}

// Credentials are what a client needs to reach a cluster's server.
type Credentials struct {
	Framework string
	Password  Secret
	Endpoint  Endpoint
	Launch    string
}

// Credentials of a cluster; nil without an error if there is no such cluster
// or its server does not run.
func (m *Manager) Credentials(ctx context.Context, scope Scope) (*Credentials, error) {
	s, err := m.ServerStatus(ctx, scope, "")
	if err != nil || s.Status != StatusRunning {
		return nil, err
	}
	secret, err := m.getSecret(ctx, scope)
	if err != nil || secret == nil {
		return nil, err
	}
	return &Credentials{Framework: secret.Framework, Password: Secret(secret.Password), Endpoint: s.Endpoint, Launch: s.Launch}, nil
}

// dialer reaches a server's main port from where the backend is.
func (m *Manager) dialer(h Handle) DialFunc {
	return func(ctx context.Context) (net.Conn, error) { return m.can.Prober.Dial(ctx, h, PortMain) }
}

// dialAddress reaches a server from elsewhere, from where we are.
func dialAddress(host string, port int) DialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	}
}
