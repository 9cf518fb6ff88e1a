// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// TestCeleryChecks: what an option takes, and what not.
func TestCeleryChecks(t *testing.T) {
	for option, cases := range map[string]struct{ good, bad []string }{
		"app": {
			[]string{"tasks", "proj.celery", "proj.main:app", "_a1.B", "tasks:shop.app"},
			[]string{"", "tasks.py/", "my-tasks", ".tasks", "tasks.", "tasks:", "a:b:c", "1tasks", "tasks --broker x", "tasks'", "täsks", "tasks\n"},
		},
		"queues":    {[]string{"celery", "high-prio", "a.b:c/d_1"}, []string{"", "a,b", "-x", "a b", "$(X)", "a'b", "a\n"}},
		"pool":      {celeryPools(), []string{"", "processes", "Prefork"}},
		"log_level": {celeryLevels(), []string{"", "info", "TRACE"}},
	} {
		for _, o := range celeryOptions() {
			if o.Name != option {
				continue
			}
			for _, v := range cases.good {
				if wrong := o.Check(v); wrong != "" {
					t.Errorf("%s %q: %s", option, v, wrong)
				}
			}
			for _, v := range cases.bad {
				if o.Check(v) == "" {
					t.Errorf("%s takes %q", option, v)
				}
			}
		}
	}
}

func TestCeleryServerIsRedis(t *testing.T) {
	fw := celery{}
	if got, want := fw.Defaults(managed.RoleServer), (redisQueue{}).Defaults(managed.RoleServer); !reflect.DeepEqual(got, want) {
		t.Errorf("the server's defaults are %+v, redis' are %+v", got, want)
	}
	if got, want := fw.Environment(managed.RoleServer, serverFacts), (redisQueue{}).Environment(managed.RoleServer, serverFacts); !reflect.DeepEqual(got, want) {
		t.Errorf("the server's environment is %v, redis' is %v", got, want)
	}
}

// TestCeleryContainer: names of nodes are read back exactly.
func TestCeleryContainer(t *testing.T) {
	const pool = "default.sim.big"
	for node, want := range map[string]string{
		pool + "@box":                   "box",
		pool + "@default-sim-big.1@x":   "default-sim-big.1@x", // whatever a backend calls its containers
		pool + ".12@box":                "box",
		pool + ".@box":                  "",
		pool + ".x@box":                 "",
		pool + ".1.2@box":               "",
		pool + ".-1@box":                "",
		pool + "1@box":                  "",
		pool + "ger@box":                "",
		pool + "@":                      "",
		pool:                            "",
		"celery@" + pool:                "",
		"x" + pool + "@box":             "",
		"default.sim.bi@g@box":          "",
		"default.simbig@box":            "",
		strings.ToUpper(pool) + "@box":  "",
		"default.sim-big@box":           "",
		"default.sim@big@box":           "",
		"default.sim.big-2.1@box":       "",
		"default.sim.big.99999999999@b": "",
	} {
		if got := celeryContainer(pool, node); got != want {
			t.Errorf("%q is in container %q, want %q", node, got, want)
		}
	}
}

func TestCeleryWorkerOfAnAnswer(t *testing.T) {
	for _, c := range []struct {
		what, stats, active string
		want                managed.RegisteredWorker
	}{
		{"an idle node", `{"pool": {"max-concurrency": 3}}`, `[]`, managed.RegisteredWorker{Container: "box", Workers: 3}},
		{"a busy one", `{"pool": {"max-concurrency": 2, "processes": [1, 2]}}`, `[{"id": "x"}]`, managed.RegisteredWorker{Container: "box", Workers: 2, Busy: true}},
		{"one that is just starting", `{"pool": "N/A"}`, `[]`, managed.RegisteredWorker{Container: "box", Workers: 1}},
		{"one that failed to tell", `{"error": "RuntimeError()"}`, `{"error": "RuntimeError()"}`, managed.RegisteredWorker{Container: "box", Workers: 1, Busy: true}},
		{"one that told nothing", "", "", managed.RegisteredWorker{Container: "box", Workers: 1, Busy: true}},
	} {
		answer := map[string]json.RawMessage{}
		if c.stats != "" {
			answer["stats"], answer["active"] = json.RawMessage(c.stats), json.RawMessage(c.active)
		}
		if got := celeryWorker("box", answer); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}

func TestCeleryAnswers(t *testing.T) {
	reply := func(contentType, encoding, ticket, body string) string {
		b, err := json.Marshal(map[string]any{
			"body": body, "content-type": contentType, "headers": map[string]any{"ticket": ticket, "clock": 7},
			"properties": map[string]any{"body_encoding": encoding, "delivery_tag": "t"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(`{"a@b": [1]}`))
	a := celeryAnswers{}
	for _, r := range []string{reply(celeryJSON, "base64", "active", encoded), reply(celeryJSON, "", "stats", `{"a@b": {}, "c@d": {}}`)} {
		if err := a.add(r); err != nil {
			t.Error(err)
		}
	}
	if string(a["a@b"]["active"]) != "[1]" || string(a["a@b"]["stats"]) != "{}" || len(a["c@d"]) != 1 {
		t.Errorf("got %v", a)
	}
	calls := make([]celeryCall, 2)
	if !a.complete([]string{"a@b"}, calls) || a.complete([]string{"a@b", "c@d"}, calls) || !a.complete([]string{"a@b", "c@d"}, calls[:1]) {
		t.Errorf("who has answered is not what was answered: %v", a)
	}
	for what, r := range map[string]string{
		"task_serializer":   reply("application/x-python-serialize", "base64", "stats", "gASV"),
		"is no message":     "PONG",
		"is no base64":      reply(celeryJSON, "base64", "stats", "%"),
		"what is no answer": reply(celeryJSON, "", "stats", "[]"),
	} {
		if err := a.add(r); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
