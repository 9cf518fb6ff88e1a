// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

func sized(sizes ...int) []candidate {
	cs := make([]candidate, len(sizes))
	for i, s := range sizes {
		cs[i] = candidate{handle: Handle(strconv.Itoa(i)), workers: s, running: true}
	}
	return cs
}

func TestChooseVictims(t *testing.T) {
	tests := []struct {
		name    string
		sizes   []int
		surplus int
		want    []int
	}{
		{"nothing to do", []int{1, 1}, 0, nil},
		{"one each, first to leave", []int{1, 1, 1, 1, 1}, 2, []int{0, 1}},
		{"all", []int{4, 4, 1}, 9, []int{0, 1, 2}},
		{"more than all", []int{4, 4, 1}, 20, []int{0, 1, 2}},
		{"exact with the large one", []int{4, 1, 1, 1, 1}, 4, []int{0}},
		{"exact needs both sizes", []int{4, 4, 1}, 5, []int{0, 2}},
		{"exact beats the first", []int{3, 3, 2}, 5, []int{0, 2}},
		{"no exact choice: the least beyond", []int{4, 4, 4}, 6, []int{0, 1}},
		{"one of ten in containers of 4, 4 and 2", []int{4, 4, 2}, 1, []int{2}},
		{"the small ones cannot do it", []int{4, 4, 4, 1}, 3, []int{0}},
		{"the small one alone", []int{4, 1, 4}, 1, []int{1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := chooseVictims(sized(tt.sizes...), tt.surplus); !slices.Equal(got, tt.want) {
				t.Errorf("chooseVictims(%v, %d) = %v, want %v", tt.sizes, tt.surplus, got, tt.want)
			}
		})
	}
}

// The choice disturbs as few workers as any choice could.
func TestChooseVictimsIsMinimal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		sizes := make([]int, 1+r.IntN(9))
		total := 0
		for i := range sizes {
			sizes[i] = 1 + r.IntN(6)
			total += sizes[i]
		}
		surplus := 1 + r.IntN(total)
		best := total
		for set := range 1 << len(sizes) {
			sum := 0
			for i, s := range sizes {
				if set>>i&1 == 1 {
					sum += s
				}
			}
			if sum >= surplus && sum < best {
				best = sum
			}
		}
		got := 0
		chosen := chooseVictims(sized(sizes...), surplus)
		for _, i := range chosen {
			got += sizes[i]
		}
		if got != best {
			t.Fatalf("sizes %v, surplus %d: %v disturbs %d workers, %d would do", sizes, surplus, chosen, got, best)
		}
		if again := chooseVictims(sized(sizes...), surplus); !slices.Equal(chosen, again) {
			t.Fatalf("two operations choose differently: %v and %v", chosen, again)
		}
	}
}

func TestSortCandidatesIsATotalOrder(t *testing.T) {
	now := time.Now()
	cs := []candidate{
		{handle: "old", running: true, started: now.Add(-time.Hour)},
		{handle: "new", running: true, started: now},
		{handle: "twin", running: true, started: now},
		{handle: "starting"},
		{handle: "outdated", running: true, outdated: true, started: now.Add(-2 * time.Hour)},
	}
	order := func(in ScaleIn) (hs []Handle) {
		r := rand.New(rand.NewPCG(3, 4))
		r.Shuffle(len(cs), func(i, j int) { cs[i], cs[j] = cs[j], cs[i] })
		sortCandidates(cs, in)
		for _, c := range cs {
			hs = append(hs, c.handle)
		}
		return hs
	}
	for range 20 {
		if got, want := order(ScaleInNewest), []Handle{"outdated", "starting", "twin", "new", "old"}; !slices.Equal(got, want) {
			t.Fatalf("newest: %v, want %v", got, want)
		}
		if got, want := order(ScaleInOldest), []Handle{"outdated", "starting", "old", "twin", "new"}; !slices.Equal(got, want) {
			t.Fatalf("oldest: %v, want %v", got, want)
		}
	}
}

func TestPacks(t *testing.T) {
	for _, tt := range []struct {
		workers, size int
		want          []int
	}{{0, 4, nil}, {3, 4, []int{3}}, {10, 4, []int{4, 4, 2}}, {3, 0, []int{1, 1, 1}}} {
		if got := packs(tt.workers, tt.size); !slices.Equal(got, tt.want) {
			t.Errorf("packs(%d, %d) = %v, want %v", tt.workers, tt.size, got, tt.want)
		}
	}
}

// TestBusyOnesAreSpared: an idle container of the wrong size is rather taken
// than a busy one of the right size.
func TestBusyOnesAreSpared(t *testing.T) {
	cs := []candidate{{handle: "b", workers: 1}, {handle: "c", workers: 1}, {handle: "a", workers: 2, busy: true}}
	for surplus, want := range map[int][]int{1: {0}, 2: {0, 1}, 3: {0, 1, 2}, 4: {0, 1, 2}} {
		if got := chooseVictims(cs, surplus); len(got) != len(want) || !slices.Equal(got, want) {
			t.Errorf("of %d too many, %v leave, want %v", surplus, got, want)
		}
	}
}
