// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

const (
	providerModule  = "github.com/dockerparallel/terraform-provider-dockerparallel"
	providerProgram = "terraform-provider-dockerparallel"
	// An environment variable with the path of a program to test as it is.
	providerVariable = "DP_PROVIDER_BINARY"
)

// Main runs a package's tests and then removes what ProviderBinary has built.
// A package that uses ProviderBinary has
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	if err := built.remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// ProviderBinary gives the path of the provider's program: DP_PROVIDER_BINARY,
// else it is built, once per test process, into a temporary folder that Main
// removes. Code that does not build fails the test everywhere.
func ProviderBinary(t testing.TB) string {
	t.Helper()
	path, err := findProvider()
	var build *buildError
	switch {
	case errors.As(err, &build):
		t.Fatal(err)
	case err != nil:
		giveUp(t, err.Error())
	}
	return path
}

func findProvider() (string, error) {
	if path := os.Getenv(providerVariable); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("%s is no program: %w", providerVariable, err)
		}
		return filepath.Abs(found)
	}
	return built.get()
}

// built is the one program of this test process.
var built program //nolint:gochecknoglobals // a test process builds once, whichever test asks first

// program is built when it is first asked for.
type program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// buildError tells code that does not build from a machine without Go.
type buildError struct {
	err    error
	output []byte
}

func (e *buildError) Error() string {
	return fmt.Sprintf("building the provider: %v\n%s", e.err, e.output)
}

func (e *buildError) Unwrap() error { return e.err }

func (p *program) get() (string, error) {
	p.once.Do(func() { p.path, p.err = p.build() })
	return p.path, p.err
}

func (p *program) build() (string, error) {
	compiler, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("there is no go to build the provider with, and %s is not set", providerVariable)
	}
	if p.dir, err = os.MkdirTemp("", "dockerparallel-testenv-"); err != nil {
		return "", err
	}
	path := filepath.Join(p.dir, providerProgram)
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	// By the module's path, because a test runs in the folder of its package.
	if out, err := exec.Command(compiler, "build", "-o", path, providerModule).CombinedOutput(); err != nil {
		return "", &buildError{err: err, output: out}
	}
	return path, nil
}

func (p *program) remove() error {
	if p.dir == "" {
		return nil
	}
	return os.RemoveAll(p.dir)
}
