// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// scripted answers Run and List from a script and does nothing else.
type scripted struct {
	Backend
	idempotent bool
	runs       []func() ([]Handle, error)
	lists      []error
	calls      int
}

func (s *scripted) Properties() Properties {
	return Properties{Name: "scripted", IdempotentRun: s.idempotent}
}

func (s *scripted) Run(context.Context, RunRequest) ([]Handle, error) {
	s.calls++
	next := s.runs[0]
	if len(s.runs) > 1 {
		s.runs = s.runs[1:]
	}
	return next()
}

func (s *scripted) List(context.Context, Selector) (Inventory, error) {
	s.calls++
	err := s.lists[0]
	if len(s.lists) > 1 {
		s.lists = s.lists[1:]
	}
	return Inventory{}, err
}

func fails(class Class, handles ...Handle) func() ([]Handle, error) {
	return func() ([]Handle, error) { return handles, Errorf(class, "", "%s", class) }
}

func starts(handles ...Handle) func() ([]Handle, error) {
	return func() ([]Handle, error) { return handles, nil }
}

func TestRetryOfRun(t *testing.T) {
	tests := []struct {
		name       string
		idempotent bool
		runs       []func() ([]Handle, error)
		calls      int
		want       []Handle
		class      Class
	}{
		{"works at once", false, []func() ([]Handle, error){starts("a")}, 1, []Handle{"a"}, ""},
		{"throttled, then works", false, []func() ([]Handle, error){fails(ClassThrottled), starts("a")}, 2, []Handle{"a"}, ""},
		{"no room, part started: not sent again", false, []func() ([]Handle, error){fails(ClassCapacity, "a"), starts("b")}, 1, []Handle{"a"}, ClassCapacity},
		{"no room, part started, tokens: sent again", true, []func() ([]Handle, error){fails(ClassCapacity, "a"), starts("a", "b")}, 2, []Handle{"a", "b"}, ""},
		{"a lost answer is not sent again", false, []func() ([]Handle, error){fails(ClassTransient), starts("a")}, 1, nil, ClassTransient},
		{"a lost answer with tokens is", true, []func() ([]Handle, error){fails(ClassTransient, "a"), fails(ClassTransient, "b")}, 5, []Handle{"a", "b"}, ClassTransient},
		{"invalid is final", true, []func() ([]Handle, error){fails(ClassInvalid)}, 1, nil, ClassInvalid},
		{"unclassified is final", true, []func() ([]Handle, error){func() ([]Handle, error) { return nil, errors.New("?") }}, 1, nil, ClassUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scripted{idempotent: tt.idempotent, runs: tt.runs}
				got, err := Decorate(s, Retry(DefaultRetry())).Run(t.Context(), RunRequest{Count: 2})
				if !slices.Equal(got, tt.want) || ClassOf(err) != tt.class || s.calls != tt.calls {
					t.Errorf("%q, %v after %d calls; want %q, class %q, %d calls", got, err, s.calls, tt.want, tt.class, tt.calls)
				}
			})
		})
	}
}

func TestRetryEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := &scripted{lists: []error{Errorf(ClassTransient, "", "lost")}}
		_, err := CapabilitiesOf(Decorate(s, Retry(RetryPolicy{Tries: 1000, First: 100 * time.Millisecond, Longest: time.Second}))).Lister.List(ctx, Selector{})
		if ClassOf(err) != ClassTransient || s.calls > 12 {
			t.Errorf("%v after %d calls: the last error of the backend is what helps a person", err, s.calls)
		}
	})
}

func TestDecorateShowsWhatTheBackendHas(t *testing.T) {
	s := &scripted{lists: []error{nil}}
	calls := 0
	count := func(ctx context.Context, _ *Call, next func(context.Context) error) error {
		calls++
		return next(ctx)
	}
	can := CapabilitiesOf(Decorate(Decorate(s, count), count))
	if can.Lister == nil || can.SecretStore != nil || can.Prober != nil || can.LogReader != nil {
		t.Errorf("capabilities %+v", can)
	}
	if _, err := can.Lister.List(t.Context(), Selector{}); err != nil || calls != 2 {
		t.Errorf("%v, %d interceptors of 2 saw the call", err, calls)
	}
}

func TestTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	tracer := trace.NewTracerProvider(trace.WithSpanProcessor(spans)).Tracer("test")
	b := Decorate(&scripted{runs: []func() ([]Handle, error){fails(ClassCapacity)}}, Trace(tracer, logger))
	_, _ = b.Run(t.Context(), RunRequest{
		Scope: Scope{Namespace: "n", Cluster: "c", Pool: "p"}, Count: 3,
		Spec: ContainerSpec{SecretEnvironment: map[string]string{"P": "hush"}},
	})
	ended := spans.Ended()
	if len(ended) != 1 || ended[0].Name() != "backend.run" {
		t.Fatalf("spans %v", ended)
	}
	for _, want := range []string{"backend=scripted", "verb=run", "count=3", "cluster=c", "pool=p", "error_class=capacity"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log line lacks %s: %s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "hush") {
		t.Error("the log shows a secret")
	}
}
