// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"slices"
	"testing"
	"time"
)

func TestPlanSlots(t *testing.T) {
	at := time.Unix(1700000000, 0)
	started := map[Handle]time.Time{"a": at, "b": at.Add(time.Second), "c": at.Add(2 * time.Second), "d": at.Add(3 * time.Second)}
	tests := []struct {
		name    string
		slots   []Handle
		n       int
		scaleIn ScaleIn
		want    []Handle
	}{
		{"create", nil, 2, ScaleInNewest, []Handle{"", ""}},
		{"nothing to do", []Handle{"a", "b"}, 2, ScaleInNewest, []Handle{"a", "b"}},
		{"a dead worker keeps its slot", []Handle{"a", "", "c"}, 3, ScaleInNewest, []Handle{"a", "", "c"}},
		{"scale out", []Handle{"a"}, 3, ScaleInNewest, []Handle{"a", "", ""}},
		{"the newest leaves", []Handle{"d", "a", "b"}, 2, ScaleInNewest, []Handle{"a", "b"}},
		{"the oldest leaves", []Handle{"d", "a", "b"}, 2, ScaleInOldest, []Handle{"d", "b"}},
		{"empty slots leave first", []Handle{"", "a", "", "b"}, 3, ScaleInNewest, []Handle{"a", "", "b"}},
		{"empty slots and one worker leave", []Handle{"", "a", "b"}, 1, ScaleInNewest, []Handle{"a"}},
		{"to nothing", []Handle{"a", "b"}, 0, ScaleInNewest, []Handle{}},
		{"a whole container leaves", []Handle{"a", "a", "b", "b", "c", "c"}, 4, ScaleInNewest, []Handle{"a", "a", "b", "b"}},
		{"part of a container starts elsewhere", []Handle{"a", "a", "a", "a", "b", "b"}, 5, ScaleInNewest, []Handle{"a", "a", "a", "a", ""}},
		{"ten in 4, 4 and 2 become nine", []Handle{"a", "a", "a", "a", "b", "b", "b", "b", "c", "c"}, 9, ScaleInNewest, []Handle{"a", "a", "a", "a", "b", "b", "b", "b", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := PlanSlots(tt.slots, tt.n, tt.scaleIn, started)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFillSlots(t *testing.T) {
	two := Member{Handle: "two", Labels: Labels{Workers: 2}}
	one := Member{Handle: "one", Labels: Labels{Workers: 1}}
	if got, want := fillSlots([]Handle{"", "a", ""}, []Member{two, one}), []Handle{"two", "a", "two", "one"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
