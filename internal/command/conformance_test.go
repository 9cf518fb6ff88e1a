// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package command_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

func TestConformance(t *testing.T) {
	w := newWorld(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := w.run("conformance", "--cases", "^(run_status_kill|kill_from_outside_shows|exit_code_and_reason|log_of_a_container|D4_server_alone|D5_workers)$",
		"--server-command", selfVariable+"=1 exec '"+self+"' serve-port", "--skip", "D5_workers=one server is enough").want(t, 0)
	for _, line := range []string{"ok    run_status_kill", "ok    kill_from_outside_shows", "ok    exit_code_and_reason", "ok    log_of_a_container", "ok    D4_server_alone",
		"skip  D5_workers", "one server is enough", "5 passed, 0 failed, 1 skipped"} {
		if !strings.Contains(r.out, line) {
			t.Errorf("it does not say %q:\n%s", line, r.out)
		}
	}
	if left := w.left(); left != "" {
		t.Errorf("left: %s", left)
	}
}

func TestConformanceFails(t *testing.T) {
	w := newWorld(t)
	r := w.run("conformance", "--cases", "^kill_from_outside_shows$", "--kill-command", "echo no such tool {} >&2; false").
		want(t, 1).says(t, "does not conform", "1 case failed")
	for _, words := range []string{`(?m)^FAIL  kill_from_outside_shows`, `from outside: .*no such tool \d+-`, `0 passed, 1 failed, 0 skipped`} {
		if !regexp.MustCompile(words).MatchString(r.out) {
			t.Errorf("it does not say %s:\n%s", words, r.out)
		}
	}
}

func TestConformanceKillCommand(t *testing.T) {
	w := newWorld(t)
	w.run("conformance", "--cases", "^kill_from_outside_shows$", "--kill-command", `h={}; kill -KILL "${h%%-*}"`).want(t, 0)
}

func TestConformanceUsage(t *testing.T) {
	w := newWorld(t)
	out := w.run("conformance", "--list").want(t, 0).out
	if out != strings.Join(managedtest.Cases(), "\n")+"\n" {
		t.Errorf("--list says %s", out)
	}
	w.run("conformance", "--cases", "no such case").want(t, 2).says(t, "no case was run")
	w.run("conformance", "--cases", "(").want(t, 2).says(t, "--cases")
	w.run("conformance", "--skip", "case").want(t, 2).says(t, "CASE=REASON")
	w.run("conformance", "--skip", "no_such_case=reason", "--cases", "^properties$").want(t, 1)
}
