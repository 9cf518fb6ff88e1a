// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package frameworks

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// shells that the server's command has to run in: this machine's sh and, if
// it is here, the one of alpine images.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{"sh": {"sh"}}
	for _, argv := range [][]string{{"busybox", "sh"}, {"dash"}, {"bash", "--posix"}} {
		if _, err := exec.LookPath(argv[0]); err == nil {
			found[argv[0]] = argv
		}
	}
	return found
}

// TestRedisServer starts a real server with the framework's own command and
// passwords of all kinds. With the password it answers, without or with
// another one it refuses, and nobody can read the password from the list of
// processes or from what the server prints.
func TestRedisServer(t *testing.T) {
	testenv.Need(t, testenv.Redis)
	passwords := []string{
		nastyPassword, `"quoted"`, `back\slash\`, `\x41\n`, " blank at both ends ", "%s%n%d", "$HOME ${HOME} `id`",
		"# no comment", "END", "'", `"`, "line\nbreak", "käse", strings.Repeat("long$", 300),
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		passwords = append(passwords, printable(random, 12+random.IntN(40)))
	}
	for name, shell := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, password := range passwords {
				s := startRedis(t, shell, password)
				right := s.facts
				if err := (redisQueue{}).ProbeServer(t.Context(), s.dial, right); err != nil {
					t.Errorf("password %q: %v", password, err)
				}
				for _, wrong := range []string{"", password + "x", "x" + password, redisQuote(password)} {
					f := right
					f.Password = managed.Secret(wrong)
					if err := (redisQueue{}).ProbeServer(t.Context(), s.dial, f); managed.ClassOf(err) != managed.ClassPermission {
						t.Errorf("password %q, asked with %q: %v, class %q", password, wrong, err, managed.ClassOf(err))
					}
				}
				s.stop(t)
			}
		})
	}
}

