// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// The test binary runs itself as the program that is killed.
const (
	crashRoot  = "DOCKERPARALLEL_TEST_CRASH_ROOT"
	crashSleep = "DOCKERPARALLEL_TEST_CRASH_SLEEP"
)

// crashHelper starts containers until it is killed.
func crashHelper(root string) {
	b, err := New(Config{Root: root})
	if err != nil {
		panic(err)
	}
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		panic(err)
	}
	for {
		if _, err := b.Run(context.Background(), request(4, "sleep", os.Getenv(crashSleep))); err != nil {
			panic(err)
		}
	}
}

// TestCrash kills a program at any moment of Run: whatever runs is found, and
// Kill leaves nothing.
func TestCrash(t *testing.T) {
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("the process table is searched through /proc")
	}
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var halfMade, running int
	for range rounds {
		b := newBackend(t)
		// A time to sleep that no one else sleeps.
		unique := "10000." + strings.TrimLeft(time.Now().Format(".000000000"), ".")
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), crashRoot+"="+b.root, crashSleep+"="+unique)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		pause(context.Background(), time.Duration(rand.Int64N(int64(30*time.Millisecond))))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		// Its last system call is over once it is reaped. Shells that it had
		// just started are still at work, during List and Kill.
		_ = cmd.Wait()
		inv, err := b.List(context.Background(), managed.Selector{})
		if err != nil {
			t.Fatal(err)
		}
		listed := map[int]bool{}
		unborn := 0
		for _, c := range inv.Containers {
			if c.Handle == "" || c.Labels[managed.LabelManagedBy] != managed.ManagedBy {
				t.Fatalf("listed %+v", c)
			}
			if strings.HasPrefix(string(c.Handle), provisionalPrefix) {
				unborn++
				continue
			}
			running++
			listed[pidOf(t, c.Handle)] = true
		}
		halfMade += unborn
		var unlisted []int
		for _, pid := range sleepers(t, unique) {
			if !listed[pid] {
				unlisted = append(unlisted, pid)
			}
		}
		if len(unlisted) > unborn { // a half-made one may have become a worker since
			t.Errorf("processes %v run, are not listed and are none of %d half-made ones", unlisted, unborn)
		}
		if err := b.Kill(context.Background(), handlesOf(inv)); err != nil {
			t.Fatal(err)
		}
		inv, err = b.List(context.Background(), managed.Selector{})
		if err != nil || len(inv.Containers) > 0 {
			t.Fatalf("left: %+v, %v", inv.Containers, err)
		}
		if pids := processesWith(t, unique); len(pids) > 0 {
			t.Fatalf("left processes: %v", pids)
		}
		// What was being made or removed at that moment is garbage later.
		for _, file := range filesBelow(t, b.root) {
			if name := filepath.Base(file); strings.HasPrefix(name, buildingPrefix) {
				age(t, file)
			}
		}
		if err := b.cleanup(context.Background(), poolScope, true); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(b.root); !os.IsNotExist(err) {
			t.Fatalf("left files: %v", filesBelow(t, b.root))
		}
	}
	t.Logf("%d rounds: %d containers ran, %d were half made", rounds, running, halfMade)
}

func age(t *testing.T, file string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
}

// processesWith are the processes with an argument, shells included.
func processesWith(t *testing.T, argument string) []int {
	t.Helper()
	var pids []int
	for pid, args := range commandLines(t) {
		if strings.Contains(args, "\x00"+argument) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// sleepers are the workers themselves.
func sleepers(t *testing.T, argument string) []int {
	t.Helper()
	var pids []int
	for pid, args := range commandLines(t) {
		if strings.HasSuffix(args, "sleep\x00"+argument+"\x00") && !strings.HasPrefix(args, "sh\x00") && !strings.Contains(args, "-c\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func commandLines(t *testing.T) map[int]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[int]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		lines[pid] = string(data)
	}
	return lines
}
