// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Capability names one of the optional interfaces of a backend.
type Capability string

// The capabilities.
const (
	CapLister         Capability = "Lister"
	CapEndpointer     Capability = "Endpointer"
	CapPortPicker     Capability = "PortPicker"
	CapPreparer       Capability = "Preparer"
	CapPreflighter    Capability = "Preflighter"
	CapValidator      Capability = "Validator"
	CapPacker         Capability = "Packer"
	CapSecretStore    Capability = "SecretStore"
	CapProber         Capability = "Prober"
	CapLogReader      Capability = "LogReader"
	CapArtifactKiller Capability = "ArtifactKiller"
)

// AllCapabilities there are.
func AllCapabilities() []Capability {
	return []Capability{
		CapLister, CapEndpointer, CapPortPicker, CapPreparer, CapPreflighter, CapValidator, CapPacker,
		CapSecretStore, CapProber, CapLogReader, CapArtifactKiller,
	}
}

// MemoryOptions of a [Memory]. The zero value is a backend that can do
// everything, at once.
type MemoryOptions struct {
	// Properties that the backend says it has. Where they are zero: Name
	// "memory", Concurrency 4, BatchSize 10, PollInterval 1 ms, and the
	// visibility lag that HiddenFor and HiddenLooks need.
	Properties managed.Properties
	// Without are the capabilities it does not have.
	Without []Capability

	// A container that was started is missing from Status and List for
	// HiddenFor, and for HiddenLooks calls that would have shown it, but not
	// for longer than the visibility lag.
	HiddenFor   time.Duration
	HiddenLooks int
	// It is initializing for StartDelay, and for StartLooks calls that show it.
	StartDelay time.Duration
	StartLooks int
	// StopDelay is how long a killed container is still shown, as stopped.
	StopDelay time.Duration
	// Latency of every call.
	Latency time.Duration
	// Capacity is how many containers there may be at once; 0 for no limit.
	Capacity int
	// WorkersPerContainer is what the Packer answers; 0 means 64.
	WorkersPerContainer int
	// PublicIP that published servers have; none have a public one if "".
	PublicIP string
}

// Memory is a backend that runs nothing and remembers everything: a client of
// a world of its own, which [Memory.Client] gives others access to. It is safe
// for use by several goroutines, and takes its time from package time only, so
// that waiting costs nothing in a testing/synctest bubble.
//
// What a container does is said by its entrypoint and command; see [Program].
type Memory struct {
	world *world
	// crashed, under world.mu, is true after a Crash of this client.
	crashed bool
}

var (
	_ managed.Backend        = (*Memory)(nil)
	_ managed.Lister         = (*Memory)(nil)
	_ managed.Endpointer     = (*Memory)(nil)
	_ managed.PortPicker     = (*Memory)(nil)
	_ managed.Preparer       = (*Memory)(nil)
	_ managed.Preflighter    = (*Memory)(nil)
	_ managed.Validator      = (*Memory)(nil)
	_ managed.Packer         = (*Memory)(nil)
	_ managed.SecretStore    = (*Memory)(nil)
	_ managed.Prober         = (*Memory)(nil)
	_ managed.LogReader      = (*Memory)(nil)
	_ managed.ArtifactKiller = (*Memory)(nil)
)

// NewMemory makes a world and a client of it.
func NewMemory(o MemoryOptions) *Memory {
	p := &o.Properties
	if p.Name == "" {
		p.Name = "memory"
	}
	if p.Concurrency == 0 {
		p.Concurrency = 4
	}
	if p.BatchSize == 0 {
		p.BatchSize = 10
	}
	if p.PollInterval == 0 {
		p.PollInterval = time.Millisecond
	}
	if p.VisibilityLag == 0 {
		// A look for each poll, which grow slower; and one to spare.
		p.VisibilityLag = 2*o.HiddenFor + time.Duration(o.HiddenLooks*o.HiddenLooks+o.HiddenLooks)*10*p.PollInterval
	}
	if o.WorkersPerContainer == 0 {
		o.WorkersPerContainer = 64
	}
	return &Memory{world: newWorld(o)}
}

// Client is another client of the same world, as another process would have
// it. It shares nothing with m but the world: not even m's crash.
func (m *Memory) Client() *Memory { return &Memory{world: m.world} }

// Properties implements [managed.Backend].
func (m *Memory) Properties() managed.Properties { return m.world.opts.Properties }

// Capabilities are all those that the options do not switch off. The core asks
// for them in this way, as it does with a decorated backend.
func (m *Memory) Capabilities() managed.Capabilities {
	c := managed.Capabilities{
		Lister: m, Endpointer: m, PortPicker: m, Preparer: m, Preflighter: m, Validator: m, Packer: m,
		SecretStore: m, Prober: m, LogReader: m, ArtifactKiller: m,
	}
	for _, name := range m.world.opts.Without {
		switch name {
		case CapLister:
			c.Lister = nil
		case CapEndpointer:
			c.Endpointer = nil
		case CapPortPicker:
			c.PortPicker = nil
		case CapPreparer:
			c.Preparer = nil
		case CapPreflighter:
			c.Preflighter = nil
		case CapValidator:
			c.Validator = nil
		case CapPacker:
			c.Packer = nil
		case CapSecretStore:
			c.SecretStore = nil
		case CapProber:
			c.Prober = nil
		case CapLogReader:
			c.LogReader = nil
		case CapArtifactKiller:
			c.ArtifactKiller = nil
		}
	}
	return c
}

