// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"strings"
)

// reading says in words what the figures are, at the largest N. It is written
// for whatever comes out: a figure that is against us is said like any other.
func (f *figures) reading() []string {
	var lines []string
	n := f.large()
	missed, all := 0, 0
	for _, t := range f.targets() {
		for _, v := range t.found {
			if v.text != "" {
				all++
			}
			if v.text != "" && !v.met {
				missed++
			}
		}
	}
	lines = append(lines, fmt.Sprintf("Of %d targets, %d are met and %d missed.", all, all-missed, missed))
	for _, network := range f.set.networks {
		if line := f.upReading(network, n); line != "" {
			lines = append(lines, line)
		}
		if line := f.planReading(network, n); line != "" {
			lines = append(lines, line)
		}
		down, ok := f.ratio(keyOurs, keyRaw, network, n, opDown)
		if ok {
			line := fmt.Sprintf("%s: removing %d containers takes this provider %.2f times the raw API's time", network, 2*n, down)
			if peer, ok := f.ratio(keyPeer, keyRaw, network, n, opDown); ok {
				line += fmt.Sprintf(", terraform-provider-docker %.2f times", peer)
			}
			lines = append(lines, line+".")
		}
	}
	return lines
}

func (f *figures) upReading(network string, n int) string {
	raw, ok := f.seconds(keyRaw, network, n, opUp)
	if !ok {
		return ""
	}
	parts := []string{}
	for _, c := range contestants() {
		if ratio, ok := f.ratio(c.key, keyRaw, network, n, opUp); ok && c.key != keyRaw && c.key != keyPacked {
			parts = append(parts, fmt.Sprintf("%s %.2f", c.name, ratio))
		}
	}
	line := fmt.Sprintf("%s: the engine itself needs %s s for %d containers (%.1f per second). As a multiple of that: %s.", network, digits(raw), n, float64(n)/raw, strings.Join(parts, ", "))
	if gain, ok := f.ratio(keyOurs, keyPacked, network, n, opUp); ok {
		line += fmt.Sprintf(" The only way past the engine is fewer containers: with %d workers in each, %d workers are up %.1f times as fast.", packedWorkers, n, gain)
	}
	return line
}

func (f *figures) planReading(network string, n int) string {
	peer, ok := f.seconds(keyPeer, network, n, opPlan)
	var parts []string
	for _, s := range f.settings() {
		ours, okOurs := f.seconds(s.c.key, network, n, opPlan)
		small, okSmall := f.seconds(s.c.key, network, f.small(), opPlan)
		if s.network == network && okOurs && okSmall {
			parts = append(parts, fmt.Sprintf("%s in %s s (%s s for %d)", s.c.name, digits(ours), digits(small), f.small()))
		}
	}
	if !ok || len(parts) == 0 {
		return ""
	}
	line := fmt.Sprintf("%s: that nothing has changed, terraform-provider-docker finds out in %s s for %d workers; %s", network, digits(peer), n, strings.Join(parts, ", "))
	if compose, ok := f.seconds(keyCompose, network, n, opPlan); ok {
		line += fmt.Sprintf("; Docker Compose, without Terraform, in %s s", digits(compose))
	}
	return line + "."
}
