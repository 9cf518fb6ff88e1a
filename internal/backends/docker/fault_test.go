// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv/apiproxy"
)

// life is what a small cluster does from its beginning to its end. Each step
// is tried some times, like the core does, and with the same token.
func (s *bench) life(ctx context.Context, tries int) error {
	cluster := managed.Scope{Namespace: s.scope.Namespace, Cluster: s.scope.Cluster}
	labels := managed.Labels{Namespace: cluster.Namespace, Cluster: cluster.Cluster, Owner: "me"}.Map()
	server, worker := s.server(), s.worker()
	var handles []managed.Handle
	run := func(req managed.RunRequest) func() error {
		return func() error {
			started, err := s.Run(ctx, req)
			if err == nil {
				handles = append(handles, started...)
			}
			return err
		}
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"preparing", func() error { return s.Prepare(ctx, cluster, nil) }},
		{"keeping the secret", func() error { return s.PutSecret(ctx, cluster, []byte("secret"), labels) }},
		{"checking", func() error { return s.Preflight(ctx, server, nil) }},
		{"starting the server", run(server)},
		{"starting a worker", run(worker)},
		{"reading the secret", func() error {
			value, err := s.GetSecret(ctx, cluster)
			if err == nil && string(value) != "secret" {
				err = fmt.Errorf("it is %q", value)
			}
			return err
		}},
		{"listing", func() error {
			inv, err := s.List(ctx, managed.Selector{Namespace: s.scope.Namespace, Artifacts: true})
			if err == nil && len(inv.Containers) != 2 {
				err = fmt.Errorf("there are %v", inv.Containers)
			}
			return err
		}},
		{"looking", func() error { return second(s.Status(ctx, handles)) }},
		{"asking for the address", func() error { return second(s.Endpoint(ctx, handles[0], managed.PortMain)) }},
		{"reading a log", func() error { return second(s.Tail(ctx, handles[1], 3)) }},
		{"killing", func() error { return s.Kill(ctx, handles) }},
		{"forgetting the secret", func() error { return s.DeleteSecret(ctx, cluster) }},
		{"cleaning up", func() error { return second(s.Cleanup(ctx, cluster, true)) }},
	} {
		var err error
		for range tries {
			if err = step.do(); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func second[T any](_ T, err error) error { return err }

// TestFaults has each call of a cluster's life go wrong in each way, once: it
// succeeds all the same when it is tried again, starts nothing twice and
// leaves nothing.
func TestFaults(t *testing.T) {
	record := newBench(t, Config{})
	record.proxy.Take()
	if err := record.life(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	calls := record.proxy.Take().Calls
	if len(calls) < 12 {
		t.Fatalf("a life takes only %v", calls)
	}
	for i, way := range []struct {
		name  string
		fault func(w http.ResponseWriter) apiproxy.Verdict
	}{
		{"a lost answer", func(http.ResponseWriter) apiproxy.Verdict { return apiproxy.Lose }},
		{"an error of the engine", func(w http.ResponseWriter) apiproxy.Verdict {
			http.Error(w, `{"message":"something is wrong"}`, http.StatusInternalServerError)
			return apiproxy.Answered
		}},
	} {
		for name, times := range calls {
			nth := 1 + i%times // each way at another one of several
			t.Run(fmt.Sprintf("%s/%s/%d", way.name, name, nth), func(t *testing.T) {
				t.Parallel()
				s := newBenchWith(t, Config{}, record.image)
				var seen atomic.Int32
				s.proxy.Intercept(func(call string, w http.ResponseWriter, _ *http.Request) apiproxy.Verdict {
					if call == name && int(seen.Add(1)) == nth {
						return way.fault(w)
					}
					return apiproxy.Forward
				})
				if err := s.life(t.Context(), 4); err != nil {
					t.Error(err)
				}
				if left := append(s.all(), s.networks()...); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// TestCanceledAtEachCall: whoever asks gives up at that very call. What was
// begun may be there; what is told of it is true, and the clean-up finds it.
func TestCanceledAtEachCall(t *testing.T) {
	record := newBench(t, Config{})
	for _, name := range []string{"POST networks/create", "POST containers/create", "POST containers/one/start", "DELETE containers/one", "POST volumes/create", "DELETE networks/one"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newBenchWith(t, Config{}, record.image)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var once sync.Once
			s.proxy.Intercept(func(call string, _ http.ResponseWriter, _ *http.Request) apiproxy.Verdict {
				if call == name {
					once.Do(cancel)
				}
				return apiproxy.Forward
			})
			if err := s.life(ctx, 4); err == nil {
				t.Error("it succeeded although it was canceled")
			}
			s.proxy.Intercept(nil) // and the bench's own clean-up finds all
		})
	}
}

// TestVanished: a container that somebody removes while Podman answers fails
// no reading that is about others as well, not even once.
func TestVanished(t *testing.T) {
	s := newBench(t, Config{})
	var mu sync.Mutex
	failed := map[string]bool{}
	s.proxy.Intercept(func(call string, w http.ResponseWriter, _ *http.Request) apiproxy.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if failed[call] || call != "GET containers/json" && call != "GET networks" {
			return apiproxy.Forward
		}
		failed[call] = true
		http.Error(w, `{"message":"container 163d284f33c6 does not exist in database: no such container"}`, http.StatusInternalServerError)
		return apiproxy.Answered
	})
	if err := s.life(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if len(failed) != 2 {
		t.Errorf("only %v were asked for", failed)
	}
}