// Run implements [managed.Backend].
func (m *Memory) Run(ctx context.Context, req managed.RunRequest) ([]managed.Handle, error) {
	req.Spec.Labels = maps.Clone(req.Spec.Labels) // shared by the containers from here on, and never written to
	f, err := m.enter(ctx, Call{Verb: VerbRun, Scope: req.Scope, Run: &req})
	if err != nil {
		return nil, err
	}
	w := m.world
	if req.Count < 1 || req.Count > w.opts.Properties.BatchSize {
		return nil, managed.Errorf(managed.ClassInvalid, "", "Run of %d containers, with a batch size of %d", req.Count, w.opts.Properties.BatchSize)
	}
	n := req.Count
	if f.is(Partial) {
		n = min(n, f.Count)
	}
	handles, err := w.run(&req, n)
	if err == nil && f.is(Partial) {
		err = f.err(VerbRun)
	}
	if late := m.leave(ctx, VerbRun, f); late != nil {
		if f.is(LostReply) || f.is(Crash) || f.is(Hang) {
			return nil, late // not even the handles come back
		}
		return handles, late
	}
	return lieHandles(handles, f), err
}

// lieHandles answers with other handles than there are.
func lieHandles(handles []managed.Handle, f *Fault) []managed.Handle {
	if !f.is(Wrong) || len(handles) == 0 {
		return handles
	}
	last := len(handles) - 1
	switch f.Lie {
	case TooFew:
		handles = handles[:last]
	case TooMany:
		handles = append(handles, "no-such-container")
	case Duplicate:
		handles[last] = handles[0]
		if last == 0 {
			handles = append(handles, handles[0])
		}
	case Nameless:
		handles[last] = ""
	case Stranger:
		handles[last] = "no-such-container"
	}
	return handles
}

// Status implements [managed.Backend].
func (m *Memory) Status(ctx context.Context, handles []managed.Handle) (map[managed.Handle]managed.Observation, error) {
	f, err := m.enter(ctx, Call{Verb: VerbStatus, Handles: slices.Clone(handles)})
	if err != nil {
		return nil, err
	}
	if f.lies(Stranger) {
		handles = m.world.handles()
	}
	seen := m.world.observe(handles)
	if err := m.leave(ctx, VerbStatus, f); err != nil {
		return nil, err
	}
	switch {
	case f.lies(TooFew) && len(handles) > 0:
		delete(seen, handles[len(handles)-1])
	case f.lies(TooMany):
		seen["no-such-container"] = managed.Observation{Known: true, Status: managed.StatusRunning}
	}
	return seen, nil
}

// Kill implements [managed.Backend].
func (m *Memory) Kill(ctx context.Context, handles []managed.Handle) error {
	f, err := m.enter(ctx, Call{Verb: VerbKill, Handles: slices.Clone(handles)})
	if err != nil {
		return err
	}
	failed := managed.HandleErrors{}
	if f.is(Partial) {
		for _, h := range handles[min(f.Count, len(handles)):] {
			failed[h] = f.err(VerbKill)
		}
		handles = handles[:min(f.Count, len(handles))]
	}
	if !f.lies(NotDone) {
		m.world.kill(handles)
	}
	if err := m.leave(ctx, VerbKill, f); err != nil {
		return err
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// Call is one call that a backend got, as far as it is of interest.
type Call struct {
	Verb     Verb
	At       time.Time
	Run      *managed.RunRequest
	Handles  []managed.Handle
	Selector managed.Selector
	Scope    managed.Scope
	Deep     bool
}

// String shows a call in a log of calls.
func (c Call) String() string {
	switch c.Verb {
	case VerbRun:
		return fmt.Sprintf("Run %d x %d workers in %s/%s", c.Run.Count, c.Run.Spec.Workers, c.Scope.Cluster, c.Scope.Pool)
	case VerbStatus, VerbKill:
		return fmt.Sprintf("%s %d containers", c.Verb, len(c.Handles))
	case VerbList:
		return fmt.Sprintf("List %s/%s %s", c.Selector.Cluster, c.Selector.Pool, c.Selector.Role)
	}
	return fmt.Sprintf("%s %s/%s", c.Verb, c.Scope.Cluster, c.Scope.Pool)
}

// Calls that all clients of the world made so far, in their order. What they
// point to must not be changed.
func (m *Memory) Calls() []Call {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	return slices.Clone(m.world.calls)
}

// Count of the calls of a verb, of all verbs if it is empty.
func (m *Memory) Count(verb Verb) int {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	if verb == "" {
		return len(m.world.calls)
	}
	return m.world.counts[verb]
}
