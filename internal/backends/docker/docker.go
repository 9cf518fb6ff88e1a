// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package docker runs servers and workers as containers of a Docker Engine or
// a Podman service, on this machine or far away.
//
// The engine is the only memory: a container's labels say what it is, the
// cluster's network is found by its labels, and the cluster's secret is a file
// in a labelled volume. A handle is a container's id.
package docker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Backend runs containers on one engine. Its methods may be called from
// several goroutines, and by several programs, at once.
type Backend struct {
	cfg    Config
	engine *engine.Engine
	docker *client.Client
	log    *slog.Logger

	slots    slots
	facts    facts
	networks networks
	images   images
	gpus     sync.Mutex // one choice of GPUs at a time

	// far is for tests: the engine's networks are taken as out of reach, as
	// they are on another machine.
	far bool
}

var (
	_ managed.Backend        = (*Backend)(nil)
	_ managed.Lister         = (*Backend)(nil)
	_ managed.Endpointer     = (*Backend)(nil)
	_ managed.Preparer       = (*Backend)(nil)
	_ managed.Preflighter    = (*Backend)(nil)
	_ managed.Validator      = (*Backend)(nil)
	_ managed.SecretStore    = (*Backend)(nil)
	_ managed.Prober         = (*Backend)(nil)
	_ managed.LogReader      = (*Backend)(nil)
	_ managed.ArtifactKiller = (*Backend)(nil)
)

// New makes a backend. It makes no connection.
func New(cfg Config) (*Backend, error) {
	e, err := engine.New(cfg.Config)
	if err != nil {
		return nil, err
	}
	return &Backend{cfg: cfg, engine: e, docker: e.Client(), log: e.Log()}, nil
}

// Close ends the connection to the engine.
func (b *Backend) Close() error { return b.engine.Close() }

// Properties implements [managed.Backend].
func (b *Backend) Properties() managed.Properties {
	return managed.Properties{
		Name: Name,
		// How many calls the engine gets at once is decided by slots, which
		// knows its CPUs; more than that may wait for them.
		Concurrency:  64,
		BatchSize:    1,
		PollInterval: 50 * time.Millisecond,
		SettleTime:   300 * time.Millisecond,
		// A container is started by the call that follows its creation; what
		// is only created after this time was left by a crash.
		StartDeadline:    2 * time.Minute,
		SameLAN:          true,
		StableServerName: true,
		NeedsImage:       true,
		IdempotentRun:    true,
	}
}

// Validate implements [managed.Validator].
func (b *Backend) Validate(role managed.Role, spec managed.ContainerSpec) []managed.Problem {
	return validate(role, spec)
}

// facts are what the engine says of itself, asked for once.
type facts struct {
	mu     sync.Mutex
	info   *system.Info
	podman *bool
}

// info of the engine.
func (b *Backend) info(ctx context.Context) (*system.Info, error) {
	b.facts.mu.Lock()
	defer b.facts.mu.Unlock()
	if b.facts.info != nil {
		return b.facts.info, nil
	}
	res, err := b.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, b.engine.Classify(err, "asking the engine what it is")
	}
	b.facts.info = &res.Info
	return b.facts.info, nil
}

// slots bounds how many calls that make the engine work are under way. Twice
// its CPUs brings the most containers per second; more only makes each of
// them, and a cancel, take longer (measured).
type slots struct {
	mu   sync.Mutex
	free chan struct{}
}

// acquire waits for a slot; the caller gives it back with release.
func (b *Backend) acquire(ctx context.Context) (release func(), err error) {
	free, err := b.allSlots(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case free <- struct{}{}:
		return func() { <-free }, nil
	case <-ctx.Done():
		return nil, b.engine.Classify(context.Cause(ctx), "waiting for the engine")
	}
}

func (b *Backend) allSlots(ctx context.Context) (chan struct{}, error) {
	b.slots.mu.Lock()
	defer b.slots.mu.Unlock()
	if b.slots.free == nil {
		n := b.cfg.Concurrency
		if n <= 0 {
			info, err := b.info(ctx)
			if err != nil {
				return nil, err
			}
			n = max(2, 2*info.NCPU)
		}
		b.slots.free = make(chan struct{}, n)
	}
	return b.slots.free, nil
}
