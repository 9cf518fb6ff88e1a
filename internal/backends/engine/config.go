// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package engine is the way to a Docker Engine or a Podman service: where it
// is, how it is reached, how images come to it, and what its errors mean. What
// runs on it is the business of the backends that use this package.
package engine

import "log/slog"

// Config says how an engine is reached. The zero value means what the docker
// program would use: DOCKER_HOST and its companions, else the current Docker
// context, else the usual sockets.
type Config struct {
	// Host is unix:///path, tcp://host:port, ssh://user@host:port or
	// npipe:////./pipe/name. It excludes Context.
	Host string
	// Context names a Docker context of the user's.
	Context string
	// TLS for tcp hosts. Nil: DOCKER_TLS_VERIFY and DOCKER_CERT_PATH where the
	// host came from the environment, the context's own where from a context.
	TLS *TLS
	// SSH for ssh hosts. Nil means what the ssh program would use.
	SSH *SSH
	// Registries that need a login, beside those of the user's Docker
	// configuration and its credential helpers.
	Registries []Registry
	// Concurrency is how many calls are made at once; 0 means twice the
	// engine's CPUs, the measured optimum.
	Concurrency int
	// Log gets progress for people, such as that of a pull; nil logs nothing.
	Log *slog.Logger
}

// TLS is a client's side of TLS. Each of the three is either PEM text or the
// path of a PEM file. Without a CA the system's are trusted.
type TLS struct {
	CA, CAFile     string
	Cert, CertFile string
	Key, KeyFile   string
	// ServerName that the engine's certificate has to be for; "" is the host's.
	ServerName string
}

// SSH is how an ssh host is logged in to. What is empty comes from the user's
// ssh configuration, agent, keys and known hosts.
type SSH struct {
	// PrivateKey is a key in PEM or OpenSSH form, PrivateKeyFile a file with
	// one; Passphrase decrypts either.
	PrivateKey     string
	PrivateKeyFile string
	Passphrase     string
	// KnownHosts are lines as in a known_hosts file, KnownHostsFile is one.
	// A host whose key is in neither is refused.
	KnownHosts     string
	KnownHostsFile string
}

// Registry is a login to a registry.
type Registry struct {
	// Address as in the references of its images: "registry.example.com:5000".
	// "" is Docker Hub.
	Address  string
	Username string
	Password string
}

// PullPolicy says when an image is pulled.
type PullPolicy string

// The policies.
const (
	PullMissing PullPolicy = "missing" // if the engine does not have it
	PullAlways  PullPolicy = "always"  // before containers are started from it
	PullNever   PullPolicy = "never"
)
