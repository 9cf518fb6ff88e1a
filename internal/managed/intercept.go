// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"net"
)

// Call describes one call of a backend to an [Interceptor].
type Call struct {
	Backend string
	// Verb is the method's name in lower case: "run", "status", "list", ...
	Verb  string
	Scope Scope
	// Count is how many containers, handles or artifacts the call is about.
	Count int
	// Started is how many containers a Run has started so far.
	Started int
	// Idempotent is true if the call may be sent again although an earlier
	// one may have had its effect.
	Idempotent bool
}

// changes tells whether the backend may look different after the call.
func (c *Call) changes() bool {
	switch c.Verb {
	case "run", "kill", "prepare", "cleanup", "put_secret", "delete_secret", "kill_artifacts":
		return true
	}
	return false
}

// Interceptor stands around the calls of a backend. It calls next once or,
// to try again, several times, and returns its last error or another one. It
// is safe for use by several goroutines.
type Interceptor func(ctx context.Context, call *Call, next func(context.Context) error) error

// Decorate puts an interceptor around a backend and around each of its
// capabilities that makes a call. The decorated backend has the same
// capabilities as the one inside.
func Decorate(b Backend, around Interceptor) Backend {
	return &decorated{inner: b, can: CapabilitiesOf(b), props: b.Properties(), around: around}
}

// decorated has the methods of all capabilities, and shows those that the
// backend inside has.
type decorated struct {
	inner  Backend
	can    Capabilities
	props  Properties
	around Interceptor
}

// Capabilities of the backend inside, with the interceptor around those that
// make a call.
func (d *decorated) Capabilities() Capabilities {
	shown := d.can // Validator, Packer and PortPicker are tables or local
	if d.can.Lister != nil {
		shown.Lister = d
	}
	if d.can.Endpointer != nil {
		shown.Endpointer = d
	}
	if d.can.Preparer != nil {
		shown.Preparer = d
	}
	if d.can.Preflighter != nil {
		shown.Preflighter = d
	}
	if d.can.SecretStore != nil {
		shown.SecretStore = d
	}
	if d.can.Prober != nil {
		shown.Prober = d
	}
	if d.can.LogReader != nil {
		shown.LogReader = d
	}
	if d.can.ArtifactKiller != nil {
		shown.ArtifactKiller = d
	}
	return shown
}

func (d *decorated) call(ctx context.Context, verb string, scope Scope, count int, next func(context.Context) error) error {
	return d.around(ctx, &Call{Backend: d.props.Name, Verb: verb, Scope: scope, Count: count, Idempotent: true}, next)
}

// Properties are those of the backend inside.
func (d *decorated) Properties() Properties { return d.props }

// Run is Backend.Run.
func (d *decorated) Run(ctx context.Context, req RunRequest) ([]Handle, error) {
	var handles []Handle
	c := &Call{Backend: d.props.Name, Verb: "run", Scope: req.Scope, Count: req.Count, Idempotent: d.props.IdempotentRun}
	err := d.around(ctx, c, func(ctx context.Context) error {
		got, err := d.inner.Run(ctx, req)
		// A try that is told of fewer must not forget what an earlier one started.
		handles = unique(append(handles, got...))
		if err == nil {
			handles = got
		}
		c.Started = len(handles)
		return err
	})
	return handles, err
}

// Status is Backend.Status.
func (d *decorated) Status(ctx context.Context, handles []Handle) (seen map[Handle]Observation, err error) {
	err = d.call(ctx, "status", Scope{}, len(handles), func(ctx context.Context) (err error) {
		seen, err = d.inner.Status(ctx, handles)
		return err
	})
	return seen, err
}

// Kill is Backend.Kill.
func (d *decorated) Kill(ctx context.Context, handles []Handle) error {
	return d.call(ctx, "kill", Scope{}, len(handles), func(ctx context.Context) error { return d.inner.Kill(ctx, handles) })
}

