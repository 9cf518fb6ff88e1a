// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"sync"
	"time"
)

// recentTime is how long what a [Reader] saw answers the next question. The
// resources of one cluster are refreshed within milliseconds of each other.
const recentTime = time.Second

// WithReader gives a backend for work, and another view of it for refreshes.
// In that view all that asks after one cluster within a second shares one list
// and one reading of its secret, so that a refresh of a cluster and its pools
// costs one list, whatever the number of pools. A change by way of the first
// backend, and a failed one too, ends what is shared.
//
// Nothing that acts may look through the reader: it may be a second old.
func WithReader(b Backend) (work, reader Backend) {
	r := &recent{looks: map[Scope]*look{}}
	work = Decorate(b, func(ctx context.Context, call *Call, next func(context.Context) error) error {
		if call.changes() {
			r.forget()
			defer r.forget()
		}
		return next(ctx)
	})
	r.Backend, r.can = work, CapabilitiesOf(work)
	return work, r
}

// recent is a backend's view for refreshes.
type recent struct {
	Backend
	can Capabilities

	mu    sync.Mutex
	looks map[Scope]*look
}

// look is what was seen of one cluster. Who comes while it is being looked at
// waits for the answer.
type look struct {
	list   glance[Inventory]
	secret glance[[]byte]
}

type glance[T any] struct {
	mu    sync.Mutex
	at    time.Time
	value T
}

func (g *glance[T]) get(ask func() (T, error)) (T, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.at.IsZero() && time.Since(g.at) < recentTime {
		return g.value, nil
	}
	value, err := ask()
	if err == nil {
		g.value, g.at = value, time.Now()
	}
	return value, err
}

func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.looks)
}

func (r *recent) of(namespace, cluster string) *look {
	r.mu.Lock()
	defer r.mu.Unlock()
	scope := Scope{Namespace: namespace, Cluster: cluster}
	if r.looks[scope] == nil {
		r.looks[scope] = &look{}
	}
	return r.looks[scope]
}

// Capabilities are the backend's, with what is shared in place.
func (r *recent) Capabilities() Capabilities {
	shown := r.can
	if shown.Lister != nil {
		shown.Lister = r
	}
	if shown.SecretStore != nil {
		shown.SecretStore = recentSecrets{SecretStore: shown.SecretStore, r: r}
	}
	return shown
}

// List is Lister.List. It shows the whole cluster, also where less was asked
// for; the Manager takes what it selected.
func (r *recent) List(ctx context.Context, sel Selector) (Inventory, error) {
	if sel.Cluster == "" || sel.Artifacts {
		return r.can.Lister.List(ctx, sel)
	}
	return r.of(sel.Namespace, sel.Cluster).list.get(func() (Inventory, error) {
		return r.can.Lister.List(ctx, Selector{Namespace: sel.Namespace, Cluster: sel.Cluster})
	})
}

type recentSecrets struct {
	SecretStore
	r *recent
}

// GetSecret is SecretStore.GetSecret.
func (s recentSecrets) GetSecret(ctx context.Context, scope Scope) ([]byte, error) {
	return s.r.of(scope.Namespace, scope.Cluster).secret.get(func() ([]byte, error) {
		return s.SecretStore.GetSecret(ctx, scope)
	})
}
