// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"slices"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// TestFaultsWithoutLister is TestFaults on a backend that cannot list. There
// a lost answer or a crash loses what was started, and only what the backend
// says does not get lost.
func TestFaultsWithoutLister(t *testing.T) {
	t.Parallel()
	o := managedtest.MemoryOptions{Without: []managedtest.Capability{managedtest.CapLister}}
	said := slices.DeleteFunc(faults(), func(f managedtest.Fault) bool {
		return f.Done || !slices.Contains([]managedtest.Kind{managedtest.Fail, managedtest.Hang, managedtest.Late, managedtest.Partial}, f.Kind)
	})
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			op.allFaults(t, o, said)
		})
	}
}
