// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"time"
)

// Backend runs, watches and kills containers. Nothing else is required of a
// cloud. What a backend can do beyond that it says by implementing the
// interfaces of [Capabilities].
//
// All methods may be called from several goroutines at once. They return
// when ctx is done, at the latest a moment later. Errors carry a class (see
// [Error]); an error without one counts as [ClassUnknown] and is not retried.
type Backend interface {
	// Run starts req.Count identical containers and returns one handle for
	// each. On error, a cancelled context included, it still returns the
	// handle of every container that did start. Everything that a later List
	// needs is set by the call that creates the container, never by a second
	// one. The token is the same when a call is tried again and different for
	// every other call: a backend that can uses it not to start anything
	// twice. Run returns as soon as the containers were accepted; it does not
	// wait until they run.
	Run(ctx context.Context, req RunRequest) ([]Handle, error)

	// Status reports what is known of each handle, in as few calls as the
	// backend allows. A handle that the backend does not know is absent from
	// the map or has Known false: that is not the same as stopped, which only
	// the core decides, after Properties.VisibilityLag. Duplicate handles are
	// allowed.
	Status(ctx context.Context, handles []Handle) (map[Handle]Observation, error)

	// Kill stops and removes containers, with the stop signal and the grace
	// of their spec, side by side. A handle that is unknown or dead is a
	// success. Accepted is enough, if the backend then goes on by itself. What
	// could not be killed is in the error, by handle (see [HandleErrors]).
	// Kill with no handles does nothing.
	Kill(ctx context.Context, handles []Handle) error

	// Properties are constants of the backend. The call is cheap and makes
	// no connection.
	Properties() Properties
}

// Handle is the backend's own name for a container it runs. It is opaque to
// everyone else, not empty, stable as long as the container exists and never
// used again for another one. It is kept in Terraform's state.
type Handle string

// Status is what a container does. The reason and the exit code stand beside
// it, in [Observation].
type Status string

// A container is in one of three states and no other.
const (
	// StatusInitializing: accepted, but its process does not run yet.
	StatusInitializing Status = "initializing"
	// StatusRunning: its process runs.
	StatusRunning Status = "running"
	// StatusStopped: its process has ended, or will never start.
	StatusStopped Status = "stopped"
)

// Role tells the server container from the workers.
type Role string

// The two roles.
const (
	RoleServer Role = "server"
	RoleWorker Role = "worker"
)

// Scope is a place that containers belong to: a pool of a cluster in a
// namespace, or, with an empty Pool, what the cluster has in common (its
// server, its network, its secret).
type Scope struct {
	Namespace string
	Cluster   string
	Pool      string
}

// RunRequest asks a backend for containers.
type RunRequest struct {
	Scope Scope
	Role  Role
	Spec  ContainerSpec
	// Count is how many identical containers to start, at least 1 and at
	// most Properties.BatchSize.
	Count int
	// Token names this request; it is in Spec.Labels too (LabelToken).
	Token string
}

// ContainerSpec is all that a backend needs to know to run a container.
// Nothing in it is left to expand or to look up.
type ContainerSpec struct {
	// Image, Entrypoint and Command mean what Docker means by them: a nil
	// Entrypoint or Command is the image's.
	Image      string
	Entrypoint []string
	Command    []string
	// Environment may be shown to anyone. SecretEnvironment must not be seen
	// in labels, arguments, logs or errors; the container finds both in its
	// environment. No name is in both.
	Environment       map[string]string
	SecretEnvironment map[string]string
	// Ports the container listens on; a worker usually has none.
	Ports []Port
	// Hardware of the whole container (per worker, times Workers).
	Hardware Hardware
	// Workers is how many workers share the container: at least 1 for a
	// worker, 0 for a server.
	Workers int
	// StopSignal is a signal's name such as "SIGTERM" (also the meaning of
	// ""). After StopGrace the container is killed; 0 kills it at once.
	StopSignal string
	StopGrace  time.Duration
	// Labels identify the container; see [Labels].
	Labels map[string]string
	// Options are the backend's own typed options for this role, nil if the
	// user gave none.
	Options any
}

// OptionsAs reads a role's options (see ContainerSpec) as a backend's own, which
// come as a value or a pointer. Those of another backend are none: the provider
// has warned that they are not used.
func OptionsAs[T any](options any) T {
	if o, ok := options.(T); ok {
		return o
	}
	if o, ok := options.(*T); ok && o != nil {
		return *o
	}
	var none T
	return none
}

