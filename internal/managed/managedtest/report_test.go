// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

func TestReport(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := managedtest.NewReport(t.Context(), &out, 8, nil)
	s := suite(managedtest.MemoryOptions{})
	s.Skip = map[string]string{"gang_hard": "for this test"}
	s.Run(r)
	got := r.Wait()
	if got.Failed != 0 || got.Passed+got.Skipped != len(managedtest.Cases()) || got.Skipped < 1 {
		t.Errorf("the outcome is %+v:\n%s", got, out.String())
	}
	if !strings.Contains(out.String(), "s)\n      skipped: for this test\n") {
		t.Errorf("the report does not tell what was skipped:\n%s", out.String())
	}
}

func TestReportTellsFailures(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := managedtest.NewReport(t.Context(), &out, 2, func(name string) bool { return name != "not me" })
	var order []string
	r.Run("fails", func(t managedtest.T) {
		t.Cleanup(func() { order = append(order, "first") })
		t.Cleanup(func() { order = append(order, "second") })
		t.Errorf("one thing")
		defer func() { order = append(order, "deferred") }()
		t.Fatalf("and another")
	})
	r.Run("panics", func(managedtest.T) { panic("at the disco") })
	r.Run("not me", func(t managedtest.T) { t.Errorf("not me") })
	if got := r.Wait(); got != (managedtest.Outcome{Failed: 2}) {
		t.Errorf("the outcome is %+v", got)
	}
	if strings.Join(order, " ") != "deferred second first" {
		t.Errorf("the cleanups ran in the order %q", order)
	}
	for _, want := range []string{"FAIL  fails (", "s)\n      one thing\n      and another\n", "FAIL  panics", "at the disco"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the report:\n%s", want, out.String())
		}
	}
}

// TestSuiteFindsFaults holds the suite itself to account: a backend that breaks
// the contract does not pass.
func TestSuiteFindsFaults(t *testing.T) {
	t.Parallel()
	for want, fault := range map[string]managedtest.Fault{
		"run_status_kill":                 {Verb: managedtest.VerbKill, Kind: managedtest.Wrong, Lie: managedtest.NotDone},
		"M1_handles_per_worker":           {Verb: managedtest.VerbRun, Kind: managedtest.Wrong, Lie: managedtest.Duplicate},
		"list_selectors":                  {Verb: managedtest.VerbList, Kind: managedtest.Wrong, Lie: managedtest.TooFew},
		"secret_store":                    {Verb: managedtest.VerbDeleteSecret, Kind: managedtest.Wrong, Lie: managedtest.NotDone},
		"prepare_and_cleanup":             {Verb: managedtest.VerbCleanup, Kind: managedtest.Wrong, Lie: managedtest.NotDone},
		"T1-T10_life":                     {Verb: managedtest.VerbList, Kind: managedtest.Fail},
		"artifacts_are_listed_and_killed": {Verb: managedtest.VerbKillArtifacts, Kind: managedtest.Fail},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			world := managedtest.NewMemory(managedtest.MemoryOptions{})
			world.SetFaults(fault)
			s := suite(managedtest.MemoryOptions{})
			s.New = func(context.Context) (managed.Backend, error) { return world.Client(), nil }
			s.Timeout = 200 * time.Millisecond
			var out strings.Builder
			r := managedtest.NewReport(t.Context(), &out, 1, func(name string) bool { return name == want })
			s.Run(r)
			if got := r.Wait(); got.Failed == 0 {
				t.Errorf("%s passed with %+v:\n%s", want, fault, out.String())
			}
		})
	}
}