// List is Lister.List.
func (d *decorated) List(ctx context.Context, sel Selector) (inv Inventory, err error) {
	scope := Scope{Namespace: sel.Namespace, Cluster: sel.Cluster, Pool: sel.Pool}
	err = d.call(ctx, "list", scope, 0, func(ctx context.Context) (err error) {
		inv, err = d.can.Lister.List(ctx, sel)
		return err
	})
	return inv, err
}

// Endpoint is Endpointer.Endpoint.
func (d *decorated) Endpoint(ctx context.Context, h Handle, port string) (e Endpoint, err error) {
	err = d.call(ctx, "endpoint", Scope{}, 1, func(ctx context.Context) (err error) {
		e, err = d.can.Endpointer.Endpoint(ctx, h, port)
		return err
	})
	return e, err
}

// Prepare is Preparer.Prepare.
func (d *decorated) Prepare(ctx context.Context, scope Scope, options any) error {
	return d.call(ctx, "prepare", scope, 0, func(ctx context.Context) error { return d.can.Preparer.Prepare(ctx, scope, options) })
}

// Cleanup is Preparer.Cleanup.
func (d *decorated) Cleanup(ctx context.Context, scope Scope, deep bool) (left []string, err error) {
	err = d.call(ctx, "cleanup", scope, 0, func(ctx context.Context) (err error) {
		left, err = d.can.Preparer.Cleanup(ctx, scope, deep)
		return err
	})
	return left, err
}

// Preflight is Preflighter.Preflight.
func (d *decorated) Preflight(ctx context.Context, req RunRequest, replaces []Handle) error {
	return d.call(ctx, "preflight", req.Scope, req.Count, func(ctx context.Context) error { return d.can.Preflighter.Preflight(ctx, req, replaces) })
}

// PutSecret is SecretStore.PutSecret.
func (d *decorated) PutSecret(ctx context.Context, scope Scope, value []byte, labels map[string]string) error {
	return d.call(ctx, "put_secret", scope, 1, func(ctx context.Context) error {
		return d.can.SecretStore.PutSecret(ctx, scope, value, labels)
	})
}

// GetSecret is SecretStore.GetSecret.
func (d *decorated) GetSecret(ctx context.Context, scope Scope) (value []byte, err error) {
	err = d.call(ctx, "get_secret", scope, 1, func(ctx context.Context) (err error) {
		value, err = d.can.SecretStore.GetSecret(ctx, scope)
		return err
	})
	return value, err
}

// DeleteSecret is SecretStore.DeleteSecret.
func (d *decorated) DeleteSecret(ctx context.Context, scope Scope) error {
	return d.call(ctx, "delete_secret", scope, 1, func(ctx context.Context) error { return d.can.SecretStore.DeleteSecret(ctx, scope) })
}

// Dial is Prober.Dial. It is not tried again here: its caller, who waits for
// a server, does that.
func (d *decorated) Dial(ctx context.Context, h Handle, port string) (conn net.Conn, err error) {
	c := &Call{Backend: d.props.Name, Verb: "dial", Count: 1}
	err = d.around(ctx, c, func(ctx context.Context) (err error) {
		conn, err = d.can.Prober.Dial(ctx, h, port)
		return err
	})
	return conn, err
}

// Listens is Prober.Listens. Like Dial it is not tried again here.
func (d *decorated) Listens(ctx context.Context, h Handle, port string) error {
	c := &Call{Backend: d.props.Name, Verb: "listens", Count: 1}
	return d.around(ctx, c, func(ctx context.Context) error { return d.can.Prober.Listens(ctx, h, port) })
}

// Tail is LogReader.Tail.
func (d *decorated) Tail(ctx context.Context, h Handle, n int) (lines []string, err error) {
	err = d.call(ctx, "tail", Scope{}, 1, func(ctx context.Context) (err error) {
		lines, err = d.can.LogReader.Tail(ctx, h, n)
		return err
	})
	return lines, err
}

// KillArtifacts is ArtifactKiller.KillArtifacts.
func (d *decorated) KillArtifacts(ctx context.Context, artifacts []Artifact) error {
	return d.call(ctx, "kill_artifacts", Scope{}, len(artifacts), func(ctx context.Context) error {
		return d.can.ArtifactKiller.KillArtifacts(ctx, artifacts)
	})
}
