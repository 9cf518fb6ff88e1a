// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// ScaleIn says which workers leave first.
type ScaleIn string

// The orders in which workers leave.
const (
	ScaleInNewest ScaleIn = "newest"
	ScaleInOldest ScaleIn = "oldest"
	// ScaleInIdle has those leave first that have no task, the newest of them
	// first; see [IdleTeller].
	ScaleInIdle ScaleIn = "idle"
)

// candidate is a container that may have to leave.
type candidate struct {
	handle   Handle
	workers  int
	outdated bool
	running  bool
	busy     bool
	started  time.Time
}

// sortCandidates brings candidates into the order in which they leave:
// outdated, initializing, idle, then as scaleIn says, ties by handle. It is a total
// order, so that two operations at once choose the same ones.
func sortCandidates(cs []candidate, scaleIn ScaleIn) {
	slices.SortFunc(cs, func(a, b candidate) int {
		if a.outdated != b.outdated {
			return trueFirst(a.outdated)
		}
		if a.running != b.running {
			return trueFirst(!a.running)
		}
		if a.busy != b.busy {
			return trueFirst(!a.busy)
		}
		byAge := b.started.Compare(a.started)
		if scaleIn == ScaleInOldest {
			byAge = -byAge
		}
		return cmp.Or(byAge, strings.Compare(string(b.handle), string(a.handle)))
	})
}

func trueFirst(a bool) int {
	if a {
		return -1
	}
	return 1
}

// chooseVictims chooses, from candidates in the order in which they leave,
// containers with together at least surplus workers, and as few workers beyond
// that as there can be: those have to be started again in a smaller container.
// Among the choices that disturb equally few it takes the one with the largest
// containers, and within a size those that leave first. It returns indices in
// ascending order.
//
// It counts containers per size, so its cost grows with the number of
// different sizes and not with the number of ways to combine workers.
//
// Busy ones are chosen only for what the others do not make up for: to start a
// worker again elsewhere costs less than a task.
func chooseVictims(cs []candidate, surplus int) []int {
	if surplus <= 0 {
		return nil
	}
	var idle, busy []int
	spare := 0
	for i, c := range cs {
		if c.busy {
			busy = append(busy, i)
		} else {
			idle = append(idle, i)
			spare += c.workers
		}
	}
	if len(busy) > 0 && len(idle) > 0 {
		pick := func(from []int, surplus int) (victims []int) {
			some := make([]candidate, len(from))
			for i, at := range from {
				some[i] = cs[at]
			}
			for _, i := range chooseVictims(some, surplus) {
				victims = append(victims, from[i])
			}
			return victims
		}
		victims := append(pick(idle, min(surplus, spare)), pick(busy, surplus-spare)...)
		slices.Sort(victims)
		return victims
	}
	bySize := map[int][]int{}
	total := 0
	for i, c := range cs {
		bySize[c.workers] = append(bySize[c.workers], i)
		total += c.workers
	}
	if surplus >= total {
		all := make([]int, len(cs))
		for i := range all {
			all[i] = i
		}
		return all
	}
	sizes := make([]int, 0, len(bySize))
	for size := range bySize {
		sizes = append(sizes, size)
	}
	slices.SortFunc(sizes, func(a, b int) int { return b - a })
	take := takePerSize(sizes, func(size int) int { return len(bySize[size]) }, surplus)
	var victims []int
	for i, size := range sizes {
		victims = append(victims, bySize[size][:take[i]]...)
	}
	slices.Sort(victims)
	return victims
}

// takePerSize answers, for sizes in descending order, how many containers of
// each to take so that the sum is the least that is not below want. The sum of
// all must be at least want.
func takePerSize(sizes []int, count func(int) int, want int) []int {
	take := make([]int, len(sizes))
	if len(sizes) == 1 {
		take[0] = (want + sizes[0] - 1) / sizes[0]
		return take
	}
	limit := want + sizes[0] // the least sum is below this
	const unreached = -1
	// used[i][t] is how many of size i the sum t takes, if sizes 0..i reach it.
	used := make([][]int32, len(sizes))
	reached := make([]bool, limit)
	reached[0] = true
	for i, size := range sizes {
		used[i] = make([]int32, limit)
		n := int32(count(size))
		for t := range limit {
			switch {
			case reached[t]:
				used[i][t] = 0
			case t >= size && used[i][t-size] != unreached && used[i][t-size] < n:
				used[i][t] = used[i][t-size] + 1
			default:
				used[i][t] = unreached
			}
		}
		for t := range limit {
			reached[t] = used[i][t] != unreached
		}
	}
	sum := want
	for !reached[sum] {
		sum++
	}
	for i := len(sizes) - 1; i >= 0; i-- {
		take[i] = int(used[i][sum])
		sum -= take[i] * sizes[i]
	}
	return take
}

// packs splits workers into containers of at most size workers: as few
// containers as that allows, all full but the last.
func packs(workers, size int) []int {
	size = max(1, size)
	var out []int
	for workers > 0 {
		k := min(size, workers)
		out = append(out, k)
		workers -= k
	}
	return out
}
