// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// lab is where one case works: a cluster name of its own, and a record of
// everything that was started, so that nothing stays behind.
type lab struct {
	T
	suite   *Suite
	ctx     context.Context // ends with the time of the case
	backend managed.Backend // a client that nothing is counted of
	can     managed.Capabilities
	props   managed.Properties
	scope   managed.Scope // of the case's cluster

	mu       sync.Mutex
	scopes   []managed.Scope // of all its clusters
	started  map[managed.Handle]managed.RunRequest
	requests []managed.RunRequest
	kills    [][]managed.Handle
}

// owner of what a case starts, unless it says otherwise.
const owner = "conformance"

func newLab(t T, s *Suite, name string) *lab {
	ctx, cancel := context.WithTimeout(t.Context(), s.Timeout)
	t.Cleanup(cancel)
	l := &lab{T: t, suite: s, ctx: ctx, started: map[managed.Handle]managed.RunRequest{}}
	b, err := s.New(ctx)
	if err != nil {
		t.Fatalf("making a client of the backend: %v", err)
	}
	l.backend, l.can = b, managed.CapabilitiesOf(b)
	l.props = managed.NewManager(b, managed.Options{}).Properties()
	short, _, _ := strings.Cut(name, "_")
	l.scope = l.cluster(short)
	t.Cleanup(l.finish)
	return l
}

// cluster makes a cluster name that nobody else has.
func (l *lab) cluster(hint string) managed.Scope {
	name := "c-" + strings.ToLower(strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, hint)+"-"+rand.Text()[:8])
	return l.track(managed.Scope{Namespace: l.suite.Namespace, Cluster: name})
}

// track makes sure that nothing of a cluster stays behind.
func (l *lab) track(s managed.Scope) managed.Scope {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scopes = append(l.scopes, s)
	return s
}

func inPool(s managed.Scope, pool string) managed.Scope {
	s.Pool = pool
	return s
}

// finish removes whatever a case has left, and then nothing may be left.
func (l *lab) finish() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), min(time.Minute, l.suite.Timeout))
	defer cancel()
	m := managed.NewManager(l.backend, managed.Options{Owner: owner})
	for _, s := range l.scopes {
		known := l.handlesIn(s)
		if err := errOf(m.Cleanup(ctx, managed.CleanupRequest{Scope: s, Known: known, Force: true, Deep: true})); err != nil {
			l.Errorf("cleaning up %s: %v", s.Cluster, err)
		}
		l.checkNothingLeft(ctx, s)
	}
}

func (l *lab) handlesIn(s managed.Scope) []managed.Handle {
	l.mu.Lock()
	defer l.mu.Unlock()
	var hs []managed.Handle
	for h, req := range l.started {
		if req.Scope.Namespace == s.Namespace && req.Scope.Cluster == s.Cluster && (s.Pool == "" || s.Pool == req.Scope.Pool) {
			hs = append(hs, h)
		}
	}
	slices.Sort(hs)
	return hs
}

// checkNothingLeft tells what is left of a scope once it had time to go.
func (l *lab) checkNothingLeft(ctx context.Context, s managed.Scope) {
	l.eventually(ctx, "nothing is left of "+s.Cluster+" "+s.Pool, func() string {
		alive := l.alive(ctx, l.handlesIn(s))
		if len(alive) > 0 {
			return "still alive: " + joined(alive)
		}
		if l.can.Lister != nil {
			inv, err := l.can.Lister.List(ctx, managed.Selector{Namespace: s.Namespace, Cluster: s.Cluster, Pool: s.Pool, Artifacts: true})
			if err != nil {
				return err.Error()
			}
			for _, c := range inv.Containers {
				return "still listed: container " + string(c.Handle) + " (" + string(c.Status) + ")"
			}
			for _, a := range inv.Artifacts {
				if a.Stuck != "" {
					l.Logf("%s %s is left: %s", a.Kind, a.ID, a.Stuck)
				} else if s.Pool == "" {
					return "still listed: " + a.Kind + " " + a.ID
				}
			}
		}
		if l.can.SecretStore != nil && s.Pool == "" {
			if b, err := l.can.SecretStore.GetSecret(ctx, s); err != nil {
				return err.Error()
			} else if len(b) > 0 {
				return "the secret is still there"
			}
		}
		return ""
	})
}

// alive are those of the handles whose containers are not known to have stopped.
func (l *lab) alive(ctx context.Context, handles []managed.Handle) []managed.Handle {
	seen, err := l.backend.Status(ctx, handles)
	if err != nil {
		l.Errorf("Status: %v", err)
		return nil
	}
	var alive []managed.Handle
	for _, h := range slices.Sorted(slices.Values(handles)) {
		if o := seen[h]; o.Known && o.Status != managed.StatusStopped {
			alive = append(alive, h)
		}
	}
	return slices.Compact(alive)
}

// patience with what the backend may show late: a part of a case's time.
func (l *lab) patience() time.Duration {
	return min(20*time.Second, l.suite.Timeout/4) + l.props.VisibilityLag
}

// eventually looks until nothing is amiss any more, or says what is.
func (l *lab) eventually(ctx context.Context, what string, amiss func() string) {
	begun := time.Now()
	for {
		wrong := amiss()
		if wrong == "" {
			return
		}
		if time.Since(begun) > l.patience() || sleep(ctx, max(l.props.PollInterval, 5*time.Millisecond)) != nil {
			l.Errorf("%s: %s", what, wrong)
			return
		}
	}
}

// must ends the case if a step has failed.
func (l *lab) must(err error, format string, args ...any) {
	if err != nil {
		l.Fatalf("%s: %v", sprintf(format, args...), err)
	}
}

