// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import "time"

// A pool's slots are its workers in a stable order: each holds the handle of
// its worker's container, repeated when workers share one, or "" while it has
// no worker. Callers keep them; the core never moves a handle to another slot.

// PlanSlots predicts, without a call, the slots of a pool that has the given
// ones and shall have n workers. In the result "" is a slot that only the
// operation can fill.
//
// Too many: empty slots go first, then victims as scaleIn says, with what
// started when as far as it is known. Where only part of a container can go,
// its other workers are started again elsewhere, so their slots are empty in
// the result. Too few: empty slots are appended.
//
// With [ScaleInIdle] only the operation knows the victims: if there are any,
// all slots are empty in the result.
func PlanSlots(slots []Handle, n int, scaleIn ScaleIn, started map[Handle]time.Time) []Handle {
	n = max(0, n)
	planned := make([]Handle, 0, max(n, len(slots)))
	drop := len(slots) - n
	for _, h := range slots {
		if h == "" && drop > 0 {
			drop--
			continue
		}
		planned = append(planned, h)
	}
	if drop > 0 && scaleIn == ScaleInIdle {
		return make([]Handle, n)
	}
	if drop > 0 {
		planned = dropVictims(planned, drop, scaleIn, started)
	}
	for len(planned) < n {
		planned = append(planned, "")
	}
	return planned
}

func dropVictims(slots []Handle, drop int, scaleIn ScaleIn, started map[Handle]time.Time) []Handle {
	size := map[Handle]int{}
	for _, h := range slots {
		size[h]++
	}
	cs := make([]candidate, 0, len(size))
	for h, k := range size {
		cs = append(cs, candidate{handle: h, workers: k, running: true, started: started[h]})
	}
	sortCandidates(cs, scaleIn)
	gone := map[Handle]bool{}
	total := 0
	for _, i := range chooseVictims(cs, drop) {
		gone[cs[i].handle] = true
		total += cs[i].workers
	}
	again := total - drop // workers of a cut container that start elsewhere
	left := make([]Handle, 0, len(slots)-drop)
	for _, h := range slots {
		switch {
		case !gone[h]:
			left = append(left, h)
		case again > 0:
			left = append(left, "")
			again--
		}
	}
	return left
}

// fillSlots puts containers into empty slots, one for each of their workers,
// and appends those that found none.
func fillSlots(slots []Handle, add []Member) []Handle {
	next := 0
	for _, c := range add {
		for range c.Workers {
			for next < len(slots) && slots[next] != "" {
				next++
			}
			if next == len(slots) {
				slots = append(slots, c.Handle)
			} else {
				slots[next] = c.Handle
			}
			next++
		}
	}
	return slots
}
