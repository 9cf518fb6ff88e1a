// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package process

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// The test program itself is the server and the worker of the conformance
// suite's clusters, if its first argument says so.
const (
	serverRole = "conformance-server"
	workerRole = "conformance-worker"
)

func TestConformance(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root")
	t.Cleanup(func() {
		b, err := New(Config{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		killEverything(t, b)
	})
	runs := func(args ...string) managed.Template {
		return managed.Template{Command: args, StopGrace: 5 * time.Second}
	}
	suite := managedtest.Suite{
		New:              func(context.Context) (managed.Backend, error) { return New(Config{Root: root}) },
		Framework:        managedtest.Counting{},
		Server:           managed.ServerSpec{Template: runs(self, serverRole), SameLAN: true},
		Worker:           runs(self, workerRole),
		FailingWorker:    runs("sh", "-c", "echo it broke; echo $DOCKERPARALLEL_CONTAINER; exit 3"),
		FailingLine:      "it broke",
		CompletingWorker: runs("true"),
		Kill: func(_ context.Context, h managed.Handle) error {
			var pid int
			if _, err := fmt.Sscanf(string(h), "%d-", &pid); err != nil {
				return fmt.Errorf("handle %q: %w", h, err)
			}
			return syscall.Kill(pid, syscall.SIGKILL)
		},
		Namespace: "conformance",
	}
	suite.Run(managedtest.For(t))
}

// conformanceRole plays a role of the suite until it is stopped; false if the
// arguments name none.
func conformanceRole(args []string) bool {
	if len(args) != 2 || (args[1] != serverRole && args[1] != workerRole) {
		return false
	}
	address := net.JoinHostPort(os.Getenv(managed.EnvServerHost), os.Getenv(managed.EnvServerPort))
	play := serveCounting
	if args[1] == workerRole {
		play = workCounting
	}
	if err := play(address); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// serveCounting speaks the protocol of managedtest.Counting: "work POOL" is a
// worker that stays, "count POOL" is answered with the number of those.
func serveCounting(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	workers := map[string]int{}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = conn.Close() }()
			in := bufio.NewReader(conn)
			line, _ := in.ReadString('\n')
			verb, pool, _ := strings.Cut(strings.TrimSpace(line), " ")
			change := func(by int) int {
				mu.Lock()
				defer mu.Unlock()
				workers[pool] += by
				return workers[pool]
			}
			if verb == "count" {
				_, _ = fmt.Fprintln(conn, change(0))
				return
			}
			change(1)
			_, _ = in.ReadByte() // until the worker goes
			change(-1)
		}()
	}
}

// workCounting is as many workers as the container shall have, whether there
// is a server or not.
func workCounting(address string) error {
	workers := 1
	_, _ = fmt.Sscan(os.Getenv(managed.EnvWorkers), &workers)
	for range workers {
		go func() {
			for {
				if conn, err := net.Dial("tcp", address); err == nil {
					_, _ = fmt.Fprintln(conn, "work "+os.Getenv(managed.EnvPool))
					_, _ = conn.Read(make([]byte, 1)) // until the server goes
					_ = conn.Close()
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
	}
	select {}
}
