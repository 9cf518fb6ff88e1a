// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package frameworks

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// TestRQRegistry: what is in redis need not be what RQ has written last.
func TestRQRegistry(t *testing.T) {
	t.Parallel()
	testenv.Need(t, testenv.Redis)
	s := startRedis(t, []string{"sh"}, nastyPassword)
	f := s.facts
	f.Pool = "big"
	db := s.client(t, "")
	list := func() []managed.RegisteredWorker {
		t.Helper()
		all, err := rq{}.RegisteredWorkers(t.Context(), s.dial, f)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(all, func(a, b managed.RegisteredWorker) int { return strings.Compare(a.Container, b.Container) })
		return all
	}
	if got := list(); len(got) != 0 {
		t.Errorf("an empty server lists %v", got)
	}
	prefix := rqWorkerKey + redisPoolName(f) + ":"
	const now = "2024-01-01T00:00:00Z"
	for name, hash := range map[string][]any{
		"a-idle:1":      {"birth", now, "last_heartbeat", now, "state", "idle"},
		"b-busy:2":      {"birth", now, "last_heartbeat", now, "state", "busy"},
		"c-starting:1":  {"birth", now, "last_heartbeat", now},
		"d-suspended:1": {"birth", now, "last_heartbeat", now, "state", "suspended"},
		"e-left:1":      {"birth", now, "last_heartbeat", now, "state", "busy", "death", now},
		"f-gone:1":      nil,
		"g-back:1":      {"last_heartbeat", now, "state", "busy"}, // it slept longer than its hash lives
	} {
		if err := db.SAdd(t.Context(), rqWorkers, prefix+name).Err(); err != nil {
			t.Fatal(err)
		}
		if hash == nil {
			continue
		}
		if err := db.HSet(t.Context(), prefix+name, hash...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// Somebody else's, and one whom the set has forgotten.
	for _, key := range []string{rqWorkerKey + redisPoolName(f) + "ger:x:1", prefix + "h-forgotten:1"} {
		if err := db.HSet(t.Context(), key, "last_heartbeat", now).Err(); err != nil {
			t.Fatal(err)
		}
	}
	want := []managed.RegisteredWorker{
		{Container: "a-idle"}, {Container: "b-busy", Busy: true}, {Container: "c-starting"}, {Container: "d-suspended"}, {Container: "g-back", Busy: true}, {Container: "h-forgotten"},
	}
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("listed are %+v, want %+v", got, want)
	}
	// Among very many keys, the set is what counts.
	for n := 0; n < rqSearched; {
		var pairs []any
		for range 1000 {
			n++
			pairs = append(pairs, "filler:"+strconv.Itoa(n), "")
		}
		if err := db.MSet(t.Context(), pairs...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(); !slices.Equal(got, want[:len(want)-1]) {
		t.Errorf("among many keys, listed are %+v, want %+v", got, want[:len(want)-1])
	}
	if err := db.Set(t.Context(), prefix+"a-idle:1", "no hash", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := (rq{}).RegisteredWorkers(t.Context(), s.dial, f); managed.ClassOf(err) != managed.ClassTransient {
		t.Errorf("a key of another type: %v", err)
	}
	f.Password = "wrong"
	if _, err := (rq{}).RegisteredWorkers(t.Context(), s.dial, f); managed.ClassOf(err) != managed.ClassPermission {
		t.Errorf("the wrong password: %v", err)
	}
}