// Port is a named port that a container listens on.
type Port struct {
	// Name is how [Endpointer] and [Prober] are asked for it. A server's main
	// port is PortMain.
	Name string
	// Number is the port inside the container, 1 to 65535.
	Number int
	// Publish, if not nil, makes the port reachable from outside.
	Publish *Publish
}

// PortMain is the name of the port that workers and clients connect to.
const PortMain = "main"

// Publish says where a port is published on the backend's host.
type Publish struct {
	// Address to listen on, such as "127.0.0.1"; Port 0 is any free one.
	Address string
	Port    int
	// Others are the server's further ports that are published as well, by
	// name, at the same address; 0 is any free one.
	Others map[string]int `json:",omitempty"`
}

// Hardware of a container or, in a pool, of one worker. Zero means that
// nothing is asked for.
type Hardware struct {
	// CPU in CPU units: 1024 are one core.
	CPU int `json:"cpu,omitempty"`
	// Memory in MB (1024 * 1024 bytes).
	Memory int `json:"memory,omitempty"`
	GPUs   int `json:"gpus,omitempty"`
	// ID is the backend's own name for a type of machine.
	ID string `json:"id,omitempty"`
}

// Times is the hardware of n workers together.
func (h Hardware) Times(n int) Hardware {
	return Hardware{CPU: h.CPU * n, Memory: h.Memory * n, GPUs: h.GPUs * n, ID: h.ID}
}

// Observation is what a backend knows of one container at one moment.
type Observation struct {
	Status Status
	// Known is false if the backend has never heard of the handle, or has
	// forgotten it. The other fields then say nothing.
	Known bool
	// Reason says in a few words why the container is in its state, for
	// people: "exited with code 3", "killed by SIGKILL", "out of memory".
	Reason string
	// Passing is true if a stopped container failed for a reason that can
	// pass by itself (capacity, throttling), so that it is worth starting again.
	Passing bool
	// ExitCode is nil as long as there is none, or if the backend cannot
	// tell. A death by signal n is 128 + n.
	ExitCode *int
	// Times are zero if not known.
	CreatedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time
	// Ready is the verdict of the container's own health check; nil if it has
	// none. A server with a check is waited for until it is true.
	Ready *bool
	// Node is the machine that the container runs on, if the backend has
	// several.
	Node string
	// Image as it was requested, ImageDigest what it was resolved to; "" where
	// the backend has no images or does not tell.
	Image       string
	ImageDigest string
}

// Endpoint says where a server's port is reached. The public pair may be
// absent: "" and 0.
type Endpoint struct {
	PublicIP    string `json:"public_ip,omitempty"`
	PublicPort  int    `json:"public_port,omitempty"`
	PrivateIP   string `json:"private_ip,omitempty"`
	PrivatePort int    `json:"private_port,omitempty"`
}

// Properties are the constants of a backend.
type Properties struct {
	// Name as in the provider's configuration: "process", "docker", ...
	Name string
	// Concurrency is how many calls at once serve the backend best; at least 1.
	Concurrency int
	// BatchSize is the greatest Count of one Run; at least 1.
	BatchSize int
	// VisibilityLag is how long after Run a container may be missing from
	// Status and List.
	VisibilityLag time.Duration
	// PollInterval is the shortest time between two looks at the same
	// containers while the core waits for them.
	PollInterval time.Duration
	// SettleTime is how long a container has to run before the core takes
	// its word for it: one that exits at once is then told from one that works.
	SettleTime time.Duration
	// StartDeadline is how long a container may be initializing; after that
	// it counts as stopped. Zero: the core's default.
	StartDeadline time.Duration
	// MaxLabelValue is the longest value of a label in bytes, 0 for no limit.
	MaxLabelValue int
	// ListenAddress is where a server should listen: "127.0.0.1" on a backend
	// whose servers nobody else need reach; "" for all addresses.
	ListenAddress string
	// SameLAN is true if workers can reach the server's private endpoint:
	// the default of server_worker_same_lan.
	SameLAN bool
	// StableServerName is true if a server's private address is the same after
	// it was started anew, so that workers that try again find the new one.
	StableServerName bool
	// NeedsImage is true if a container cannot run without an image,
	// NeedsCommand if it cannot run without a command.
	NeedsImage   bool
	NeedsCommand bool
	// IdempotentRun is true if Run with a token that was used before starts
	// nothing twice, so that a Run whose answer was lost may be sent again.
	IdempotentRun bool
}
