// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// Manager brings clusters on one backend to the desired state. It holds no
// state of its own: every operation begins by looking at the world. It is
// safe for use by several goroutines.
type Manager struct {
	backend Backend
	can     Capabilities
	props   Properties
	opts    Options
}

// Options of a Manager.
type Options struct {
	// Owner answers for what this Manager starts; may be empty.
	Owner string
	// Log gets progress for people; nil logs nothing.
	Log *slog.Logger
	// CleanupTime bounds the work that is still done after the caller's
	// context has ended: recording the truth and taking back what was started.
	// Zero means one minute.
	CleanupTime time.Duration
}

// The core's own time limits, where a backend names none.
const (
	defaultStartDeadline = 10 * time.Minute
	defaultCleanupTime   = time.Minute
	// longestPoll is how far the time between two looks grows.
	longestPoll = 2 * time.Second
	// appearTime is how long an operation waits for a server of which there
	// is no trace at all: it may be created by another resource of the same
	// apply, or its name may be misspelt.
	appearTime = 2 * time.Minute
)

// NewManager makes a Manager. It makes no connection.
func NewManager(b Backend, o Options) *Manager {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CleanupTime == 0 {
		o.CleanupTime = defaultCleanupTime
	}
	p := b.Properties()
	p.Concurrency = max(1, p.Concurrency)
	p.BatchSize = max(1, p.BatchSize)
	if p.ListenAddress == "" {
		p.ListenAddress = "0.0.0.0"
	}
	if p.PollInterval <= 0 {
		p.PollInterval = 50 * time.Millisecond
	}
	if p.StartDeadline <= 0 {
		p.StartDeadline = defaultStartDeadline
	}
	return &Manager{backend: b, can: CapabilitiesOf(b), props: p, opts: o}
}

// Properties of the backend, with the core's defaults filled in.
func (m *Manager) Properties() Properties { return m.props }

// Capabilities of the backend.
func (m *Manager) Capabilities() Capabilities { return m.can }

// Owner that this Manager answers for.
func (m *Manager) Owner() string { return m.opts.Owner }

// OnExisting says what a create does with containers that it finds in its
// scope and that are not known to be its own.
type OnExisting string

// What a create does with what exists.
const (
	// OnExistingError refuses, naming the handles (ExistsError).
	OnExistingError OnExisting = "error"
	// OnExistingAdopt takes them over; nothing that fits is restarted.
	OnExistingAdopt OnExisting = "adopt"
)

// Notice is something that a person should know although the operation did
// what it could: a warning.
type Notice struct {
	Summary string
	Detail  string
}

// Member is a listed container with its labels decoded.
type Member struct {
	Handle Handle
	Name   string
	Labels
	Observation
	Endpoints map[string]Endpoint
	Exports   map[string]string
}

// alive tells whether the member does its work or is about to.
func (c *Member) alive() bool { return c.Status != StatusStopped }

// Containers lists what a selector matches. A container that was created but
// did not start within its deadline is shown as stopped.
func (m *Manager) Containers(ctx context.Context, sel Selector) ([]Member, error) {
	inv, err := m.inventory(ctx, sel)
	if err != nil {
		return nil, err
	}
	return m.members(inv, sel), nil
}

func (m *Manager) inventory(ctx context.Context, sel Selector) (Inventory, error) {
	if m.can.Lister == nil {
		return Inventory{}, nil
	}
	inv, err := m.can.Lister.List(ctx, sel)
	if err != nil {
		return inv, wrap(err, "listing containers")
	}
	return inv, nil
}

// members decodes containers and holds them to the selector: a backend that
// lists too much must not make us touch what we did not mean.
func (m *Manager) members(inv Inventory, sel Selector) []Member {
	now := time.Now()
	all := make([]Member, 0, len(inv.Containers))
	for i := range inv.Containers {
		c := &inv.Containers[i]
		labels, ours := ParseLabels(c.Labels)
		if !ours || c.Handle == "" || !sel.Matches(labels) {
			continue
		}
		o := c.Observation
		o.Known = true
		all = append(all, Member{Handle: c.Handle, Name: c.Name, Labels: labels, Observation: m.timely(o, now), Endpoints: c.Endpoints, Exports: c.Exports})
	}
	return all
}

// timely turns a container that should have started long ago into a stopped one.
func (m *Manager) timely(o Observation, now time.Time) Observation {
	if o.Status == StatusInitializing && !o.CreatedAt.IsZero() && now.Sub(o.CreatedAt) > m.props.StartDeadline {
		o.Status = StatusStopped
		o.Reason = "did not start within " + m.props.StartDeadline.String()
	}
	return o
}

// detached gives a context for the work that must be done although ctx may
// have ended: it keeps ctx's values and has a deadline of its own.
func (m *Manager) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), m.opts.CleanupTime)
}

// kill stops containers, in one call. HandleErrors that name every handle
// which is still there are returned as they are.
func (m *Manager) kill(ctx context.Context, handles []Handle) error {
	handles = unique(handles)
	if len(handles) == 0 {
		return nil
	}
	return wrap(m.backend.Kill(ctx, handles), "stopping containers")
}

// tail reads the last lines of a log for a message; no log is no error.
func (m *Manager) tail(ctx context.Context, h Handle, lines int) []string {
	if m.can.LogReader == nil {
		return nil
	}
	got, err := m.can.LogReader.Tail(ctx, h, lines)
	if err != nil {
		return nil
	}
	return got
}

// newToken makes a name that nothing else has: 16 characters of base32, 80 bits.
func newToken() string { return strings.ToLower(rand.Text()[:16]) }

// unique drops repeated and empty handles and keeps the order.
func unique(handles []Handle) []Handle {
	seen := make(map[Handle]struct{}, len(handles))
	out := make([]Handle, 0, len(handles))
	for _, h := range handles {
		if _, dup := seen[h]; h == "" || dup {
			continue
		}
		seen[h] = struct{}{}
		out = append(out, h)
	}
	return out
}

// wrap says what was attempted and keeps class and attribute.
func wrap(err error, doing string) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return Errorf(e.Class, e.Attribute, "%s: %w", doing, err)
	}
	return Errorf(ClassOf(err), "", "%s: %w", doing, err)
}

// pause waits, growing with each call, until the next look. It returns the
// context's error if that ends first.
type pause struct {
	next time.Duration
}

func (m *Manager) newPause() *pause { return &pause{next: m.props.PollInterval} }

func (p *pause) wait(ctx context.Context) error {
	t := time.NewTimer(p.next)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
	}
	p.next = min(p.next*3/2, max(longestPoll, p.next))
	return nil
}

// newest sorts members so that the latest is first; ties by handle.
func newest(a, b Member) int {
	if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
		return c
	}
	return strings.Compare(string(b.Handle), string(a.Handle))
}

func handlesOf(members []Member) []Handle {
	hs := make([]Handle, len(members))
	for i := range members {
		hs[i] = members[i].Handle
	}
	return hs
}
