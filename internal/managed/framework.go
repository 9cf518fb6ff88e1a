// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"net"
	"net/url"
	"strings"
	"time"
)

// Framework is the parallel framework that a cluster's containers speak. It
// knows how server and workers are configured and how a client connects.
// Methods are pure: they make no call and keep no state. What a framework can
// do beyond that it says by implementing [ServerProber], [WorkerLister],
// [IdleTeller], [Drainer], [Configured] or [Exporter].
type Framework interface {
	// Name as in the configuration: "custom", "redis", ...
	Name() string
	// Defaults are what a role's container has where the user wrote nothing.
	Defaults(role Role) Defaults
	// HasPassword tells whether server and clients share a password.
	HasPassword() bool
	// URL of the server, with the password in it where the framework's
	// clients take one from there; with an empty password, without.
	URL(host string, port int, password Secret) string
	// Environment is what the framework adds to a container of the role,
	// beside what every container gets (see Facts). The names do not depend
	// on the values in f.
	Environment(role Role, f Facts) Environment
	// Client is how a client registers and deregisters its parallel backend.
	// It holds no password: the code reads PasswordVariable.
	Client(f ClientFacts) Client
}

// PasswordVariable is the environment variable in which a client finds the
// server's password.
const PasswordVariable = "DOCKERPARALLEL_PASSWORD"

// Defaults of a role.
type Defaults struct {
	Image      string
	Entrypoint []string
	Command    []string
	// Port that the server listens on, 0 if the framework has no usual one.
	Port int
	// Ports that the server listens on beside it, by name, in the order in
	// which they follow the main one where that is not the usual one.
	Ports    []Port
	Hardware Hardware
	// MaxWorkers in a container.
	MaxWorkers int
	// StopSignal and StopGrace: how a container is asked to leave, and the
	// time it has to finish what it is doing.
	StopSignal string
	StopGrace  time.Duration
}

// Facts are what a container needs to know of its cluster.
type Facts struct {
	Namespace string
	Cluster   string
	Pool      string
	// Host and Port where the workers reach the server. For the server itself
	// they are where it listens.
	Host string
	Port int
	// Ports of the server beside the main one, by name.
	Ports    map[string]int
	Password Secret
	// Workers to run in this container; 0 for the server.
	Workers int
	// Hardware of one worker; of the server, for the server.
	Hardware Hardware
}

// Environment of a container, the secret part apart.
type Environment struct {
	Plain  map[string]string
	Secret map[string]Secret
}

// ClientFacts are what a client needs to know of a cluster.
type ClientFacts struct {
	Cluster string
	// Host and Port where the client reaches the server.
	Host string
	Port int
	// Tunnel is the ssh command that brings Port of the client's own machine to
	// the server, where the client has no other way to it; "" where it has.
	Tunnel string
	// Exports are what the framework's [Exporter] has said of the server.
	Exports map[string]string
}

// Client is code, ready to paste, that registers the cluster as a parallel
// backend and deregisters it. An empty string: not for this language.
type Client struct {
	URL    string
	R      string
	Python string
	Shell  string
}

// DialFunc opens a connection to a named port of the server (PortMain, or one
// of Defaults.Ports), from wherever it can be reached.
type DialFunc func(ctx context.Context, port string) (net.Conn, error)

// ServerProber is a Framework that can tell whether its server answers.
type ServerProber interface {
	// ProbeServer returns nil once the server answers. An error of
	// ClassPermission or ClassInvalid is final, any other is tried again.
	ProbeServer(ctx context.Context, dial DialFunc, f Facts) error
}

// WorkerLister is a Framework whose server knows its workers.
type WorkerLister interface {
	// RegisteredWorkers lists those of f.Pool. It may list some that have died
	// lately; the core counts those of containers that are alive.
	RegisteredWorkers(ctx context.Context, dial DialFunc, f Facts) ([]RegisteredWorker, error)
}

// RegisteredWorker is what a server knows of a worker.
type RegisteredWorker struct {
	// Container that the worker is in, as it found it in EnvContainer; "" if
	// it has not told the server, and is then taken for alive.
	Container string
	// Workers that it stands for; 0 means one.
	Workers int
	// Busy is true while it has a task; see [IdleTeller].
	Busy bool
}

// IdleTeller is a WorkerLister that knows whether its workers are busy, so that
// scale_in = "idle" can choose.
type IdleTeller interface {
	WorkerLister
	// TellsIdle says that RegisteredWorker.Busy is to be believed, and that
	// the workers name their containers.
	TellsIdle()
}

// Drainer is a Framework whose server has to be told before workers leave: a
// stop signal alone would lose something.
type Drainer interface {
	// Drain has the workers in these containers (names as in EnvContainer)
	// finish what they do and hand over what they hold, and returns when they
	// have, or ctx ends. It is the first step of a stop, whose signal follows
	// whatever Drain says.
	Drain(ctx context.Context, dial DialFunc, f Facts, containers []string) error
}

// Configured is a Framework with options that a user has set.
type Configured interface {
	// Options by name; they encode to JSON. A change of them restarts the
	// containers.
	Options() map[string]any
}

// Exporter is a Framework with more to tell of its server than one address.
type Exporter interface {
	// Exports are shown to people, under their own names: "dashboard".
	Exports(ports map[string]Endpoint) map[string]string
}

// Secret is a string that does not show itself in logs, errors or JSON.
type Secret string

const hidden = "(secret)"

// Reveal gives the secret away. Call it where the secret is handed over and
// nowhere else.
func (s Secret) Reveal() string { return string(s) }

// Hide takes the secret out of a text, as it is and as it stands in a URL. One
// of two characters or less stays: taking those out would say what they are.
func (s Secret) Hide(text string) string {
	if len(s) <= 2 {
		return text
	}
	raw := s.Reveal()
	form := url.QueryEscape(raw)
	return strings.NewReplacer( // in one pass: what it puts in is not looked at again
		strings.ReplaceAll(form, "+", "%20"), hidden, form, hidden, url.PathEscape(raw), hidden,
		url.UserPassword("", raw).String()[1:], hidden, raw, hidden,
	).Replace(text)
}

// String hides the secret.
func (s Secret) String() string { return hidden }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return hidden }

// MarshalJSON hides the secret from JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
