// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9/logging"
)

const (
	testPassword = "not-a-secret"
	testQueue    = "test-queue"
)

// TestMain lets the test binary be the program, for the tests that need a process they can kill.
func TestMain(m *testing.M) {
	if os.Getenv("QUICKSTART_TEST_MAIN") != "" {
		main()
		return
	}
	logging.Disable()
	os.Exit(m.Run())
}

// newServer starts a server on a free port.
func newServer(t *testing.T) (*miniredis.Miniredis, address) {
	t.Helper()
	s, err := startServer("127.0.0.1:0", testPassword)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, address{Host: s.Host(), Port: s.Port(), Password: testPassword, Queue: testQueue}
}

// env is the environment of a container at this address.
func (a address) env() map[string]string {
	return map[string]string{
		"DOCKERPARALLEL_SERVER_HOST":     a.Host,
		"DOCKERPARALLEL_SERVER_PORT":     a.Port,
		"DOCKERPARALLEL_SERVER_PASSWORD": a.Password,
		"DOCKERPARALLEL_QUEUE":           a.Queue,
	}
}

func lookup(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

// startCrew runs workers in this process. The function it returns stops them and gives what they returned.
func startCrew(t *testing.T, addr address, workers int) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := crew{addr: addr, workers: workers, clientName: "a-worker", giveUp: 10 * time.Second, logger: log.New(io.Discard, "", 0)}
	done := make(chan error, 1)
	go func() { done <- c.run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			t.Error("the workers do not stop")
			return nil
		}
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

// startWorkerProcess runs one worker in a process of its own.
func startWorkerProcess(t *testing.T, addr address) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "worker")
	cmd.Env = append(os.Environ(), "QUICKSTART_TEST_MAIN=1", "DOCKERPARALLEL_CLIENT_NAME=a-worker")
	for name, value := range addr.env() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// runClient runs the client as a person would, and reads what it wrote with --json.
func runClient(t *testing.T, addr address, args ...string) (summary, int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "job.json")
	var out bytes.Buffer
	code := run(ctx, append([]string{"client", "--json", file}, args...), lookup(addr.env()), &out, &out)
	var s summary
	if encoded, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(encoded, &s); err != nil {
			t.Fatal(err)
		}
	}
	return s, code, out.String()
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

func listLen(s *miniredis.Miniredis, key string) int {
	list, _ := s.List(key) // no list is an empty one
	return len(list)
}

func TestJob(t *testing.T) {
	for _, workers := range []int{1, 8} {
		t.Run(strconv.Itoa(workers), func(t *testing.T) {
			t.Parallel()
			s, addr := newServer(t)
			stop := startCrew(t, addr, workers)

			got, code, out := runClient(t, addr, "--tasks", "240", "--size", "4000000")
			if code != 0 || !got.Correct || got.Tasks != 240 || got.Seconds <= 0 {
				t.Fatalf("exit code %d, %+v\n%s", code, got, out)
			}
			if got.Workers < 1 || got.Workers > workers || (workers > 1 && got.Workers < 2) {
				t.Errorf("%d of %d workers took part", got.Workers, workers)
			}
			if !strings.Contains(out, "primes up to 4,000,000: 283,146 (right)") {
				t.Errorf("no answer in:\n%s", out)
			}

			if err := stop(); err != nil {
				t.Error(err)
			}
			if keys := s.Keys(); len(keys) != 0 {
				t.Errorf("left on the server: %v", keys)
			}
		})
	}
}

func TestKilledWorkerLosesNoTask(t *testing.T) {
	t.Parallel()
	s, addr := newServer(t)
	victim := startWorkerProcess(t, addr)

	type outcome struct {
		summary summary
		code    int
		out     string
	}
	done := make(chan outcome, 1)
	go func() {
		got, code, out := runClient(t, addr, "--tasks", "40", "--size", "10000000")
		done <- outcome{got, code, out}
	}()

	// Freeze the victim at a moment when it holds a task, and kill it there.
	var held string
	eventually(t, "the worker holds a task", func() bool {
		_ = victim.Process.Signal(syscall.SIGSTOP)
		time.Sleep(20 * time.Millisecond)
		for _, key := range s.Keys() {
			if strings.HasPrefix(key, testQueue+":held:") {
				held = key
			}
		}
		if held == "" {
			_ = victim.Process.Signal(syscall.SIGCONT)
		}
		return held != ""
	})
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	if listLen(s, held) != 1 {
		t.Fatalf("the dead worker holds %d tasks, want 1", listLen(s, held))
	}

	startCrew(t, addr, 2)
	got := <-done
	if got.code != 0 || !got.summary.Correct || got.summary.Tasks != 40 {
		t.Fatalf("exit code %d, %+v\n%s", got.code, got.summary, got.out)
	}
	if listLen(s, held) != 0 {
		t.Error("the dead worker's task was left where it was")
	}
}

func TestWorkerFinishesItsTaskWhenStopped(t *testing.T) {
	t.Parallel()
	s, addr := newServer(t)
	q := &queue{rdb: addr.connect(""), name: testQueue}
	t.Cleanup(func() { _ = q.close() })
	if err := q.submit(t.Context(), "job", splitJob("job", 10_000_000, 10)); err != nil {
		t.Fatal(err)
	}

	worker := startWorkerProcess(t, addr)
	eventually(t, "the worker holds a task", func() bool { return listLen(s, testQueue+":tasks") < 10 })
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker ended with %v", err)
	}

	waiting, results := listLen(s, testQueue+":tasks"), listLen(s, testQueue+":results:job")
	if results < 1 || waiting+results != 10 {
		t.Errorf("%d tasks wait and %d results are there: want 10 together, at least one result", waiting, results)
	}
	c, err := q.census(t.Context())
	if err != nil || len(c.alive)+len(c.dead) != 0 {
		t.Errorf("the worker did not say goodbye: %+v, %v", c, err)
	}
}

