// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func TestDaskContainer(t *testing.T) {
	f := managed.Facts{Namespace: "ns", Cluster: "sim", Pool: "big"}
	for _, c := range []struct {
		name      any
		container string
		ok        bool
	}{
		{"dockerparallel:ns:sim:big:host-1", "host-1", true},
		{"dockerparallel:ns:sim:big:host-1-0", "host-1-0", true},
		{"dockerparallel:ns:sim:big:host-1:worker-0", "host-1", true},
		{"dockerparallel:ns:sim:big:", "", true}, // a backend without names
		{"dockerparallel:ns:sim:big", "", false},
		{"dockerparallel:ns:sim:bigger:host-1", "", false},
		{"dockerparallel:ns:sim:bi:host-1", "", false},
		{"dockerparallel:other:sim:big:host-1", "", false},
		{"tcp://127.0.0.1:1234", "", false},
		{"", "", false},
		{float64(3), "", false},
		{nil, "", false},
	} {
		if container, ok := daskContainer(c.name, f); container != c.container || ok != c.ok {
			t.Errorf("%v: %q, %t", c.name, container, ok)
		}
	}
}

// TestDaskHardware: what a worker gets from the hardware of one.
func TestDaskHardware(t *testing.T) {
	for _, c := range []struct {
		hardware        managed.Hardware
		options         Values
		threads, memory string
	}{
		{managed.Hardware{}, nil, "1", "auto"},
		{managed.Hardware{CPU: 256, Memory: 512}, nil, "1", "512MiB"},
		{managed.Hardware{CPU: 1535, Memory: 1}, nil, "1", "1MiB"},
		{managed.Hardware{CPU: 1536, Memory: 4096}, nil, "2", "4096MiB"},
		{managed.Hardware{CPU: 4096}, nil, "4", "auto"},
		{managed.Hardware{CPU: 4096}, Values{"nthreads": int64(1)}, "1", "auto"},
	} {
		env := dask{configured{c.options}}.Environment(managed.RoleWorker, managed.Facts{Hardware: c.hardware}).Plain
		if env[daskThreads] != c.threads || env[daskMemoryLimit] != c.memory {
			t.Errorf("%+v, %v: %s threads, %s", c.hardware, c.options, env[daskThreads], env[daskMemoryLimit])
		}
	}
}

// TestDaskOptionChecks: what is refused, and that dask gets durations that it
// understands.
func TestDaskOptionChecks(t *testing.T) {
	refused := map[string][]any{
		"idle_timeout":    {"", "30", "0s", "-1m", "soon", "30 minutes"},
		"death_timeout":   {"", "1", "0s", "x"},
		"nthreads":        {int64(0), int64(-3)},
		"local_directory": {"", "scratch", "./scratch"},
	}
	for _, o := range daskOptions() {
		for _, value := range refused[o.Name] {
			if o.Check(value) == "" {
				t.Errorf("%s takes %#v", o.Name, value)
			}
		}
		if len(refused[o.Name]) == 0 {
			t.Errorf("%s is not checked", o.Name)
		}
	}
	for text, want := range map[string]string{"1h30m": "5400s", "90s": "90s", "1.5s": "1.5s", "": ""} {
		if got := daskDuration(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestDaskExports(t *testing.T) {
	for _, c := range []struct {
		ports map[string]managed.Endpoint
		want  map[string]string
	}{
		{map[string]managed.Endpoint{daskDashboard: {PrivateIP: "10.0.0.7", PrivatePort: 8787}}, map[string]string{"dashboard": "http://10.0.0.7:8787/status"}},
		{map[string]managed.Endpoint{daskDashboard: {PrivateIP: "sim", PrivatePort: 8787, PublicIP: "127.0.0.1", PublicPort: 32768}}, map[string]string{"dashboard": "http://127.0.0.1:32768/status"}},
		{map[string]managed.Endpoint{daskDashboard: {PrivateIP: "fd00::7", PrivatePort: 9001}}, map[string]string{"dashboard": "http://[fd00::7]:9001/status"}},
		{map[string]managed.Endpoint{managed.PortMain: {PrivateIP: "10.0.0.7", PrivatePort: 8786}}, nil},
		{map[string]managed.Endpoint{daskDashboard: {PrivateIP: "10.0.0.7"}}, nil},
		{nil, nil},
	} {
		if got := (dask{}).Exports(c.ports); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %v, want %v", c.ports, got, c.want)
		}
	}
}

// daskAnswers is a stand-in for a scheduler, for answers that a real one only
// gives when something is wrong with it.
func daskAnswers(t *testing.T, answer http.HandlerFunc) managed.DialFunc {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.Listener.Addr().String())
	}
}

