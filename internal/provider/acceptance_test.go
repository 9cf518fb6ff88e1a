// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	tfjson "github.com/hashicorp/terraform-json"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// What the acceptance tests share: a world on the process backend, and how it
// is looked at and disturbed from outside.

const (
	// listenWord has this program be a server; see TestMain.
	listenWord = "dockerparallel-test-listen"
	// rootPrefix is how the roots of all tests begin, so that a sweeper finds
	// those that a crashed test has left.
	rootPrefix = "dockerparallel-acc-"
	accOwner   = "tf-acc"
	cluster    = "dockerparallel_cluster.sim"
	pool       = "dockerparallel_worker_pool.workers"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == listenWord {
		if err := listen(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	resource.AddTestSweepers("process", &resource.Sweeper{Name: "process", F: func(string) error { return sweepRoots() }})
	resource.TestMain(m)
}

// setUp makes the tests the same on every machine, and with "go test" as with
// "make test".
func setUp() error {
	for _, name := range []string{"DOCKERPARALLEL_OWNER", "TFC_WORKSPACE_SLUG"} {
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	// A developer's own overrides must not decide what is tested.
	neutral, err := filepath.Abs(filepath.Join("..", "..", "tools", "terraformrc"))
	if err != nil {
		return err
	}
	if err := os.Setenv("TF_CLI_CONFIG_FILE", neutral); err != nil {
		return err
	}
	defaults := map[string]string{"TF_ACC_PROVIDER_NAMESPACE": "dockerparallel", "CHECKPOINT_DISABLE": "1"}
	for _, cli := range []string{"tofu", "terraform"} {
		if path, err := exec.LookPath(cli); err == nil {
			defaults["TF_ACC_TERRAFORM_PATH"] = path // else it would be downloaded
		}
	}
	if strings.HasSuffix(defaults["TF_ACC_TERRAFORM_PATH"], "tofu") {
		defaults["TF_ACC_PROVIDER_HOST"] = "registry.opentofu.org"
	}
	for name, v := range defaults {
		if os.Getenv(name) == "" {
			if err := os.Setenv(name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// listen is a server that accepts connections and says nothing.
func listen(port string) error {
	l, err := net.Listen("tcp", net.JoinHostPort("", port))
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		_ = conn.Close()
	}
}

// world is a root folder of the process backend.
type world struct {
	t    *testing.T
	root string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := os.MkdirTemp("", rootPrefix) //nolint:usetesting // a sweeper has to find it by its name
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, root: root}
	t.Cleanup(func() {
		if err := sweepRoot(root); err != nil {
			t.Error(err)
		}
	})
	return w
}

// config of a provider of an owner, and the resources that follow.
func (w *world) config(owner, resources string) string {
	return fmt.Sprintf(`
terraform {
  required_providers {
    dockerparallel = { source = "dockerparallel/dockerparallel" }
  }
}

provider "dockerparallel" {
  owner   = %q
  process = { root = %q }
}
`, owner, w.root) + resources
}

// clusterBlock is a cluster whose server is this program.
func clusterBlock(more string) string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`
resource "dockerparallel_cluster" "sim" {
  name   = "sim"
  server = {
    container = { command = [%q, %q, "$(DOCKERPARALLEL_SERVER_PORT)"] }
    port      = 0
  }
  %s
}
`, self, listenWord, more)
}

// poolBlock is a pool of workers that sleep.
func poolBlock(workers int, more string) string {
	return sleepers(workers, "600", more)
}

func sleepers(workers int, seconds, more string) string {
	return fmt.Sprintf(`
resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.sim.id
  worker_count = %d
  container    = { command = ["sleep", %q] }
  %s
}
`, workers, seconds, more)
}

func manager(root string) (*managed.Manager, error) {
	b, err := process.New(process.Config{Root: root})
	if err != nil {
		return nil, err
	}
	return managed.NewManager(b, managed.Options{Owner: accOwner}), nil
}

// left is an error if anything is left of the world.
func (w *world) left(*terraform.State) error {
	m, err := manager(w.root)
	if err != nil {
		return err
	}
	l, err := m.Leftovers(context.Background(), managed.Selector{})
	if err != nil {
		return err
	}
	if len(l.Members) > 0 || len(l.Artifacts) > 0 {
		return fmt.Errorf("the destroy left %v and %v", l.Members, l.Artifacts)
	}
	return nil
}

// workers that are alive.
func (w *world) workers() int {
	w.t.Helper()
	m, err := manager(w.root)
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := m.Containers(w.t.Context(), managed.Selector{Role: managed.RoleWorker})
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, c := range all {
		if c.Status == managed.StatusRunning {
			n++
		}
	}
	return n
}

// sweepRoots removes what tests that were killed have left.
func sweepRoots() error {
	roots, err := filepath.Glob(filepath.Join(os.TempDir(), rootPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, root := range roots {
		errs = append(errs, sweepRoot(root))
	}
	return errors.Join(errs...)
}

func sweepRoot(root string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := manager(root)
	if err != nil {
		return err
	}
	l, err := m.Leftovers(ctx, managed.Selector{})
	if err != nil {
		return err
	}
	if err := m.Sweep(ctx, l); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

// noted is a handle that a step has seen, for later ones to kill.
type noted struct{ handle string }

// note remembers a handle of the state. It is a check because only a check
// sees the state.
func (n *noted) note(address string, path tfjsonpath.Path) statecheck.StateCheck {
	return noteCheck{into: n, address: address, path: path}
}

// kill ends the process at once, and waits until that is so.
func (n *noted) kill(t *testing.T) {
	t.Helper()
	pid, err := strconv.Atoi(strings.SplitN(n.handle, "-", 2)[0])
	if err != nil {
		t.Fatalf("%q is no handle of a process: %v", n.handle, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("killing %d: %v", pid, err)
	}
	for range 100 {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		time.Sleep(20 * time.Millisecond) // a zombie is there until it is reaped; the backend knows it is dead
	}
}

type noteCheck struct {
	into    *noted
	address string
	path    tfjsonpath.Path
}

// CheckState implements statecheck.StateCheck.
func (c noteCheck) CheckState(_ context.Context, req statecheck.CheckStateRequest, resp *statecheck.CheckStateResponse) {
	values, err := attributes(req.State, c.address)
	if err != nil {
		resp.Error = err
		return
	}
	v, err := tfjsonpath.Traverse(values, c.path)
	if err != nil {
		resp.Error = err
		return
	}
	s, ok := v.(string)
	if !ok {
		resp.Error = fmt.Errorf("%s is %v, not a handle", c.path.String(), v)
		return
	}
	c.into.handle = s
}

func attributes(state *tfjson.State, address string) (map[string]any, error) {
	if state == nil || state.Values == nil {
		return nil, errors.New("there is no state")
	}
	for _, r := range state.Values.RootModule.Resources {
		if r.Address == address {
			return r.AttributeValues, nil
		}
	}
	return nil, fmt.Errorf("%s is not in the state", address)
}

// says matches words whatever the line breaks that Terraform puts between them.
func says(words string) *regexp.Regexp {
	parts := strings.Fields(words)
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile(strings.Join(parts, `[\s│╷╵]+`))
}
