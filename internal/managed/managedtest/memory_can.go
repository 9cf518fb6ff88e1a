// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// List implements [managed.Lister]. Label maps are shared between the answers
// and must not be changed.
func (m *Memory) List(ctx context.Context, sel managed.Selector) (managed.Inventory, error) {
	f, err := m.enter(ctx, Call{Verb: VerbList, Selector: sel})
	if err != nil {
		return managed.Inventory{}, err
	}
	if f.lies(Stranger) {
		sel = managed.Selector{}
	}
	inv := m.world.list(sel)
	if err := m.leave(ctx, VerbList, f); err != nil {
		return managed.Inventory{}, err
	}
	if n := len(inv.Containers); n > 0 && f.is(Wrong) {
		switch f.Lie {
		case TooFew:
			inv.Containers = inv.Containers[:n-1]
		case TooMany:
			inv.Containers = append(inv.Containers, managed.Container{Handle: "no-such-container", Observation: managed.Observation{Status: managed.StatusRunning}})
		case Duplicate:
			inv.Containers = append(inv.Containers, inv.Containers[0])
		case Nameless:
			inv.Containers[n-1].Handle = ""
		}
	}
	return inv, nil
}

func (w *world) list(sel managed.Selector) managed.Inventory {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.bury(now)
	var inv managed.Inventory
	shown := make([]*container, 0, len(w.byHandle))
	for _, c := range w.containers {
		if c != nil && c.ours && sel.Matches(c.labels) && w.look(c, now) {
			shown = append(shown, c)
		}
	}
	inv.Containers = make([]managed.Container, 0, len(shown))
	for _, c := range shown {
		inv.Containers = append(inv.Containers, managed.Container{Handle: c.handle, Name: nameOf(c.handle), Observation: c.Observation, Labels: c.req.Spec.Labels})
	}
	for _, id := range slices.Sorted(maps.Keys(w.artifacts)) {
		a := w.artifacts[id]
		labels, _ := managed.ParseLabels(a.Labels)
		if (sel.Namespace == "" || sel.Namespace == labels.Namespace) && (sel.Cluster == "" || sel.Cluster == labels.Cluster) {
			inv.Artifacts = append(inv.Artifacts, a)
		}
	}
	return inv
}

// Endpoint implements [managed.Endpointer]. A private address tells the
// container's number, so that no two containers have the same.
func (m *Memory) Endpoint(ctx context.Context, h managed.Handle, port string) (managed.Endpoint, error) {
	f, err := m.enter(ctx, Call{Verb: VerbEndpoint, Handles: []managed.Handle{h}})
	if err != nil {
		return managed.Endpoint{}, err
	}
	for {
		e, err := m.world.endpoint(h, port)
		if err != nil || e != (managed.Endpoint{}) {
			if late := m.leave(ctx, VerbEndpoint, f); late != nil {
				return managed.Endpoint{}, late
			}
			return e, err
		}
		if err := sleep(ctx, m.world.opts.Properties.PollInterval); err != nil {
			return managed.Endpoint{}, err
		}
	}
}

// endpoint is zero as long as the container has none.
func (w *world) endpoint(h managed.Handle, port string) (managed.Endpoint, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.byHandle[h]
	if c == nil {
		return managed.Endpoint{}, managed.Errorf(managed.ClassNotFound, "", "there is no container %s", h)
	}
	w.look(c, time.Now())
	switch c.Status {
	case managed.StatusStopped:
		return managed.Endpoint{}, managed.Errorf(managed.ClassNotFound, "", "container %s has stopped", h)
	case managed.StatusInitializing:
		return managed.Endpoint{}, nil
	}
	for _, p := range c.req.Spec.Ports {
		if p.Name != port {
			continue
		}
		n := 0
		_, _ = fmt.Sscanf(string(h), "mem-%d", &n) // a handle of ours
		e := managed.Endpoint{PrivateIP: fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255), PrivatePort: p.Number}
		if w.opts.Properties.StableServerName {
			e.PrivateIP = "server-of-" + c.labels.Cluster
		}
		if p.Publish != nil && w.opts.PublicIP != "" {
			e.PublicIP, e.PublicPort = w.opts.PublicIP, p.Publish.Port
			if e.PublicPort == 0 {
				e.PublicPort = 40000 + n%20000
			}
		}
		return e, nil
	}
	return managed.Endpoint{}, managed.Errorf(managed.ClassInvalid, "", "container %s has no port %q", h, port)
}