func TestServerRestart(t *testing.T) {
	t.Parallel()
	s, addr := newServer(t)
	stop := startCrew(t, addr, 2)

	out := &watched{first: make(chan struct{})}
	j := newJob(addr, 10_000_000, 60, 10*time.Second, newProgress(out, 60))
	t.Cleanup(j.close)
	done := make(chan error, 1)
	go func() { done <- j.run(t.Context()) }()

	<-out.first // a task is done
	s.Close()
	time.Sleep(300 * time.Millisecond)
	again, err := startServer(addr.String(), testPassword) // and remembers nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)

	if err := <-done; err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if sum := j.summarise(knownPrimes(10_000_000)); !sum.Correct || sum.Tasks != 60 {
		t.Errorf("wrong after a restart: %+v", sum)
	}
	for _, want := range []string{"no answer from the server", "there again", "forgotten the job"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestTwoClients(t *testing.T) {
	t.Parallel()
	_, addr := newServer(t)
	startCrew(t, addr, 4)

	var group sync.WaitGroup
	for _, args := range [][]string{{"--tasks", "200", "--size", "3000000"}, {"--tasks", "150", "--size", "2000000"}} {
		group.Go(func() {
			got, code, out := runClient(t, addr, args...)
			if code != 0 || !got.Correct || strconv.Itoa(got.Tasks) != args[1] {
				t.Errorf("%v: exit code %d, %+v\n%s", args, code, got, out)
			}
		})
	}
	group.Wait()
}

func TestAbandonedJobIsDropped(t *testing.T) {
	t.Parallel()
	s, addr := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	j := newJob(addr, 10_000_000, 50, time.Minute, newProgress(io.Discard, 50))
	done := make(chan error, 1)
	go func() { done <- j.run(ctx) }()
	eventually(t, "the tasks are there", func() bool { return listLen(s, testQueue+":tasks") == 50 })
	cancel()
	if err := <-done; err == nil {
		t.Error("a cancelled job ends without an error")
	}
	j.close()

	stop := startCrew(t, addr, 1)
	eventually(t, "the tasks are gone", func() bool {
		return !slices.ContainsFunc(s.Keys(), func(key string) bool {
			return key == testQueue+":tasks" || strings.HasPrefix(key, testQueue+":held:")
		})
	})
	if err := stop(); err != nil {
		t.Error(err)
	}
	if keys := s.Keys(); len(keys) != 0 {
		t.Errorf("left on the server: %v", keys)
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	_, addr := newServer(t)
	addr.Password = "a-wrong-one"
	for _, command := range []string{"worker", "client"} {
		var out bytes.Buffer
		start := time.Now()
		code := run(t.Context(), []string{command}, lookup(addr.env()), &out, &out)
		if code != 1 || !strings.Contains(out.String(), "refuses the password") {
			t.Errorf("%s: exit code %d, %s", command, code, &out)
		}
		if strings.Contains(out.String(), addr.Password) {
			t.Errorf("%s: the password is in %s", command, &out)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v to say so", command, took)
		}
	}
}

func TestNoPassword(t *testing.T) {
	t.Parallel()
	_, addr := newServer(t)
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "*2\r\n$4\r\nLLEN\r\n$1\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 64)
	n, err := conn.Read(reply)
	if err != nil || !strings.HasPrefix(string(reply[:n]), "-NOAUTH") {
		t.Errorf("without a password the server says %q, %v", reply[:n], err)
	}
}

func TestClientName(t *testing.T) {
	t.Parallel()
	_, addr := newServer(t)
	rdb := addr.connect("cluster/pool")
	defer rdb.Close()
	if name, err := rdb.ClientGetName(t.Context()).Result(); err != nil || name != "cluster/pool" {
		t.Errorf("the connection calls itself %q, %v", name, err)
	}
}

func TestGivingUp(t *testing.T) {
	t.Parallel()
	s, addr := newServer(t)
	s.Close() // nobody listens there now

	for _, args := range [][]string{{"worker", "--give-up-after", "500ms"}, {"client", "--patience", "500ms"}} {
		var out bytes.Buffer
		code := run(t.Context(), args, lookup(addr.env()), &out, &out)
		if code != 1 || !strings.Contains(out.String(), "for 500ms, giving up") || !strings.Contains(out.String(), addr.String()) {
			t.Errorf("%v: exit code %d, %s", args, code, &out)
		}
	}
}

func TestNoWorkers(t *testing.T) {
	t.Parallel()
	_, addr := newServer(t)
	_, code, out := runClient(t, addr, "--tasks", "20", "--patience", "2s")
	if code != 1 || !strings.Contains(out, "no worker took a task for 2s") || !strings.Contains(out, "20 tasks waiting") {
		t.Errorf("exit code %d, %s", code, out)
	}
}

func TestServerCommand(t *testing.T) {
	t.Parallel()
	_, addr := newServer(t)

	var out bytes.Buffer
	if code := run(t.Context(), []string{"server"}, lookup(addr.env()), &out, &out); code != 1 ||
		!strings.Contains(out.String(), "port "+addr.Port+" is in use") {
		t.Errorf("port in use: exit code %d, %s", code, &out)
	}

	out.Reset()
	addr.Password = ""
	if code := run(t.Context(), []string{"server"}, lookup(addr.env()), &out, &out); code != 1 ||
		!strings.Contains(out.String(), "without a password") {
		t.Errorf("no password: exit code %d, %s", code, &out)
	}
}

// watched is an output that tells when its first line came.
type watched struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	first chan struct{}
	once  sync.Once
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.once.Do(func() { close(w.first) })
	return w.buf.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