// TestRedisServerInAnImage has an entrypoint script in the PATH, as the
// official images do.
func TestRedisServerInAnImage(t *testing.T) {
	testenv.Need(t, testenv.Redis)
	dir := t.TempDir()
	ran := filepath.Join(dir, "ran")
	script := fmt.Sprintf("#!/bin/sh\nset -e\necho \"$*\" >%s\nif [ \"$1\" = redis-server ]; then set -- \"$@\" --maxclients 77; fi\nexec \"$@\"\n", ran)
	if err := os.WriteFile(filepath.Join(dir, "docker-entrypoint.sh"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	for name, shell := range shells(t) {
		s := startRedis(t, shell, nastyPassword)
		if got, err := os.ReadFile(ran); err != nil || string(got) != "redis-server -\n" {
			t.Errorf("%s: the image's entrypoint got %q, %v", name, got, err)
		}
		client := s.client(t, "")
		// The configuration from stdin and arguments that an entrypoint adds
		// (newer images load modules so) go together.
		for option, want := range map[string]string{"maxclients": "77", "save": "", "appendonly": "no", "protected-mode": "yes", "port": s.port()} {
			if got, err := client.ConfigGet(t.Context(), option).Result(); err != nil || got[option] != want {
				t.Errorf("%s: %s is %q, %v, want %q", name, option, got[option], err, want)
			}
		}
		s.stop(t)
		_ = os.Remove(ran)
	}
}

func TestRedisServerNeedsItsVariables(t *testing.T) {
	testenv.Need(t, testenv.Redis)
	command := redisQueue{}.Defaults(managed.RoleServer).Command
	for _, env := range [][]string{
		{"DOCKERPARALLEL_SERVER_PORT=1"},
		{redisRequirePass + "=x"},
		{"DOCKERPARALLEL_SERVER_PORT=", redisRequirePass + "=x"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
		if out, err := cmd.CombinedOutput(); err == nil || ctx.Err() != nil {
			t.Errorf("with %q the server started: %s", env, out)
		}
		cancel()
	}
}

func TestRegisteredWorkersOfARealServer(t *testing.T) {
	testenv.Need(t, testenv.Redis)
	s := startRedis(t, []string{"sh"}, nastyPassword)
	f := s.facts
	f.Pool = "big"
	name := redisQueue{}.Environment(managed.RoleWorker, f).Plain[redisClientName]

	count := func(want int) {
		t.Helper()
		got := -1
		for range 100 {
			all, err := (redisQueue{}).RegisteredWorkers(t.Context(), s.dial, f)
			if err != nil {
				t.Fatal(err)
			}
			if got = len(all); got == want {
				return
			}
			time.Sleep(20 * time.Millisecond) // a closed connection is not gone at once
		}
		t.Errorf("%d workers, want %d", got, want)
	}

	count(0)
	first := s.client(t, name)
	s.client(t, name)
	s.client(t, "")
	s.client(t, redisPoolName(managed.Facts{Namespace: f.Namespace, Cluster: f.Cluster, Pool: "other"}))
	count(2)
	s.client(t, name+":host1-1")
	s.client(t, name+":host1-1")
	s.client(t, name+":host1-2")
	count(4)
	// A worker that waits for work on a list or a channel counts like any other.
	waiting := s.client(t, name+":waiting")
	go waiting.BLPop(t.Context(), 30*time.Second, "queue")
	listening := s.client(t, name+":listening")
	sub := listening.Subscribe(t.Context(), "channel")
	t.Cleanup(func() { _ = sub.Close() })
	count(6)
	_ = first.Close()
	count(5)

	f.Password = "wrong"
	if _, err := (redisQueue{}).RegisteredWorkers(t.Context(), s.dial, f); managed.ClassOf(err) != managed.ClassPermission {
		t.Errorf("with the wrong password: %v", err)
	}
}

// TestRedisURLs: all kinds of clients take the URLs. (redux, for R, takes the
// one of the workers' environment, which names no user.)
func TestRedisURLs(t *testing.T) {
	testenv.Need(t, testenv.Redis, testenv.RQ)
	for _, password := range []string{nastyPassword, " +%20 ", "käse", "default"} {
		s := startRedis(t, []string{"sh"}, password)
		f := s.facts
		f.Host = "127.0.0.1"
		url := redisQueue{}.URL(f.Host, f.Port, f.Password)
		if out, err := exec.Command("redis-cli", "--no-auth-warning", "-u", url, "PING").CombinedOutput(); err != nil || string(out) != "PONG\n" {
			t.Errorf("redis-cli, password %q: %q, %v", password, out, err)
		}
		for _, url := range []string{url, redisQueue{}.Environment(managed.RoleWorker, f).Secret[redisURL].Reveal()} {
			code := "import redis, sys; print(redis.Redis.from_url(sys.argv[1]).ping())"
			if out, err := exec.Command(testenv.SystemPython, "-c", code, url).CombinedOutput(); err != nil || string(out) != "True\n" {
				t.Errorf("redis-py, password %q: %q, %v", password, out, err)
			}
			options, err := redis.ParseURL(url)
			if err != nil {
				t.Fatal(err)
			}
			client := redis.NewClient(options)
			if err := client.Ping(t.Context()).Err(); err != nil {
				t.Errorf("go-redis, password %q: %v", password, err)
			}
			_ = client.Close()
		}
		s.stop(t)
	}
}

// TestShellClient pastes the client code into a shell, unchanged.
func TestShellClient(t *testing.T) {
	testenv.Need(t, testenv.Redis)
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Fatal("redis-server is here, but redis-cli is not: ", err)
	}
	s := startRedis(t, []string{"sh"}, nastyPassword)
	code := redisQueue{}.Client(managed.ClientFacts{Cluster: "sim", Host: "127.0.0.1", Port: s.facts.Port}).Shell
	code += `redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT" LPUSH "$DOCKERPARALLEL_QUEUE" task >&2
dockerparallel_deregister
echo "left:$REDISCLI_AUTH$DOCKERPARALLEL_QUEUE$REDIS_HOST$REDIS_PORT"
`
	for name, shell := range shells(t) {
		cmd := exec.Command(shell[0], append(shell[1:], "-c", code)...)
		cmd.Env = append(os.Environ(), managed.PasswordVariable+"="+nastyPassword)
		if out, err := cmd.Output(); err != nil || string(out) != "PONG\nleft:\n" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
		cmd = exec.Command(shell[0], append(shell[1:], "-c", code)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), managed.PasswordVariable) {
			t.Errorf("%s without a password: %q, %v", name, out, err)
		}
	}
	if n, err := s.client(t, "").LLen(t.Context(), "sim").Result(); err != nil || int(n) != len(shells(t)) {
		t.Errorf("%d tasks in the queue, %v", n, err)
	}
}

// redisProcess is a server that runs for a test.
type redisProcess struct {
	cmd    *exec.Cmd
	exited chan error
	output *testenv.Output
	facts  managed.Facts
}

// startRedis starts the framework's server with the framework's and the
// core's environment and returns when it answers.
func startRedis(t *testing.T, shell []string, password string) *redisProcess {
	t.Helper()
	for range 5 {
		s := tryRedis(t, shell, password, freePort(t))
		if s != nil {
			return s
		}
	}
	t.Fatal("found no port for redis")
	return nil
}

// tryRedis is nil if someone else took the port in the meantime.
func tryRedis(t *testing.T, shell []string, password string, port int) *redisProcess {
	t.Helper()
	f := managed.Facts{Namespace: "default", Cluster: "sim", Port: port, Password: managed.Secret(password)}
	command := redisQueue{}.Defaults(managed.RoleServer).Command
	if command[0] != "sh" {
		t.Fatalf("the server's command begins with %q", command[0])
	}
	argv := append(append([]string{}, shell...), command[1:]...)
	s := &redisProcess{cmd: exec.Command(argv[0], argv[1:]...), exited: make(chan error, 1), output: &testenv.Output{}, facts: f}
	s.cmd.Dir = t.TempDir()
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	s.cmd.Env = append(variablesOf(redisQueue{}, managed.RoleServer, f),
		"PATH="+os.Getenv("PATH"), "DOCKERPARALLEL_SERVER_PORT="+s.port(), "DOCKERPARALLEL_SERVER_PASSWORD="+password)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.exited <- s.cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })

	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		s.checkArguments(t)
		select {
		case err := <-s.exited:
			if strings.Contains(s.output.String(), "Address already in use") {
				return nil
			}
			t.Fatalf("the server ended: %v\n%s", err, s.output)
		default:
		}
		conn, err := s.dial(t.Context(), managed.PortMain)
		if err == nil {
			_ = conn.Close()
			s.checkArguments(t)
			return s
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatalf("the server does not listen:\n%s", s.output)
	return nil
}

