// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package frameworks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// apiDial reaches an HTTP server at one port of a server, which listens on its
// main port as well.
func apiDial(t *testing.T, port string, answer http.HandlerFunc) managed.DialFunc {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return func(ctx context.Context, name string) (net.Conn, error) {
		if name != port && name != managed.PortMain {
			return nil, fmt.Errorf("dialled %q, want %q or the main port", name, port)
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", s.Listener.Addr().String())
	}
}

// rayHeadAnswers as Ray's dashboard does whose token is "token": a 401 without
// one, a 403 with a wrong one, else what path gets.
func rayHeadAnswers(answers map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer token":
		case "":
			http.Error(w, "Unauthorized: Missing authentication token", http.StatusUnauthorized)
			return
		default:
			http.Error(w, "Forbidden: Invalid authentication token", http.StatusForbidden)
			return
		}
		answer, ok := answers[r.URL.RequestURI()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, answer)
	}
}

const rayVersionAnswer = `{"version": "4", "ray_version": "2.58.0", "ray_commit": "abc", "session_name": "session_1"}`

func TestRayProbe(t *testing.T) {
	f := managed.Facts{Password: "token"}
	dial := apiDial(t, rayDashboard, rayHeadAnswers(map[string]string{"/api/version": rayVersionAnswer}))
	if err := (ray{}).ProbeServer(t.Context(), dial, f); err != nil {
		t.Error(err)
	}
	for password, want := range map[managed.Secret]managed.Class{"": managed.ClassPermission, "wrong": managed.ClassPermission} {
		if err := (ray{}).ProbeServer(t.Context(), dial, managed.Facts{Password: password}); managed.ClassOf(err) != want {
			t.Errorf("password %q: %v, want class %q", password.Reveal(), err, want)
		}
	}
	for what, answers := range map[string]map[string]string{
		"another program": {"/api/version": `{"Version": "29.0"}`},
		"no JSON":         {"/api/version": `<html>`},
		"nothing there":   {},
	} {
		err := (ray{}).ProbeServer(t.Context(), apiDial(t, rayDashboard, rayHeadAnswers(answers)), f)
		if managed.ClassOf(err) != managed.ClassTransient {
			t.Errorf("%s: %v, class %q", what, err, managed.ClassOf(err))
		}
	}
	// The dashboard alone is not enough.
	mute := func(ctx context.Context, port string) (net.Conn, error) {
		if port == managed.PortMain {
			return nil, errors.New("refused")
		}
		return dial(ctx, port)
	}
	if err := (ray{}).ProbeServer(t.Context(), mute, f); managed.ClassOf(err) != managed.ClassTransient {
		t.Errorf("a head without its main port: %v", err)
	}
}

// TestRayWorkers reads what the state API answers, as documented.
func TestRayWorkers(t *testing.T) {
	node := func(state, resource string, n float64) string {
		return fmt.Sprintf(`{"node_id": "ab", "node_ip": "10.0.0.2", "is_head_node": false, "state": %q, "state_message": "", "node_name": "10.0.0.2",
			"resources_total": {"CPU": 4.0, "memory": 6012954215.0, "node:10.0.0.2": 1.0, %q: %v}, "labels": {"ray.io/node-id": "ab"}, "start_time_ms": 1, "end_time_ms": 0}`, state, resource, n)
	}
	nodes := strings.Join([]string{
		node("ALIVE", "dockerparallel:default:sim:big:dp.default.sim.big.1", 2),
		node("ALIVE", "dockerparallel:default:sim:big:dp.default.sim.big.2", 1),
		node("DEAD", "dockerparallel:default:sim:big:dp.default.sim.big.3", 1),
		node("ALIVE", "dockerparallel:default:sim:bigger:dp.default.sim.bigger.1", 1),
		node("ALIVE", "dockerparallel:other:sim:big:dp.other.sim.big.1", 1),
		node("ALIVE", "node:__internal_head__", 1),
	}, ",")
	f := workerFacts
	f.Password = "token"
	dial := apiDial(t, rayDashboard, rayHeadAnswers(map[string]string{
		rayNodes: `{"result": true, "msg": "", "data": {"result": {"total": 6, "num_after_truncation": 6, "num_filtered": 6, "result": [` + nodes + `], "partial_failure_warning": "", "warnings": null}}}`,
	}))
	got, err := ray{}.RegisteredWorkers(t.Context(), dial, f)
	want := []managed.RegisteredWorker{{Container: "dp.default.sim.big.1", Workers: 2}, {Container: "dp.default.sim.big.2", Workers: 1}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}

	dial = apiDial(t, rayDashboard, rayHeadAnswers(map[string]string{rayNodes: `{"result": false, "msg": "GCS is away", "data": {"result": null}}`}))
	if _, err := (ray{}).RegisteredWorkers(t.Context(), dial, f); managed.ClassOf(err) != managed.ClassTransient || !strings.Contains(err.Error(), "GCS is away") {
		t.Errorf("an answer without nodes: %v", err)
	}
	f.Password = "wrong"
	if _, err := (ray{}).RegisteredWorkers(t.Context(), dial, f); managed.ClassOf(err) != managed.ClassPermission {
		t.Errorf("a wrong password: %v", err)
	}
}

