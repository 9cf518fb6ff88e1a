// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"slices"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv/apiproxy"
)

// figures are what was found, ready for the report and the plot.
type figures struct {
	set     settings
	facts   facts
	timed   []sample
	counted []sample
}

func (f *figures) small() int { return slices.Min(f.set.sizes) }
func (f *figures) large() int { return slices.Max(f.set.sizes) }

// samples of a case that went well.
func (f *figures) samples(key, network string, n int) []sample {
	return slices.DeleteFunc(slices.Clone(f.timed), func(s sample) bool {
		return s.key != key || s.network != network || s.n != n || s.ops == nil
	})
}

// of is the median of a figure; ok is false if there is none.
func (f *figures) of(key, network string, n int, get func(sample) float64) (value float64, ok bool) {
	var xs []float64
	for _, s := range f.samples(key, network, n) {
		xs = append(xs, get(s))
	}
	return median(xs), len(xs) > 0
}

func (f *figures) seconds(key, network string, n int, op string) (float64, bool) {
	return f.of(key, network, n, func(s sample) float64 { return s.ops[op].seconds })
}

// ratio is the median of the rounds' own ratios: what disturbs a round
// disturbs both.
func (f *figures) ratio(key, to, network string, n int, op string) (float64, bool) {
	var xs []float64
	for _, s := range f.samples(key, network, n) {
		for _, base := range f.samples(to, network, n) {
			if base.round == s.round && base.ops[op].seconds > 0 {
				xs = append(xs, s.ops[op].seconds/base.ops[op].seconds)
			}
		}
	}
	return median(xs), len(xs) > 0
}

// stateBytes are those that each worker adds to the state.
func (f *figures) stateBytes(key, network string) (float64, bool) {
	size := func(s sample) float64 { return float64(s.state) }
	large, ok := f.of(key, network, f.large(), size)
	if !ok || large == 0 {
		return 0, false
	}
	if f.large() == f.small() {
		return large / float64(f.large()), true
	}
	small, ok := f.of(key, network, f.small(), size)
	return (large - small) / float64(f.large()-f.small()), ok
}

func (f *figures) calls(key, network string, n int, op string) (apiproxy.Tally, bool) {
	for _, s := range f.counted {
		if s.key == key && s.network == network && s.n == n && s.ops != nil {
			return s.calls[op], true
		}
	}
	return apiproxy.Tally{}, false
}

// callRate is how many calls an operation takes for each container, and how
// many whatever their number is. With one size only, it cannot tell them apart.
func (f *figures) callRate(c *contestant, network, op string) (each, constant float64, ok bool) {
	small, ok := f.calls(c.key, network, f.small(), op)
	if !ok {
		return 0, 0, false
	}
	few := float64(c.containers(f.small()))
	large, ok := f.calls(c.key, network, f.large(), op)
	if !ok || f.large() == f.small() {
		return float64(small.Total()) / few, 0, true
	}
	many := float64(c.containers(f.large()))
	each = float64(large.Total()-small.Total()) / (many - few)
	return each, float64(small.Total()) - each*few, true
}

// lists are the lists of containers that an operation has asked for.
func lists(t apiproxy.Tally) int { return t.Calls["GET containers/json"] }
