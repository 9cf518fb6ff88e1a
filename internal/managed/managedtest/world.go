// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Program is what a container does. A spec's entrypoint and command together
// name one, by their first word:
//
//	serve                 runs until it is killed, and answers on its ports
//	work                  the same; so does every word that is not known
//	deaf                  runs, and does not answer on its ports
//	exit CODE [LINE ...]  prints the lines and exits
//	after TIME CODE [LINE ...]  prints the lines, runs for a time and exits
//	never                 stays initializing
//	full                  never starts, for lack of room, which can pass
type Program struct {
	// NeverStarts: it stays initializing.
	NeverStarts bool
	// Ends: after RunFor it exits with ExitCode.
	Ends     bool
	RunFor   time.Duration
	ExitCode int
	// Refused: it never runs; Reason says why, and Passing that it may pass.
	Refused bool
	Reason  string
	Passing bool
	// Deaf: it does not answer on its ports.
	Deaf bool
	Log  []string
}

// programOf reads what a spec says.
func programOf(spec *managed.ContainerSpec) Program {
	argv := slices.Concat(spec.Entrypoint, spec.Command)
	if len(argv) == 0 {
		return Program{}
	}
	word := func(i int) string {
		if i < len(argv) {
			return argv[i]
		}
		return ""
	}
	rest := func(i int) []string { return argv[min(i, len(argv)):] }
	number := func(s string) int { n, _ := strconv.Atoi(s); return n } // what is no number is 0
	switch argv[0] {
	case "deaf":
		return Program{Deaf: true}
	case "exit":
		return Program{Ends: true, ExitCode: number(word(1)), Log: rest(2)}
	case "after":
		d, _ := time.ParseDuration(word(1)) // what is no time is 0
		return Program{Ends: true, RunFor: d, ExitCode: number(word(2)), Log: rest(3)}
	case "never":
		return Program{NeverStarts: true}
	case "full":
		return Program{Refused: true, Passing: true, Reason: "there is no room"}
	}
	return Program{}
}

// world is what the clients of a Memory share.
type world struct {
	opts MemoryOptions

	mu         sync.Mutex
	containers []*container // in the order of their start; nil where one was removed
	removed    int          // how many are nil
	byHandle   map[managed.Handle]*container
	byToken    map[string][]managed.Handle
	last       int // number of the last handle
	port       int // that was picked last
	secrets    map[managed.Scope]secret
	artifacts  map[string]managed.Artifact
	next       []Program // of containers that are to come

	calls     []Call
	counts    map[Verb]int
	faults    []Fault
	faultBase map[Verb]int
}

type secret struct {
	value  []byte
	labels map[string]string
}

type container struct {
	managed.Observation
	handle  managed.Handle
	at      int // index in world.containers
	req     *managed.RunRequest
	labels  managed.Labels
	ours    bool
	program Program
	hidden  int // looks until it is shown
	starts  int // looks until it runs
	killed  time.Time
}

func newWorld(o MemoryOptions) *world {
	return &world{
		opts: o, byHandle: map[managed.Handle]*container{}, byToken: map[string][]managed.Handle{},
		secrets: map[managed.Scope]secret{}, artifacts: map[string]managed.Artifact{}, port: 20000,
		counts: map[Verb]int{}, faultBase: map[Verb]int{},
	}
}

// run starts n containers.
func (w *world) run(req *managed.RunRequest, n int) ([]managed.Handle, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.opts.Properties.IdempotentRun && req.Token != "" {
		if before, ok := w.byToken[req.Token]; ok {
			return slices.Clone(before), nil
		}
	}
	now := time.Now()
	labels, ours := managed.ParseLabels(req.Spec.Labels)
	program := programOf(&req.Spec)
	handles := make([]managed.Handle, 0, n)
	for range n {
		if w.opts.Capacity > 0 && len(w.byHandle) >= w.opts.Capacity {
			return handles, managed.Errorf(managed.ClassCapacity, "", "there is room for %d containers, not for more", w.opts.Capacity)
		}
		w.last++
		c := &container{
			handle: managed.Handle(fmt.Sprintf("mem-%07d", w.last)), at: len(w.containers), req: req, labels: labels,
			ours: ours, program: program, hidden: w.opts.HiddenLooks, starts: w.opts.StartLooks,
			Observation: managed.Observation{Status: managed.StatusInitializing, Known: true, CreatedAt: now, Node: "memory"},
		}
		if len(w.next) > 0 {
			c.program, w.next = w.next[0], w.next[1:]
		}
		w.containers = append(w.containers, c)
		w.byHandle[c.handle] = c
		handles = append(handles, c.handle)
	}
	if req.Token != "" {
		w.byToken[req.Token] = slices.Clone(handles)
	}
	return handles, nil
}