func TestDaskErrorClasses(t *testing.T) {
	ask := func(ctx context.Context, dial managed.DialFunc) error {
		_, err := dask{}.RegisteredWorkers(ctx, dial, managed.Facts{})
		return err
	}
	for what, answer := range map[string]http.HandlerFunc{
		"an error":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"another program":   func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"a page":            func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"half an answer":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"workers": {`) },
		"a lost connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"somewhere else":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/status", http.StatusFound) },
	} {
		if err := ask(t.Context(), daskAnswers(t, answer)); managed.ClassOf(err) != managed.ClassTransient {
			t.Errorf("%s: %v, class %q", what, err, managed.ClassOf(err))
		}
	}

	// The class of the way there is kept.
	refused := managed.Errorf(managed.ClassPermission, "", "no way")
	if err := ask(t.Context(), func(context.Context, string) (net.Conn, error) { return nil, refused }); managed.ClassOf(err) != managed.ClassPermission {
		t.Errorf("a dial that is refused: %v", err)
	}
	probe := dask{}.ProbeServer(t.Context(), func(ctx context.Context, port string) (net.Conn, error) {
		if port == managed.PortMain {
			return nil, errors.New("not yet")
		}
		return daskAnswers(t, func(http.ResponseWriter, *http.Request) {})(ctx, port)
	}, managed.Facts{})
	if managed.ClassOf(probe) != managed.ClassTransient {
		t.Errorf("only the dashboard answers: %v", probe)
	}

	// A scheduler that does not answer is given up with the context.
	silent := daskAnswers(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := ask(ctx, silent); managed.ClassOf(err) != managed.ClassDeadline {
		t.Errorf("no answer: %v, class %q", err, managed.ClassOf(err))
	}
	if err := (dask{}).Drain(ctx, silent, managed.Facts{}, []string{"a"}); managed.ClassOf(err) != managed.ClassDeadline {
		t.Errorf("no answer to a drain: %v, class %q", err, managed.ClassOf(err))
	}
}

// TestDaskDrainEndures errors that pass, but not for ever; and asks for the
// workers of the containers only.
func TestDaskDrainEndures(t *testing.T) {
	f := managed.Facts{Namespace: "ns", Cluster: "sim", Pool: "big"}
	for what, c := range map[string]struct {
		errors int32 // before it works
		fails  bool
	}{"some errors": {4, false}, "only errors": {1000, true}} {
		var calls atomic.Int32
		gone := false // one request at a time
		dial := daskAnswers(t, func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) <= c.errors {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			if r.Method == http.MethodGet {
				workers := map[string]any{"tcp://b": map[string]any{"name": daskPoolName(f) + ":b"}}
				if !gone {
					workers["tcp://a"] = map[string]any{"name": daskPoolName(f) + ":a"}
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"workers": workers})
				return
			}
			var asked map[string][]string
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || !slices.Equal(asked["workers"], []string{"tcp://a"}) {
				t.Errorf("%s: asked for %v, %v", what, asked, err)
			}
			gone = true
			fmt.Fprint(w, `{"stuck": []}`)
		})
		err := dask{}.Drain(t.Context(), dial, f, []string{"a"})
		if (err != nil) != c.fails || managed.ClassOf(err) == managed.ClassUnknown {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestDaskClientTunnel: the command comes first.
func TestDaskClientTunnel(t *testing.T) {
	f := clientFacts
	f.Tunnel = "ssh -N -L 16380:10.0.0.7:8786 host"
	c := dask{}.Client(f)
	for _, code := range []string{c.Python, c.Shell} {
		if first, _, _ := strings.Cut(code, "\n"); !strings.HasPrefix(first, "# ") || !strings.Contains(first, f.Tunnel) {
			t.Errorf("the code begins with %q", first)
		}
	}
}
