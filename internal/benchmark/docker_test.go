// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv/apiproxy"
)

func TestContainers(t *testing.T) {
	for _, c := range []struct {
		key           string
		was, n, wants int
	}{
		{keyOurs, 0, 20, 20},
		{keyOurs, 20, 40, 20},
		{keyServer, 0, 20, 21},
		{keyServer, 20, 40, 20},
		{keyPacked, 0, 10, 3},
		{keyPacked, 10, 20, 3}, // the third container keeps its two
	} {
		if got := contestantOf(c.key).more(c.was, c.n); got != c.wants {
			t.Errorf("%s from %d to %d starts %d containers, want %d", c.key, c.was, c.n, got, c.wants)
		}
	}
}

func TestSideBySide(t *testing.T) {
	var done atomic.Int32
	bad := errors.New("bad")
	err := sideBySide(50, func(i int) error {
		done.Add(1)
		if i == 7 {
			return bad
		}
		return nil
	})
	if done.Load() != 50 || !errors.Is(err, bad) {
		t.Errorf("%d were done, and the error is %v", done.Load(), err)
	}
	if err := sideBySide(0, nil); err != nil {
		t.Error(err)
	}
}

// found is what a run could have found: in the second round everything takes
// twice as long.
func found() *figures {
	f := &figures{set: settings{sizes: []int{20, 100}, reps: 2, networks: []string{"bridge", "none"}, once: []string{keyCompose}}}
	for round := range 2 {
		for i, c := range contestants() {
			for _, network := range f.set.networks {
				for _, n := range f.set.sizes {
					if !c.takesPart(network) || round > 0 && c.key == keyCompose {
						continue
					}
					s := sample{key: c.key, network: network, n: n, round: round, ops: map[string]measure{}, calls: map[string]apiproxy.Tally{}, state: int64(1000 + 90*n)}
					for _, op := range dockerOperations() {
						s.ops[op] = measure{seconds: float64((i + 1) * n * (round + 1)), cpu: 1, rss: 1 << 20}
						s.calls[op] = apiproxy.Tally{Calls: map[string]int{"POST containers/create": c.containers(n), "POST containers/one/start": c.containers(n), "GET containers/json": 7}}
					}
					f.timed = append(f.timed, s)
					f.counted = append(f.counted, s)
				}
			}
		}
	}
	// What went wrong has no figures.
	f.timed = append(f.timed, sample{key: keyOurs, network: "bridge", n: 100, round: 2})
	return f
}

func TestFigures(t *testing.T) {
	f := found()
	if x, ok := f.ratio(keyRun, keyRaw, "bridge", 100, opUp); !ok || x != 2 {
		t.Errorf("the ratio is %v, %v: it is to be that of the same rounds", x, ok)
	}
	if x, ok := f.seconds(keyRaw, "none", 100, opUp); !ok || x != 150 {
		t.Errorf("the median is %v, %v", x, ok)
	}
	if _, ok := f.seconds(keyServer, "none", 100, opUp); ok {
		t.Error("there are figures of what was not measured")
	}
	if each, constant, ok := f.callRate(contestantOf(keyPacked), "bridge", opUp); !ok || each != 2 || constant != 7 {
		t.Errorf("%v calls for each container and %v, %v", each, constant, ok)
	}
	if x, ok := f.stateBytes(keyOurs, "bridge"); !ok || x != 90 {
		t.Errorf("%v bytes for each worker, %v", x, ok)
	}
}

func TestReport(t *testing.T) {
	f := found()
	text := f.render()
	for _, want := range []string{"## Targets, N=100", "2.00, and 7, met", "90, met", "5.00, **missed**", "first round is the only one for Docker Compose"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "%!") {
		t.Errorf("the report has something that is no figure:\n%s", text)
	}
	// A run that was cut down to nearly nothing is reported as well.
	(&figures{set: settings{sizes: []int{1}, reps: 1, networks: []string{"none"}}}).render()
}

func TestPlot(t *testing.T) {
	for d := xml.NewDecoder(strings.NewReader(found().plot())); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
