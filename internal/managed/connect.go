// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"errors"
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
	case s.Status == StatusRunning && (launch == "" || s.Launch == launch):
		return m.wrongSecret(scope)
	case s.Status == StatusRunning:
		return Errorf(ClassNotFound, "cluster_id", "cluster %q runs as launch %q, not %q: it was started again by someone else; refresh and apply again", scope.Cluster, s.Launch, launch)
	case s.Status == StatusInitializing:
		return Errorf(ClassDeadline, "cluster_id", "the server %s of cluster %q did not start in time", s.Handle, scope.Cluster)
	}
	return Errorf(ClassNotFound, "cluster_id", "the server %s of cluster %q does not run (%s): apply the cluster first", s.Handle, scope.Cluster, s.Reason)
}

// wrongSecret: it was overwritten by somebody who has not started a server yet,
// or never will.
func (m *Manager) wrongSecret(scope Scope) error {
	return Errorf(ClassConflict, "cluster_id", "the secret of cluster %q is not that of the server which runs: the server is being started again just now, or two applies started it at once and one was cut off. Try again in a minute; if that does not help, replace the cluster (terraform apply -replace=...)", scope.Cluster)
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
	if secret.Launch != s.Launch {
		return nil, m.wrongSecret(scope)
	}
	return &Credentials{Framework: secret.Framework, Password: Secret(secret.Password), Endpoint: s.Endpoint, Launch: s.Launch}, nil
}

// dialer reaches a server's ports: from where the backend is or, if the server
// is from elsewhere, from where we are.
func (m *Manager) dialer(fw Framework, s ServerAddress) DialFunc {
	if m.can.Prober != nil && s.Handle != "" {
		return func(ctx context.Context, port string) (net.Conn, error) {
			return m.can.Prober.Dial(ctx, s.Handle, port)
		}
	}
	numbers := portNumbers(fw.Defaults(RoleServer), s.Port)
	numbers[PortMain] = s.Port
	return func(ctx context.Context, port string) (net.Conn, error) {
		if numbers[port] == 0 {
			return nil, Errorf(ClassInvalid, "", "the framework %q has no port %q", fw.Name(), port)
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(s.Host, strconv.Itoa(numbers[port])))
		if unknown := (*net.DNSError)(nil); errors.As(err, &unknown) && unknown.IsNotFound {
			return nil, Errorf(ClassInvalid, "wait_for", "the name %q of the server is not known where Terraform runs, so the server cannot be asked from here: use wait_for = \"running\"", s.Host)
		}
		return conn, err
	}
}

// portNumbers of the ports beside a server's main one. Where that is the
// framework's usual one, so are they; else they follow it, so that two servers
// on one machine need only differ in their port.
func portNumbers(d Defaults, main int) map[string]int {
	numbers := make(map[string]int, len(d.Ports)+1)
	for i, p := range d.Ports {
		numbers[p.Name] = p.Number
		if main != d.Port {
			numbers[p.Name] = main + 1 + i
		}
	}
	return numbers
}