// FreePort implements [managed.PortPicker].
func (m *Memory) FreePort(ctx context.Context) (int, error) {
	f, err := m.enter(ctx, Call{Verb: VerbFreePort})
	if err != nil {
		return 0, err
	}
	m.world.mu.Lock()
	m.world.port++
	port := m.world.port
	m.world.mu.Unlock()
	return port, m.leave(ctx, VerbFreePort, f)
}

// Prepare implements [managed.Preparer]: a cluster has a network.
func (m *Memory) Prepare(ctx context.Context, scope managed.Scope, _ any) error {
	f, err := m.enter(ctx, Call{Verb: VerbPrepare, Scope: scope})
	if err != nil {
		return err
	}
	w := m.world
	w.mu.Lock()
	id := networkID(scope)
	if _, there := w.artifacts[id]; !there {
		labels := managed.Labels{Namespace: scope.Namespace, Cluster: scope.Cluster}
		w.artifacts[id] = managed.Artifact{Kind: "network", ID: id, Labels: labels.Map(), CreatedAt: time.Now()}
	}
	w.mu.Unlock()
	return m.leave(ctx, VerbPrepare, f)
}

func networkID(s managed.Scope) string { return "network-" + s.Namespace + "-" + s.Cluster }

// Cleanup implements [managed.Preparer].
func (m *Memory) Cleanup(ctx context.Context, scope managed.Scope, deep bool) ([]string, error) {
	f, err := m.enter(ctx, Call{Verb: VerbCleanup, Scope: scope, Deep: deep})
	if err != nil {
		return nil, err
	}
	if !f.lies(NotDone) {
		m.world.cleanup(scope)
	}
	return nil, m.leave(ctx, VerbCleanup, f)
}

func (w *world) cleanup(scope managed.Scope) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.byHandle {
		if c.killed.IsZero() && c.labels.Namespace == scope.Namespace && c.labels.Cluster == scope.Cluster {
			return
		}
	}
	delete(w.artifacts, networkID(scope))
}

// KillArtifacts implements [managed.ArtifactKiller].
func (m *Memory) KillArtifacts(ctx context.Context, artifacts []managed.Artifact) error {
	f, err := m.enter(ctx, Call{Verb: VerbKillArtifacts})
	if err != nil {
		return err
	}
	m.world.mu.Lock()
	for _, a := range artifacts {
		delete(m.world.artifacts, a.ID)
	}
	m.world.mu.Unlock()
	return m.leave(ctx, VerbKillArtifacts, f)
}

// Preflight implements [managed.Preflighter]: an image "missing" does not exist.
func (m *Memory) Preflight(ctx context.Context, req managed.RunRequest, replaces []managed.Handle) error {
	f, err := m.enter(ctx, Call{Verb: VerbPreflight, Scope: req.Scope, Run: &req, Handles: slices.Clone(replaces)})
	if err != nil {
		return err
	}
	if err := m.leave(ctx, VerbPreflight, f); err != nil {
		return err
	}
	if req.Spec.Image == "missing" {
		return managed.Errorf(managed.ClassInvalid, "container.image", "there is no image %q", req.Spec.Image)
	}
	return nil
}

// Validate implements [managed.Validator].
func (m *Memory) Validate(_ managed.Role, spec managed.ContainerSpec) []managed.Problem {
	if spec.Hardware.GPUs > 0 {
		return []managed.Problem{{Attribute: "hardware.gpus", Detail: "There are no GPUs in memory."}}
	}
	return nil
}

// MaxWorkersPerContainer implements [managed.Packer].
func (m *Memory) MaxWorkersPerContainer(managed.Hardware) int {
	return m.world.opts.WorkersPerContainer
}

// PutSecret implements [managed.SecretStore].
func (m *Memory) PutSecret(ctx context.Context, scope managed.Scope, value []byte, labels map[string]string) error {
	f, err := m.enter(ctx, Call{Verb: VerbPutSecret, Scope: scope})
	if err != nil {
		return err
	}
	m.world.mu.Lock()
	m.world.secrets[scope] = secret{slices.Clone(value), maps.Clone(labels)}
	m.world.mu.Unlock()
	return m.leave(ctx, VerbPutSecret, f)
}

