// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package backends_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func TestNew(t *testing.T) {
	root := filepath.Join(t.TempDir(), "not", "made")
	b, err := backends.New(backends.Config{Process: &process.Config{Root: root}})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Properties().Name; got != "process" {
		t.Errorf("the backend is called %q", got)
	}
	if !slices.Contains(backends.Names(), b.Properties().Name) {
		t.Errorf("Names %v lacks %q", backends.Names(), b.Properties().Name)
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("New touched the root: %v", err)
	}
}

func TestNewWithoutChoice(t *testing.T) {
	b, err := backends.New(backends.Config{})
	if b != nil || managed.ClassOf(err) != managed.ClassInvalid {
		t.Fatalf("got %v, %v; want an error of ClassInvalid", b, err)
	}
	for _, name := range backends.Names() {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

// A backend that cannot be made is a nil interface.
func TestNewFails(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "")
	b, err := backends.New(backends.Config{Process: &process.Config{}})
	if err == nil || b != nil {
		t.Errorf("without any folder: %v, %v", b, err)
	}
}
