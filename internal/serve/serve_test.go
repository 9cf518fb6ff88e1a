// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package serve

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// roleVariable makes the test program one of the processes of a test.
const roleVariable = "SERVE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "parent": // like Terraform: starts a child and waits to be killed
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), roleVariable+"=child")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			panic(err)
		}
		time.Sleep(time.Minute)
	case "child": // like a provider: looks after its parent
		gone := orphaned(10 * time.Millisecond)
		fmt.Println(os.Getpid())
		select {
		case <-gone:
			fmt.Println("gone")
		case <-time.After(30 * time.Second):
			fmt.Println("still there")
		}
	case "writer": // writes to a pipe that nobody reads
		ops := &operations{}
		if os.Getenv("SERVE_TEST_BUSY") != "" {
			defer ops.begin()()
		}
		fmt.Println("ready")
		time.Sleep(100 * time.Millisecond) // until the reader is gone
		for range 10 {
			fmt.Println("a log line")
		}
		fmt.Fprintln(os.Stderr, "survived")
		// What it starts can still be killed by the signal.
		out, err := exec.Command("sh", "-c", "kill -PIPE $$; echo ignored").CombinedOutput()
		fmt.Fprintf(os.Stderr, "child %s %v\n", out, err)
	}
}

func TestOrphaned(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), roleVariable+"=parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	pid, err := strconv.Atoi(lines.Text())
	if err != nil {
		t.Fatalf("the child says %q", lines.Text())
	}
	time.Sleep(100 * time.Millisecond)
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the child has ended while its parent lives: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if lines.Scan(); lines.Text() != "gone" {
		t.Errorf("the child says %q, want gone", lines.Text())
	}
	_ = parent.Wait() // it was killed
}

// A broken pipe kills a provider only as long as it has changed nothing.
func TestBrokenPipe(t *testing.T) {
	for _, test := range []struct {
		busy     string
		survives bool
	}{{"", false}, {"yes", true}} {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), roleVariable+"=writer", "SERVE_TEST_BUSY="+test.busy)
		var said strings.Builder
		c.Stderr = &said
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		bufio.NewScanner(out).Scan()
		out.Close()
		err = c.Wait()
		if survived := strings.Contains(said.String(), "survived"); survived != test.survives {
			t.Errorf("busy %q: survived %v (%v), want %v", test.busy, survived, err, test.survives)
		}
		if strings.Contains(said.String(), "ignored") {
			t.Errorf("busy %q: processes that are started ignore SIGPIPE", test.busy)
		}
	}
}

// slowServer takes its time, and goes on when it is cancelled.
type slowServer struct {
	tfprotov6.ProviderServer
	begun chan struct{}
	end   chan struct{}
}

func (s slowServer) ApplyResourceChange(context.Context, *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	close(s.begun)
	<-s.end
	return &tfprotov6.ApplyResourceChangeResponse{}, nil
}

func TestOperationsAreAwaited(t *testing.T) {
	ops := &operations{}
	ops.wait(time.Hour) // nothing runs
	inner := slowServer{begun: make(chan struct{}), end: make(chan struct{})}
	server := guarded{ProviderServer: inner, ops: ops}
	go func() {
		if _, err := server.ApplyResourceChange(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}()
	<-inner.begun

	begun := time.Now()
	ops.wait(100 * time.Millisecond)
	if d := time.Since(begun); d < 100*time.Millisecond {
		t.Errorf("it waited for %v only, although something runs", d)
	}
	time.AfterFunc(50*time.Millisecond, func() { close(inner.end) })
	begun = time.Now()
	ops.wait(time.Minute)
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("it waited for %v, although nothing runs any more", d)
	}
}