// GetSecret implements [managed.SecretStore].
func (m *Memory) GetSecret(ctx context.Context, scope managed.Scope) ([]byte, error) {
	f, err := m.enter(ctx, Call{Verb: VerbGetSecret, Scope: scope})
	if err != nil {
		return nil, err
	}
	m.world.mu.Lock()
	value := slices.Clone(m.world.secrets[scope].value)
	m.world.mu.Unlock()
	if err := m.leave(ctx, VerbGetSecret, f); err != nil {
		return nil, err
	}
	return value, nil
}

// DeleteSecret implements [managed.SecretStore].
func (m *Memory) DeleteSecret(ctx context.Context, scope managed.Scope) error {
	f, err := m.enter(ctx, Call{Verb: VerbDeleteSecret, Scope: scope})
	if err != nil {
		return err
	}
	if !f.lies(NotDone) {
		m.world.mu.Lock()
		delete(m.world.secrets, scope)
		m.world.mu.Unlock()
	}
	return m.leave(ctx, VerbDeleteSecret, f)
}

// nameOf is what a container would find in EnvContainer, and what it prints at
// the end of its log if it prints anything.
func nameOf(h managed.Handle) string { return "container-" + string(h) }

// Tail implements [managed.LogReader].
func (m *Memory) Tail(ctx context.Context, h managed.Handle, n int) ([]string, error) {
	f, err := m.enter(ctx, Call{Verb: VerbTail, Handles: []managed.Handle{h}})
	if err != nil {
		return nil, err
	}
	m.world.mu.Lock()
	c := m.world.byHandle[h]
	m.world.mu.Unlock()
	if err := m.leave(ctx, VerbTail, f); err != nil {
		return nil, err
	}
	if c == nil {
		return nil, managed.Errorf(managed.ClassNotFound, "", "there is no container %s", h)
	}
	log := slices.Clone(c.program.Log)
	if len(log) > 0 {
		log = append(log, nameOf(c.handle))
	}
	return log[max(0, len(log)-n):], nil
}

// Dial implements [managed.Prober]. A running server that is not deaf takes
// the connection and answers the questions of [Counting].
func (m *Memory) Dial(ctx context.Context, h managed.Handle, port string) (net.Conn, error) {
	f, err := m.enter(ctx, Call{Verb: VerbDial, Handles: []managed.Handle{h}})
	if err != nil {
		return nil, err
	}
	if err := m.leave(ctx, VerbDial, f); err != nil {
		return nil, err
	}
	w := m.world
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.byHandle[h]
	if c == nil {
		return nil, managed.Errorf(managed.ClassNotFound, "", "there is no container %s", h)
	}
	w.advance(c, time.Now())
	listens := slices.ContainsFunc(c.req.Spec.Ports, func(p managed.Port) bool { return p.Name == port })
	if c.Status != managed.StatusRunning || c.program.Deaf || !listens {
		return nil, managed.Errorf(managed.ClassTransient, "", "connection to port %q of %s refused", port, h)
	}
	near, far := net.Pipe()
	go w.serve(far, c)
	return near, nil
}

// Listens implements [managed.Prober].
func (m *Memory) Listens(ctx context.Context, h managed.Handle, port string) error {
	conn, err := m.Dial(ctx, h, port)
	if err != nil {
		return err
	}
	return conn.Close()
}

// serve answers "count POOL" with the number of the pool's running workers.
func (w *world) serve(conn net.Conn, server *container) {
	defer func() { _ = conn.Close() }()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		pool, ok := strings.CutPrefix(lines.Text(), "count ")
		if !ok {
			return
		}
		if _, err := fmt.Fprintln(conn, w.registered(server, pool)); err != nil {
			return
		}
	}
}

func (w *world) registered(server *container, pool string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	n := 0
	for _, c := range w.byHandle {
		w.advance(c, now)
		l := c.labels
		if c.Status == managed.StatusRunning && l.Role == managed.RoleWorker && l.Namespace == server.labels.Namespace &&
			l.Cluster == server.labels.Cluster && l.Launch == server.labels.Launch && l.Pool == pool {
			n += l.Workers
		}
	}
	return n
}
