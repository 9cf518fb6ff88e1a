// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package testenv

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// recorder is a test that notes how it ends.
type recorder struct {
	testing.TB
	skipped, failed string
}

type ended struct{}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	panic(ended{})
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	panic(ended{})
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func record(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(ended{}) {
				panic(p)
			}
		}()
		f(r)
	}()
	return r
}

// bareMachine has nothing that a test could need.
func bareMachine(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	t.Setenv("DOCKER_TLS_VERIFY", "")
	t.Setenv("TF_ACC_TERRAFORM_PATH", "")
	t.Setenv(providerVariable, filepath.Join(t.TempDir(), "none"))
}

func TestNeedWhereItIsMissing(t *testing.T) {
	for _, part := range []Part{Redis, Terraform, Docker, Provider, Dockerd, Podman, Registry, Shell, Part(99)} {
		t.Run(fmt.Sprint(int(part)), func(t *testing.T) {
			bareMachine(t)

			t.Setenv("CI", "")
			r := record(t, func(t testing.TB) { Need(t, part) })
			if r.skipped == "" || r.failed != "" {
				t.Errorf("on a user's machine: skipped %q, failed %q, want a skip", r.skipped, r.failed)
			}

			t.Setenv("CI", "true")
			r = record(t, func(t testing.TB) { Need(t, part) })
			if r.failed == "" || r.skipped != "" {
				t.Errorf("in CI: skipped %q, failed %q, want a failure", r.skipped, r.failed)
			}
		})
	}
}

func TestNeedWhereItIsThere(t *testing.T) {
	bareMachine(t)
	dir := t.TempDir()
	for _, name := range []string{"redis-server", "tofu", "provider"} {
		writeProgram(t, filepath.Join(dir, name))
	}
	t.Setenv("PATH", dir)
	t.Setenv(providerVariable, filepath.Join(dir, "provider"))
	t.Setenv("DOCKER_HOST", "unix://"+serveDocker(t, http.StatusOK))
	r := record(t, func(tb testing.TB) {
		Need(tb, Redis, Terraform, Docker, Provider)
		if got, want := CLI(tb), filepath.Join(dir, "tofu"); got != want {
			t.Errorf("CLI is %s, want %s", got, want)
		}
		if got, want := ProviderBinary(tb), filepath.Join(dir, "provider"); got != want {
			t.Errorf("ProviderBinary is %s, want %s", got, want)
		}
	})
	if r.skipped != "" || r.failed != "" {
		t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
	}

	writeProgram(t, filepath.Join(dir, "terraform"))
	if got, want := CLI(t), filepath.Join(dir, "terraform"); got != want {
		t.Errorf("with both, CLI is %s, want %s", got, want)
	}
	t.Setenv("TF_ACC_TERRAFORM_PATH", filepath.Join(dir, "tofu"))
	if got, want := CLI(t), filepath.Join(dir, "tofu"); got != want {
		t.Errorf("with TF_ACC_TERRAFORM_PATH, CLI is %s, want %s", got, want)
	}
}

func TestDockerThatDoesNotWork(t *testing.T) {
	t.Setenv("CI", "")
	t.Setenv("DOCKER_TLS_VERIFY", "")
	t.Setenv("DOCKER_HOST", "unix://"+serveDocker(t, http.StatusInternalServerError))
	r := record(t, func(t testing.TB) { Need(t, Docker) })
	if !strings.Contains(r.skipped, "500") {
		t.Errorf("skipped %q, want the daemon's status", r.skipped)
	}
}

func TestProviderIsBuilt(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	// A module of the provider's name in place of the real one.
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "go.mod"), "module "+providerModule+"\n")
	writeFile(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { println(1) }\n")
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "off")

	var p program
	path, err := p.get()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path).CombinedOutput(); err != nil || string(out) != "1\n" {
		t.Errorf("the program says %q, %v", out, err)
	}
	if again, _ := p.get(); again != path {
		t.Errorf("a second call built %s", again)
	}
	if err := p.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the program is still there: %v", err)
	}

	writeFile(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { nonsense }\n")
	var broken program
	t.Cleanup(func() { _ = broken.remove() })
	if _, err := broken.get(); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("code that does not build gives %v", err)
	}
}

// serveDocker is a daemon on a socket that answers /_ping.
func serveDocker(t *testing.T, status int) string {
	t.Helper()
	// Not t.TempDir: the path of a socket has to be short.
	dir, err := os.MkdirTemp("", "dp") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return socket
}

func writeProgram(t *testing.T, path string) {
	t.Helper()
	writeFile(t, path, "#!/bin/sh\n")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