// advance lets time pass for a container.
func (w *world) advance(c *container, now time.Time) {
	if !c.killed.IsZero() {
		return
	}
	if c.Status == managed.StatusInitializing && !c.program.NeverStarts && now.Sub(c.CreatedAt) >= w.opts.StartDelay && c.starts == 0 {
		if c.program.Refused {
			c.end(now, -1, c.program.Reason)
			c.Passing = c.program.Passing
			return
		}
		c.Status = managed.StatusRunning
		c.StartedAt = now
		if w.opts.StartLooks == 0 {
			c.StartedAt = c.CreatedAt.Add(w.opts.StartDelay)
		}
	}
	if c.Status == managed.StatusRunning && c.program.Ends && now.Sub(c.StartedAt) >= c.program.RunFor {
		c.end(now, c.program.ExitCode, "")
	}
}

// end stops a container; a negative code means that there is none.
func (c *container) end(now time.Time, code int, reason string) {
	c.Status = managed.StatusStopped
	c.FinishedAt = now
	c.Reason = reason
	if code >= 0 {
		c.ExitCode = &code
		if reason == "" {
			c.Reason = fmt.Sprintf("exited with code %d", code)
		}
	}
}

// look counts one look at a container and tells whether it is shown.
func (w *world) look(c *container, now time.Time) bool {
	if now.Sub(c.CreatedAt) < w.opts.HiddenFor {
		return false
	}
	if c.hidden > 0 && now.Sub(c.CreatedAt) < w.opts.Properties.VisibilityLag {
		c.hidden--
		return false
	}
	w.advance(c, now)
	if c.starts > 0 {
		c.starts--
	}
	return true
}

func (w *world) observe(handles []managed.Handle) map[managed.Handle]managed.Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.bury(now)
	seen := make(map[managed.Handle]managed.Observation, len(handles))
	for _, h := range handles {
		if _, done := seen[h]; done {
			continue
		}
		if c := w.byHandle[h]; c != nil && w.look(c, now) {
			seen[h] = c.Observation
		}
	}
	return seen
}

func (w *world) handles() []managed.Handle {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.byHandle))
}

func (w *world) kill(handles []managed.Handle) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, h := range handles {
		c := w.byHandle[h]
		switch {
		case c == nil || !c.killed.IsZero():
		case w.opts.StopDelay == 0:
			w.remove(c)
		default:
			w.advance(c, now)
			if c.Status != managed.StatusStopped {
				c.end(now, 143, "killed")
			}
			c.killed = now
		}
	}
	w.compact()
}

// bury removes what was killed long enough ago.
func (w *world) bury(now time.Time) {
	if w.opts.StopDelay == 0 {
		return
	}
	for _, c := range w.containers {
		if c != nil && !c.killed.IsZero() && now.Sub(c.killed) >= w.opts.StopDelay {
			w.remove(c)
		}
	}
	w.compact()
}

func (w *world) remove(c *container) {
	delete(w.byHandle, c.handle)
	w.containers[c.at] = nil
	w.removed++
}

// compact closes the gaps once they are the greater part, so that killing
// containers one by one does not cost the square of their number.
func (w *world) compact() {
	if w.removed <= len(w.containers)/2 {
		return
	}
	w.containers = slices.DeleteFunc(w.containers, func(c *container) bool { return c == nil })
	for i, c := range w.containers {
		c.at = i
	}
	w.removed = 0
}

// Next makes the next n containers do something else than their spec says.
func (m *Memory) Next(n int, p Program) {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	for range n {
		m.world.next = append(m.world.next, p)
	}
}

// Stop ends a container from outside, as a signal or an out-of-memory killer
// would: it stays, stopped. It is an error if there is none.
func (m *Memory) Stop(h managed.Handle, exitCode int) error {
	w := m.world
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.byHandle[h]
	if c == nil {
		return managed.Errorf(managed.ClassNotFound, "", "there is no container %s to stop", h)
	}
	now := time.Now()
	w.advance(c, now)
	if c.Status != managed.StatusStopped {
		c.end(now, exitCode, "")
	}
	return nil
}

// Vanish removes a container from outside, without a trace.
func (m *Memory) Vanish(h managed.Handle) {
	w := m.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.byHandle[h]; c != nil {
		w.remove(c)
		w.compact()
	}
}

// Snapshot is the whole world, seen by one who sees everything.
type Snapshot struct {
	Containers []managed.Container // in the order of their start
	Secrets    []managed.Scope
	Artifacts  []managed.Artifact
}

// Empty tells whether nothing is left.
func (s Snapshot) Empty() bool {
	return len(s.Containers) == 0 && len(s.Secrets) == 0 && len(s.Artifacts) == 0
}

// Snapshot shows the world, what is hidden included, without being a look.
func (m *Memory) Snapshot() Snapshot {
	w := m.world
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.bury(now)
	var s Snapshot
	for _, c := range w.containers {
		if c == nil {
			continue
		}
		w.advance(c, now)
		s.Containers = append(s.Containers, managed.Container{Handle: c.handle, Observation: c.Observation, Labels: c.req.Spec.Labels})
	}
	for scope := range w.secrets {
		s.Secrets = append(s.Secrets, scope)
	}
	for _, id := range slices.Sorted(maps.Keys(w.artifacts)) {
		s.Artifacts = append(s.Artifacts, w.artifacts[id])
	}
	return s
}
