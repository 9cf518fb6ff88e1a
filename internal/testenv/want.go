// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package testenv

import (
	"strings"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// WantError fails the test unless the error has that class and attribute and
// says all of the words.
func WantError(t testing.TB, err error, class managed.Class, attribute string, words ...string) {
	t.Helper()
	if managed.ClassOf(err) != class || managed.AttributeOf(err) != attribute {
		t.Errorf("class %q, attribute %q, want %q, %q: %v", managed.ClassOf(err), managed.AttributeOf(err), class, attribute, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("it does not say %q: %v", w, err)
		}
	}
}

// Eventually polls for a bounded time, and fails the test if ok never holds.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