// stop asks the server to end as a backend would. It has to hear the signal
// itself, and to end well before it would be killed.
func (s *redisProcess) stop(t *testing.T) {
	t.Helper()
	// To the first process only: an exec all along makes that the server.
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.exited:
		if err != nil {
			t.Errorf("the server ended with %v", err)
		}
	case <-time.After(stopGrace):
		t.Fatalf("the server still runs %s after %s", stopGrace, stopSignal)
	}
	for _, form := range passwordForms(s.facts.Password.Reveal()) {
		if len(form) > 3 && strings.Contains(s.output.String(), form) {
			t.Errorf("the server has printed its password: %s", s.output)
		}
	}
	if files, err := os.ReadDir(s.cmd.Dir); err != nil || len(files) != 0 {
		t.Errorf("the server has left %v, %v", files, err)
	}
}

// checkArguments looks for the password in the arguments of all processes of
// the server.
func (s *redisProcess) checkArguments(t *testing.T) {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(entry)))
		if err != nil {
			continue
		}
		if group, err := syscall.Getpgid(pid); err != nil || group != s.cmd.Process.Pid {
			continue
		}
		arguments, err := os.ReadFile(entry)
		if err != nil {
			continue // it has ended
		}
		for _, form := range passwordForms(s.facts.Password.Reveal()) {
			// A very short password is in there by chance: in the script.
			if len(form) > 3 && bytes.Contains(arguments, []byte(form)) {
				t.Errorf("process %d shows the password: %q", pid, arguments)
			}
		}
	}
}

func (s *redisProcess) port() string { return strconv.Itoa(s.facts.Port) }

func (s *redisProcess) dial(ctx context.Context, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", s.port()))
}

// client connects as a worker with that connection name would, through the
// worker's REDIS_URL.
func (s *redisProcess) client(t *testing.T, name string) *redis.Client {
	t.Helper()
	f := s.facts
	f.Host = "127.0.0.1"
	url := redisQueue{}.Environment(managed.RoleWorker, f).Secret[redisURL]
	options, err := redis.ParseURL(url.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	options.ClientName = name
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	return client
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("%v is no TCP address", l.Addr())
	}
	return address.Port
}

func printable(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(' ' + r.IntN('~'-' '+1))
	}
	return string(b)
}
