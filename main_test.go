// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package main_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// A person who starts the program finds out what it is.
func TestProgramForPeople(t *testing.T) {
	program := testenv.ProviderBinary(t)
	out, err := exec.Command(program).Output()
	if err != nil || !strings.Contains(string(out), "Commands:") {
		t.Errorf("without arguments it says %q, %v", out, err)
	}
	cmd := exec.Command(program, "lst")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 2 || !strings.Contains(stderr.String(), `no command "lst"`) {
		t.Errorf("a wrong command gives %v, %s", err, stderr.String())
	}
}

// terraform is a run of Terraform in a folder of its own, with a provider
// whose process is known by its path.
type terraform struct {
	t        *testing.T
	dir      string
	provider string
	root     string
}

func newTerraform(t *testing.T, server string) *terraform {
	t.Helper()
	if os.Getenv("TF_ACC") == "" {
		t.Skip("skipped: TF_ACC is not set")
	}
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("skipped: there is no /proc to find processes in")
	}
	tf := &terraform{t: t, dir: t.TempDir()}
	tf.root = filepath.Join(tf.dir, "root")
	tf.provider = filepath.Join(tf.dir, "bin", "terraform-provider-dockerparallel")
	program, err := os.ReadFile(testenv.ProviderBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		tf.provider:                 string(program),
		filepath.Join(tf.dir, "rc"): fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"dockerparallel/dockerparallel\" = %q\n  }\n  direct {}\n}\n", filepath.Dir(tf.provider)),
		filepath.Join(tf.dir, "main.tf"): fmt.Sprintf(`
terraform {
  required_providers {
    dockerparallel = { source = "dockerparallel/dockerparallel" }
  }
}
provider "dockerparallel" {
  owner   = "test"
  process = { root = %q }
}
resource "dockerparallel_cluster" "sim" {
  name = "sim"
  server = {
    port      = 0
    container = { command = %s }
  }
}
`, tf.root, server),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		// Whatever the test has found, nothing stays behind.
		out, err := exec.Command(tf.provider, "sweep", "--all", "--yes", "--process-root", tf.root).CombinedOutput()
		if err != nil {
			t.Errorf("sweep: %v\n%s", err, out)
		}
	})
	return tf
}

// apply starts an apply, which is a session of its own.
func (tf *terraform) apply() *exec.Cmd {
	tf.t.Helper()
	cmd := exec.Command(testenv.CLI(tf.t), "apply", "-auto-approve", "-no-color", "-input=false")
	cmd.Dir = tf.dir
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(tf.dir, "rc"), "CHECKPOINT_DISABLE=1", "TF_DATA_DIR="+filepath.Join(tf.dir, "data"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	log, err := os.Create(filepath.Join(tf.dir, "apply.log"))
	if err != nil {
		tf.t.Fatal(err)
	}
	tf.t.Cleanup(func() { log.Close() })
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		tf.t.Fatal(err)
	}
	return cmd
}

func (tf *terraform) log() string {
	text, err := os.ReadFile(filepath.Join(tf.dir, "apply.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// processes whose command line names something, but for the test itself.
func processes(what string) []string {
	var found []string
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err == nil && bytes.HasPrefix(line, []byte(what)) {
			found = append(found, filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}

// eventually waits until a condition holds.
func eventually(t *testing.T, patience time.Duration, what string, holds func() bool) bool {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	t.Errorf("not within %v: %s", patience, what)
	return false
}

func (tf *terraform) files() []string {
	var files []string
	_ = filepath.WalkDir(tf.root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	return files
}

// Terraform is killed while the provider waits for a server that never
// answers. The provider takes back what it has started, and ends.
func TestAccTerraformKilledInCreate(t *testing.T) {
	// A server that takes its time to stop, so that there is something to wait for.
	tf := newTerraform(t, `["sh", "-c", "trap 'sleep 1; exit' TERM; while :; do sleep 0.1; done"]`)
	for _, end := range []struct {
		name string
		end  func(cmd *exec.Cmd) error
	}{
		{"SIGKILL", func(cmd *exec.Cmd) error { return cmd.Process.Kill() }},
		{"two interrupts", func(cmd *exec.Cmd) error {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
			return cmd.Process.Signal(os.Interrupt)
		}},
	} {
		cmd := tf.apply()
		started := eventually(t, 30*time.Second, "a server is started", func() bool {
			out, _ := exec.Command(tf.provider, "list", "--process-root", tf.root).Output()
			return strings.Contains(string(out), "running")
		})
		if !started {
			t.Log(tf.log())
		}
		if err := end.end(cmd); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		eventually(t, 10*time.Second, end.name+": the provider has ended", func() bool { return len(processes(tf.provider)) == 0 })
		if files := tf.files(); len(files) > 0 {
			t.Errorf("%s: left behind: %q", end.name, files)
		}
	}
}

// Terraform is killed at any moment of a short apply, the start of the
// provider included: the provider does not outlive it.
func TestAccTerraformKilledAnytime(t *testing.T) {
	tf := newTerraform(t, `["sh", "-c", "exec sleep 3600"]`)
	for range 25 {
		cmd := tf.apply()
		moment := rand.N(700 * time.Millisecond)
		time.Sleep(moment)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if !eventually(t, 10*time.Second, "the provider has ended", func() bool { return len(processes(tf.provider)) == 0 }) {
			t.Fatalf("Terraform was killed after %v; its provider is still there: %q", moment, processes(tf.provider))
		}
	}
}