// TestHTTPServerIsBounded: a server that does not answer holds nobody up.
func TestHTTPServerIsBounded(t *testing.T) {
	release := make(chan struct{})
	dial := apiDial(t, rayDashboard, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	err := (ray{}).ProbeServer(ctx, dial, managed.Facts{})
	if managed.ClassOf(err) != managed.ClassDeadline || time.Since(begun) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
}

// containerEnv is what the core gives a container, and what the test adds.
func containerEnv(fw managed.Framework, role managed.Role, f managed.Facts, more map[string]string) []string {
	env := fw.Environment(role, f)
	all := map[string]string{
		"DOCKERPARALLEL_SERVER_HOST": f.Host, "DOCKERPARALLEL_SERVER_PORT": fmt.Sprint(f.Port),
		"DOCKERPARALLEL_SERVER_URL": fw.URL(f.Host, f.Port, f.Password),
	}
	if role == managed.RoleWorker {
		all["DOCKERPARALLEL_WORKERS"], all["DOCKERPARALLEL_CONTAINER"] = fmt.Sprint(f.Workers), "dp.default.sim.big.1"
	}
	maps.Copy(all, env.Plain)
	for name, value := range env.Secret {
		all[name] = value.Reveal()
	}
	maps.Copy(all, more)
	var list []string
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	return list
}

// fakeProgram puts a shell script on a PATH of its own.
func fakeProgram(t *testing.T, name, script string) (path string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir + string(os.PathListSeparator) + os.Getenv("PATH")
}

// TestRayCommands looks at the arguments that Ray would get, in all shells.
func TestRayCommands(t *testing.T) {
	current := fakeProgram(t, "ray", `[ "$1" = get-auth-token ] && exit 0
for a in "$@"; do echo "$a"; done`)
	old := fakeProgram(t, "ray", `[ "$1" = get-auth-token ] && exit 2
for a in "$@"; do echo "$a"; done`)
	server := serverFacts
	local := serverFacts
	local.Host = "127.0.0.1"
	open := serverFacts
	open.Password = ""
	tiny := workerFacts
	tiny.Workers, tiny.Hardware = 1, managed.Hardware{CPU: 256, GPUs: 2}
	const head = "start\n--head\n--block\n--disable-usage-stats\n--port\n6380\n--dashboard-host\n"
	for _, tc := range []struct {
		what string
		role managed.Role
		f    managed.Facts
		path string
		want string
		code int
	}{
		{"head", managed.RoleServer, server, current, head + "0.0.0.0\n--dashboard-port\n6381\n--ray-client-server-port\n6382\n--num-cpus\n0\n--num-gpus\n0\n", 0},
		{"head on one address", managed.RoleServer, local, current, head + "127.0.0.1\n--dashboard-port\n6381\n--ray-client-server-port\n6382\n--num-cpus\n0\n--num-gpus\n0\n--node-ip-address\n127.0.0.1\n", 0},
		{"old head", managed.RoleServer, server, old, "this Ray does not know tokens and would let everybody in: use Ray 2.52 or newer\n", 1},
		{"old head that is open", managed.RoleServer, open, old, head + "0.0.0.0\n--dashboard-port\n6381\n--ray-client-server-port\n6382\n--num-cpus\n0\n--num-gpus\n0\n", 0},
		{"no Ray", managed.RoleServer, server, os.Getenv("PATH"), "there is no program \"ray\" here: use an image of Ray\n", 127},
		{"two workers", managed.RoleWorker, workerFacts, current, "start\n--block\n--address\n[fd00::7]:6380\n--num-cpus\n4\n--num-gpus\n0\n--resources\n" +
			"{\"dockerparallel:default:sim:big:dp.default.sim.big.1\": 2}\n--memory\n6012954215\n", 0},
		{"a small worker", managed.RoleWorker, tiny, current, "start\n--block\n--address\n[fd00::7]:6380\n--num-cpus\n1\n--num-gpus\n2\n--resources\n" +
			"{\"dockerparallel:default:sim:big:dp.default.sim.big.1\": 1}\n", 0},
	} {
		for name, shell := range shells(t) {
			command := ray{}.Defaults(tc.role).Command
			c := startContainer(t, append(slices.Clone(shell), command[1:]...), containerEnv(ray{}, tc.role, tc.f, map[string]string{"PATH": tc.path})...)
			if code := c.wait(t, time.Minute); code != tc.code || c.output.String() != tc.want {
				t.Errorf("%s in %s: exit code %d, got\n%s\nwant %d and\n%s", tc.what, name, code, c.output, tc.code, tc.want)
			}
		}
	}
}

func TestRayHardware(t *testing.T) {
	f := managed.Facts{Workers: 3, Hardware: managed.Hardware{CPU: 1500, Memory: 2000, GPUs: 1}}
	env := ray{configured{Values{"object_store_memory": int64(500)}}}.Environment(managed.RoleWorker, f)
	for name, want := range map[string]string{
		rayCPUs: "3", rayGPUs: "3", rayMemory: fmt.Sprint(3 * 1500 << 20), rayObjectStore: fmt.Sprint(3 * 500 << 20), rayAuthMode: "disabled",
	} {
		if got := env.Plain[name]; got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	if got := (ray{}).Environment(managed.RoleWorker, managed.Facts{Workers: 1}).Plain[rayMemory]; got != "" {
		t.Errorf("an unknown memory is %q", got)
	}
}

func TestRayExports(t *testing.T) {
	got := ray{}.Exports(map[string]managed.Endpoint{
		rayDashboard: {PrivateIP: "10.0.0.2", PrivatePort: 8265}, rayClient: {PrivateIP: "fd00::2", PrivatePort: 10001},
	})
	want := map[string]string{"dashboard": "http://10.0.0.2:8265", "ray_client": "ray://[fd00::2]:10001"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	facts := clientFacts
	facts.Exports = want
	if c := (ray{}).Client(facts); c.URL != want["ray_client"] || !strings.Contains(c.Python, want["ray_client"]) || !strings.Contains(c.Shell, want["dashboard"]) {
		t.Errorf("clients are not sent where the exports say: %+v", c)
	}
	if got := (ray{}).Exports(nil); len(got) != 0 {
		t.Errorf("without endpoints: %v", got)
	}
}
