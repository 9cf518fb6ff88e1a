// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import "fmt"

// What the provider is to reach.
const (
	maxUpRatio    = 1.15
	maxDownRatio  = 1.2
	minPackedGain = 3
	minPlanGain   = 8
	maxStateBytes = 300
	callsEach     = 2
	// callsSlack is for looks at all containers at once, of which there are
	// more when things take longer.
	callsSlack   = 0.05
	maxPlanLists = 1
)

// target is one line of what is to be reached, with what was found in each of
// the settings.
type target struct {
	text  string
	found []verdict
}

type verdict struct {
	text string // empty if it was not measured
	met  bool
}

func (v verdict) String() string {
	switch {
	case v.text == "":
		return "-"
	case v.met:
		return v.text + ", met"
	}
	return v.text + ", **missed**"
}

// setting is a way to use this provider.
type setting struct {
	c       *contestant
	network string
}

func (s setting) String() string {
	if s.c.server {
		return s.network + ", with its server"
	}
	return s.network
}

// settings in which this provider was measured.
func (f *figures) settings() []setting {
	var all []setting
	for _, network := range f.set.networks {
		for _, key := range []string{keyOurs, keyServer} {
			if len(f.samples(key, network, f.large())) > 0 {
				all = append(all, setting{contestantOf(key), network})
			}
		}
	}
	return all
}

// targets at the largest number of workers.
func (f *figures) targets() []target {
	n := f.large()
	rules := []struct {
		text string
		ask  func(s setting) (found string, met, ok bool)
	}{
		{fmt.Sprintf("Up: at most %.2f times the raw API's time", maxUpRatio), func(s setting) (string, bool, bool) {
			x, ok := f.ratio(s.c.key, keyRaw, s.network, n, opUp)
			return digits(x), x <= maxUpRatio, ok
		}},
		{fmt.Sprintf("Down: at most %.1f times the raw API's time", maxDownRatio), func(s setting) (string, bool, bool) {
			x, ok := f.ratio(s.c.key, keyRaw, s.network, n, opDown)
			return digits(x), x <= maxDownRatio, ok
		}},
		{fmt.Sprintf("Up with max_workers = %d: at least %d times as fast as without", packedWorkers, minPackedGain), func(s setting) (string, bool, bool) {
			x, ok := f.ratio(s.c.key, keyPacked, s.network, n, opUp)
			return digits(x), x >= minPackedGain, ok && !s.c.server
		}},
		{fmt.Sprintf("No-change plan: at least %d times as fast as terraform-provider-docker's", minPlanGain), func(s setting) (string, bool, bool) {
			x, ok := f.ratio(keyPeer, s.c.key, s.network, n, opPlan)
			return digits(x), x >= minPlanGain, ok
		}},
		{fmt.Sprintf("No-change plan: %d list of containers", maxPlanLists), func(s setting) (string, bool, bool) {
			t, ok := f.calls(s.c.key, s.network, n, opPlan)
			return fmt.Sprintf("%d, of %d calls", lists(t), t.Total()), lists(t) <= maxPlanLists, ok
		}},
		{fmt.Sprintf("Up: %d calls for each container, and a constant", callsEach), func(s setting) (string, bool, bool) {
			each, constant, ok := f.callRate(s.c, s.network, opUp)
			return fmt.Sprintf("%.2f, and %.0f", each, constant), each <= callsEach+callsSlack, ok
		}},
		{fmt.Sprintf("State: less than %d bytes for each worker", maxStateBytes), func(s setting) (string, bool, bool) {
			x, ok := f.stateBytes(s.c.key, s.network)
			return fmt.Sprintf("%.0f", x), x < maxStateBytes, ok
		}},
	}
	var all []target
	for _, rule := range rules {
		t := target{text: rule.text}
		for _, s := range f.settings() {
			found, met, ok := rule.ask(s)
			if !ok {
				found = ""
			}
			t.found = append(t.found, verdict{found, met})
		}
		all = append(all, t)
	}
	return all
}

func contestantOf(key string) *contestant {
	for _, c := range contestants() {
		if c.key == key {
			return c
		}
	}
	return nil
}