// watch stands around a client of the backend: it records, and calls the
// case's hooks.
type watch struct {
	managed.Backend
	l    *lab
	run  func(ctx context.Context, req managed.RunRequest, next func() ([]managed.Handle, error)) ([]managed.Handle, error)
	kill func(ctx context.Context, handles []managed.Handle, next func() error) error
}

// Capabilities are those of the backend inside.
func (w *watch) Capabilities() managed.Capabilities { return managed.CapabilitiesOf(w.Backend) }

// Run records the request and what it started.
func (w *watch) Run(ctx context.Context, req managed.RunRequest) (handles []managed.Handle, err error) {
	next := func() ([]managed.Handle, error) {
		got, err := w.Backend.Run(ctx, req)
		w.l.note(req, got)
		return got, err
	}
	if w.run != nil {
		return w.run(ctx, req, next)
	}
	return next()
}

// Kill records the handles.
func (w *watch) Kill(ctx context.Context, handles []managed.Handle) error {
	w.l.mu.Lock()
	w.l.kills = append(w.l.kills, slices.Clone(handles))
	w.l.mu.Unlock()
	next := func() error { return w.Backend.Kill(ctx, handles) }
	if w.kill != nil {
		return w.kill(ctx, handles, next)
	}
	return next()
}

func (l *lab) note(req managed.RunRequest, handles []managed.Handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, req)
	for _, h := range handles {
		if h != "" {
			l.started[h] = req
		}
	}
}

// startedSoFar is how many containers the case has started.
func (l *lab) startedSoFar() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.started)
}

// client makes a Manager on a new client of the backend: what R calls a new
// object, and Terraform a new process. Hooks may be nil.
func (l *lab) client(by string, hooks *watch) *managed.Manager {
	b, err := l.suite.New(l.ctx)
	l.must(err, "making a client of the backend")
	w := &watch{Backend: b, l: l}
	if hooks != nil {
		w.run, w.kill = hooks.run, hooks.kill
	}
	return managed.NewManager(w, managed.Options{Owner: by})
}

// killOutside kills a container past the backend and waits until that shows.
func (l *lab) killOutside(h managed.Handle) {
	l.must(l.suite.Kill(l.ctx, h), "killing %s from outside", h)
	l.eventually(l.ctx, "a killed container is not alive", func() string {
		if alive := l.alive(l.ctx, []managed.Handle{h}); len(alive) > 0 {
			return string(h) + " is alive"
		}
		return ""
	})
}

// request is a finished request for workers, as the core makes them.
func (l *lab) request(scope managed.Scope, worker managed.Template, count int) managed.RunRequest {
	var captured *managed.RunRequest
	m := l.client(owner, &watch{run: func(_ context.Context, req managed.RunRequest, _ func() ([]managed.Handle, error)) ([]managed.Handle, error) {
		captured = &req
		return nil, managed.Errorf(managed.ClassInvalid, "", "only the request was wanted")
	}})
	_, err := m.SetWorkerNumber(l.ctx, managed.PoolRequest{
		Scope: scope, Framework: l.suite.Framework, Worker: worker, Workers: 1, MinWorkers: 1, MaxWorkers: 1,
		Server: managed.ServerAddress{Launch: "launch", Host: "127.0.0.1", Port: 1, Password: "secret"}, Create: true,
	})
	if captured == nil {
		l.Fatalf("the core asked for no worker: %v", err)
	}
	return l.again(*captured, count)
}

// again is a request for more of the same, with a new token.
func (l *lab) again(req managed.RunRequest, count int) managed.RunRequest {
	req.Count = min(count, l.props.BatchSize)
	req.Token = strings.ToLower(rand.Text()[:16])
	req.Spec.Labels = maps.Clone(req.Spec.Labels)
	req.Spec.Labels[managed.LabelToken] = req.Token
	return req
}

// run sends one request to the backend itself, and waits until what it started
// shows.
func (l *lab) run(req managed.RunRequest) []managed.Handle {
	l.prepare(req.Scope)
	handles, err := l.backend.Run(l.ctx, req)
	l.note(req, handles)
	l.must(err, "Run")
	if len(handles) != req.Count || len(containersOf(handles)) != req.Count {
		l.Fatalf("Run of %d containers answered with the handles %q", req.Count, handles)
	}
	l.eventually(l.ctx, "what was started shows", func() string {
		seen, err := l.backend.Status(l.ctx, handles)
		l.must(err, "Status")
		for _, h := range handles {
			if !seen[h].Known {
				return string(h) + " is not known"
			}
		}
		return ""
	})
	return handles
}

// start n containers of a template, in as many requests as they need.
func (l *lab) start(scope managed.Scope, worker managed.Template, n int) []managed.Handle {
	base := l.request(scope, worker, n)
	var handles []managed.Handle
	for len(handles) < n {
		handles = append(handles, l.run(l.again(base, n-len(handles)))...)
	}
	return handles
}

// prepare a scope, if the backend wants that.
func (l *lab) prepare(scope managed.Scope) {
	if l.can.Preparer != nil {
		l.must(l.can.Preparer.Prepare(l.ctx, scope, nil), "Prepare")
	}
}

// listed are the containers of a scope, if the backend can list.
func (l *lab) listed(s managed.Scope) []managed.Container {
	if l.can.Lister == nil {
		return nil
	}
	inv, err := l.can.Lister.List(l.ctx, managed.Selector{Namespace: s.Namespace, Cluster: s.Cluster, Pool: s.Pool})
	l.must(err, "List")
	return inv.Containers
}

// errOf is for those who need no more of an answer than its error.
func errOf[T any](_ T, err error) error { return err }
