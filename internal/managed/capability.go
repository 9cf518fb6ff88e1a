// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"errors"
	"net"
	"time"
)

// Capabilities are what a backend can do beyond the three verbs. A nil field
// is something it cannot do. Ask with [CapabilitiesOf], never with a type
// assertion: a decorated backend shows the same capabilities as the one inside.
type Capabilities struct {
	Lister         Lister
	Endpointer     Endpointer
	PortPicker     PortPicker
	Preparer       Preparer
	Preflighter    Preflighter
	Validator      Validator
	Packer         Packer
	SecretStore    SecretStore
	Prober         Prober
	LogReader      LogReader
	ArtifactKiller ArtifactKiller
}

// capable is implemented by decorators, which answer for what they wrap.
type capable interface{ Capabilities() Capabilities }

// CapabilitiesOf tells what a backend can do, through decorators.
func CapabilitiesOf(b Backend) Capabilities {
	if c, ok := b.(capable); ok {
		return c.Capabilities()
	}
	var c Capabilities
	c.Lister, _ = b.(Lister)
	c.Endpointer, _ = b.(Endpointer)
	c.PortPicker, _ = b.(PortPicker)
	c.Preparer, _ = b.(Preparer)
	c.Preflighter, _ = b.(Preflighter)
	c.Validator, _ = b.(Validator)
	c.Packer, _ = b.(Packer)
	c.SecretStore, _ = b.(SecretStore)
	c.Prober, _ = b.(Prober)
	c.LogReader, _ = b.(LogReader)
	c.ArtifactKiller, _ = b.(ArtifactKiller)
	return c
}

// Lister finds everything of a scope again from its labels. Without it a
// cluster is known only by the handles that Terraform's state holds, and a
// crash can leave orphans.
type Lister interface {
	// List returns everything with our managed-by label that the selector
	// matches, whatever its status: containers in one call or one run of
	// pages, artifacts at least if they are asked for.
	List(ctx context.Context, sel Selector) (Inventory, error)
}

// Selector chooses what List returns. Empty fields match everything. Pool and
// Role choose among containers and leave artifacts alone.
type Selector struct {
	Namespace string
	Cluster   string
	Pool      string
	Role      Role
	// Artifacts asks for them, too: they may cost calls of their own.
	Artifacts bool
}

// Inventory is what a backend holds of ours.
type Inventory struct {
	Containers []Container
	// Artifacts are the other things the backend made for clusters: networks,
	// secrets, security groups, folders.
	Artifacts []Artifact
}

// Container is a listed container.
type Container struct {
	Handle Handle
	// Name that the container finds in EnvContainer; "" if the backend sets none.
	Name string
	Observation
	// Labels as they were given to Run.
	Labels map[string]string
	// Endpoints by port name, where the listing tells them; nil otherwise.
	Endpoints map[string]Endpoint
	// Exports are what else a person may want to know of a server: its
	// network, how to tunnel to it. They do not change while it runs.
	Exports map[string]string
}

// Artifact is something other than a container that the backend made.
type Artifact struct {
	// Kind is a short noun for people: "network", "secret", "folder".
	Kind      string
	ID        string
	Labels    map[string]string
	CreatedAt time.Time
	// Stuck says why a removal by this backend has failed, if that was a fault
	// of what is beneath it.
	Stuck string
}

// ArtifactKiller removes artifacts that a lost state left behind. An unknown
// one is a success.
type ArtifactKiller interface {
	KillArtifacts(ctx context.Context, artifacts []Artifact) error
}

// Endpointer tells where a server's port is reached.
type Endpointer interface {
	// Endpoint waits until the container has an address, or ctx is done, or
	// the container has stopped (an error).
	Endpoint(ctx context.Context, h Handle, port string) (Endpoint, error)
}

// PortPicker finds a free port for a server whose configuration says port 0.
type PortPicker interface {
	FreePort(ctx context.Context) (int, error)
}

// Preparer makes the infrastructure that the containers of a scope share and
// removes it again.
type Preparer interface {
	// Prepare makes what is missing for containers with these options of the
	// role (ContainerSpec.Options). It may be called many times, and by
	// clusters and pools alike, at once.
	Prepare(ctx context.Context, scope Scope, options any) error
	// Cleanup removes what Prepare made if nothing uses it any more: the last
	// one out cleans. Shallow removes what costs money or names the scope;
	// deep removes everything that the backend ever made. It may be called
	// many times; with something of ours in use it does nothing, without
	// error. Left says in sentences what stays because somebody else uses it.
	Cleanup(ctx context.Context, scope Scope, deep bool) (left []string, err error)
}

// Preflighter tells, at apply and before anything that runs is touched,
// whether Run would be refused: a program or an image that does not exist, a
// port that is taken. It may also fetch what Run will need.
type Preflighter interface {
	// Preflight checks req; replaces are the containers that will have been
	// stopped before it runs, so what they hold counts as free.
	Preflight(ctx context.Context, req RunRequest, replaces []Handle) error
}

// Validator refuses, at plan time, from tables and without a call, what can
// never work.
type Validator interface {
	Validate(role Role, spec ContainerSpec) []Problem
}

// Problem is a finding of a Validator.
type Problem struct {
	// Attribute it is about, relative to the role: "hardware.memory",
	// "container.command", "publish". Empty for the role as a whole.
	Attribute string
	// Warning is true if the container works all the same.
	Warning bool
	// Detail is one or two sentences for people: what is wrong, what to do.
	Detail string
}

// Packer tells how many workers fit into one container of this backend.
type Packer interface {
	// MaxWorkersPerContainer for workers of this hardware, at least 1. The
	// user's own limit is applied by the core.
	MaxWorkersPerContainer(perWorker Hardware) int
}

// SecretStore keeps a small secret record per scope where the backend
// keeps secrets: the password, and what else a later operation needs to reach
// the server. Values are at most a few kilobytes.
type SecretStore interface {
	// PutSecret writes or replaces. Labels identify the owner, as on containers.
	PutSecret(ctx context.Context, scope Scope, value []byte, labels map[string]string) error
	// GetSecret returns nil without an error if there is none.
	GetSecret(ctx context.Context, scope Scope) ([]byte, error)
	// DeleteSecret of what is not there is a success.
	DeleteSecret(ctx context.Context, scope Scope) error
}

// Prober reaches into a cluster from where the backend is, not from where
// Terraform runs.
type Prober interface {
	// Dial opens a connection to a named port of a container. The error wraps
	// [ErrNoRoute] if there is no way to the container's network from here.
	Dial(ctx context.Context, h Handle, port string) (net.Conn, error)
	// Listens returns nil if something in the container listens on the named
	// port, found out without a connection to it. It is asked where Dial has
	// no route. An error of ClassInvalid says that there is no way to tell.
	Listens(ctx context.Context, h Handle, port string) error
}

// ErrNoRoute says that a container's network cannot be reached from here.
var ErrNoRoute = errors.New("the container's network cannot be reached from here")

// LogReader reads the end of a container's log, for diagnostics.
type LogReader interface {
	// Tail returns at most the last n lines of stdout and stderr together.
	// An unknown handle is an error of ClassNotFound.
	Tail(ctx context.Context, h Handle, n int) ([]string, error)
}
