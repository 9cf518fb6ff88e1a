// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package frameworks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// daskCluster is a scheduler that a test has started.
type daskCluster struct {
	facts  managed.Facts
	server *crew
}

// startDask starts a scheduler as the framework says, in that shell.
func startDask(t *testing.T, shell []string, host string, options Values, env ...string) *daskCluster {
	t.Helper()
	testenv.Need(t, testenv.Dask)
	c := &daskCluster{facts: managed.Facts{
		Namespace: "ns", Cluster: "sim", Pool: "big", Host: host, Port: freePort(t),
		Ports: map[string]int{daskDashboard: freePort(t)}, Hardware: managed.Hardware{CPU: 1024, Memory: 512},
	}}
	c.server = c.run(t, dask{configured{options}}, managed.RoleServer, c.facts, shell, env...)
	testenv.Eventually(t, "a scheduler", func() bool {
		select {
		case <-c.server.exited:
			t.Fatalf("the scheduler ended:\n%s", c.server.output)
		default:
		}
		return dask{}.ProbeServer(t.Context(), c.dial, c.facts) == nil
	})
	return c
}

// run starts a container of the role, with the variables that the core would
// give it.
func (c *daskCluster) run(t *testing.T, fw dask, role managed.Role, f managed.Facts, shell []string, more ...string) *crew {
	t.Helper()
	env := slices.Concat([]string{
		"PATH=" + os.Getenv("PATH"), managed.EnvServerHost + "=" + f.Host, managed.EnvServerPort + "=" + strconv.Itoa(f.Port),
	}, more, variablesOf(fw, role, f))
	command := fw.Defaults(role).Command
	return startContainer(t, append(slices.Clone(shell), command[1:]...), env...)
}

// workers starts a container of that pool.
func (c *daskCluster) workers(t *testing.T, shell []string, options Values, pool, container string, n int) *crew {
	t.Helper()
	f := c.facts
	f.Pool, f.Workers, f.Host = pool, n, "127.0.0.1"
	return c.run(t, dask{configured{options}}, managed.RoleWorker, f, shell, managed.EnvContainer+"="+container, managed.EnvWorkers+"="+strconv.Itoa(n))
}

func (c *daskCluster) dial(ctx context.Context, port string) (net.Conn, error) {
	number, ok := c.facts.Ports[port]
	if port == managed.PortMain {
		number, ok = c.facts.Port, true
	}
	if !ok {
		return nil, fmt.Errorf("there is no port %q", port)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
}

// registered are the workers of a pool as "container", "container busy", in order.
func (c *daskCluster) registered(t *testing.T, pool string) string {
	t.Helper()
	f := c.facts
	f.Pool = pool
	list, err := dask{}.RegisteredWorkers(t.Context(), c.dial, f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range list {
		if w.Workers != 1 {
			t.Errorf("%+v is not one worker", w)
		}
		if w.Busy {
			w.Container += " busy"
		}
		names = append(names, w.Container)
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

func (c *daskCluster) await(t *testing.T, pool, want string) {
	t.Helper()
	testenv.Eventually(t, want+" in "+pool, func() bool { return c.registered(t, pool) == want })
}

// identity is the scheduler's own account of its workers, by name.
func (c *daskCluster) identity(t *testing.T) map[string]map[string]any {
	t.Helper()
	var answer struct {
		Workers map[string]map[string]any `json:"workers"`
	}
	if err := newDaskHTTP(c.dial).get(t.Context(), "/json/identity.json", &answer); err != nil {
		t.Fatal(err)
	}
	named := map[string]map[string]any{}
	for _, w := range answer.Workers {
		named[fmt.Sprint(w["name"])] = w
	}
	return named
}

// python is a client: the framework's own code, and then more.
type python struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func (c *daskCluster) python(t *testing.T, more string) *python {
	t.Helper()
	code := dask{}.Client(managed.ClientFacts{Cluster: "sim", Host: "127.0.0.1", Port: c.facts.Port}).Python
	return startPython(t, code+more)
}

func startPython(t *testing.T, code string, env ...string) *python {
	t.Helper()
	cmd := exec.Command(testenv.SystemPython, "-c", code) // t.Context ends before the cleanup does
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		done := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer done.Stop()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("the client: %v", err)
		}
	})
	return &python{t, in, bufio.NewScanner(out)}
}

// line that the client prints next.
func (p *python) line() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("the client has ended: %v", p.out.Err())
	}
	return p.out.Text()
}

func (p *python) want(line string) {
	p.t.Helper()
	if got := p.line(); got != line {
		p.t.Fatalf("the client prints %q, want %q", got, line)
	}
}

func (p *python) tell(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// TestDaskServer in all shells, listening where it is told to.
func TestDaskServer(t *testing.T) {
	for name, shell := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := map[string]string{"sh": "127.0.0.1", "busybox": "0.0.0.0"}[name] // else all, of IPv6 as well
			c := startDask(t, shell, host, nil)
			for _, path := range []string{"/json/counts.json", "/api/v1", "/info/main/workers.html", "/metrics", "/sitemap.json"} {
				if err := newDaskHTTP(c.dial).get(t.Context(), path, nil); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
			var listens bool
			if conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.2", strconv.Itoa(c.facts.Ports[daskDashboard]))); err == nil {
				listens = true
				_ = conn.Close()
			}
			if want := name != "sh"; listens != want {
				t.Errorf("with host %q it listens on other addresses: %t", host, listens)
			}

			// The shell's code, unchanged, and a program that names no address.
			code := dask{}.Client(managed.ClientFacts{Cluster: "sim", Host: "127.0.0.1", Port: c.facts.Port}).Shell +
				testenv.SystemPython + ` -c "import distributed; print(distributed.Client().scheduler.address)"` +
				"\ndockerparallel_deregister; echo \"left:$DASK_SCHEDULER_ADDRESS\"\n"
			cmd := exec.Command(shell[0], append(slices.Clone(shell[1:]), "-c", code)...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
			if out, err := cmd.Output(); err != nil || string(out) != fmt.Sprintf("tcp://127.0.0.1:%d\nleft:\n", c.facts.Port) {
				t.Errorf("the shell's client prints %q, %v", out, err)
			}

			c.server.signal(t, syscall.SIGTERM)
			if code := c.server.wait(t, stopGrace); code != 0 {
				t.Errorf("exit code %d:\n%s", code, c.server.output)
			}
			if err := (dask{}).ProbeServer(t.Context(), c.dial, c.facts); managed.ClassOf(err) != managed.ClassTransient {
				t.Errorf("without a scheduler: %v", err)
			}
		})
	}
}

// TestDaskDashboardPortIsTaken: dask itself would take any other port.
func TestDaskDashboardPortIsTaken(t *testing.T) {
	testenv.Need(t, testenv.Dask)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal(l.Addr())
	}
	f := managed.Facts{Host: "127.0.0.1", Port: freePort(t), Ports: map[string]int{daskDashboard: taken.Port}}
	server := (&daskCluster{}).run(t, dask{}, managed.RoleServer, f, []string{"sh"})
	if code := server.wait(t, time.Minute); code == 0 || !strings.Contains(server.output.String(), fmt.Sprintf("port %d, for the dashboard, is in use", taken.Port)) {
		t.Errorf("exit code %d:\n%s", code, server.output)
	}
}

// TestDaskIdleTimeout: scheduler and workers leave by themselves, but not while
// a task runs or waits for a worker.
func TestDaskIdleTimeout(t *testing.T) {
	t.Parallel()
	c := startDask(t, []string{"sh"}, "127.0.0.1", Values{"idle_timeout": "12s"})
	p := c.python(t, `
import time
print(client.submit(lambda: time.sleep(13) or "done").result(), flush=True)
`)
	w := c.workers(t, []string{"sh"}, nil, "big", "a", 1)
	p.want("done")
	for _, container := range []*crew{c.server, w} {
		if code := container.wait(t, time.Minute); code != 0 {
			t.Errorf("exit code %d:\n%s", code, container.output)
		}
	}
}

// TestDaskWorkers: who is counted, what a worker gets, that work is done, and
// that a dead worker comes back.
func TestDaskWorkers(t *testing.T) {
	t.Parallel()
	c := startDask(t, []string{"sh"}, "127.0.0.1", nil)
	c.await(t, "big", "")
	dir := t.TempDir()
	shell := shells(t)
	for _, name := range []string{"dash", "busybox"} {
		if shell[name] == nil { // not on every machine
			shell[name] = shell["sh"]
		}
	}
	packed := c.workers(t, shell["dash"], nil, "big", "host-1", 3)
	// Names that could be taken for one another.
	other := c.workers(t, shell["sh"], Values{"nthreads": int64(2), "local_directory": dir, "death_timeout": "1m"}, "big", "host-1-0", 1)
	c.workers(t, shell["busybox"], nil, "bi", "host-1", 1)
	c.await(t, "big", "host-1,host-1,host-1,host-1-0")
	c.await(t, "bi", "host-1")

	for name, want := range map[string]string{
		"dockerparallel:ns:sim:big:host-1:worker-2": "1 5.36870912e+08 true",
		"dockerparallel:ns:sim:big:host-1-0":        "2 5.36870912e+08 true",
	} {
		w := c.identity(t)[name]
		own := strings.HasPrefix(fmt.Sprint(w["local_directory"]), dir) == strings.HasSuffix(name, "-1-0")
		if got := fmt.Sprint(w["nthreads"], " ", w["memory_limit"], " ", own); got != want {
			t.Errorf("%s has %q, want %q: %v", name, got, want, w)
		}
	}

	p := c.python(t, `
import os, time
print(sum(client.gather(client.map(lambda x: x * x, range(1000)))), flush=True)
addresses = list(client.scheduler_info()["workers"])
print(len(set(client.gather([client.submit(os.getpid, workers=[a], pure=False) for a in addresses]))), flush=True)
busy = client.submit(time.sleep, 3, workers=["dockerparallel:ns:sim:big:host-1-0"])
print("busy", flush=True)
busy.result()
print(client.submit(os.getpid, workers=["dockerparallel:ns:sim:big:host-1:worker-0"], pure=False).result(), flush=True)
dockerparallel_deregister()
`)
	p.want("332833500")
	p.want("5")
	p.want("busy")
	c.await(t, "big", "host-1,host-1,host-1,host-1-0 busy")
	c.await(t, "big", "host-1,host-1,host-1,host-1-0")

	// The nanny starts a worker that has died anew.
	pid, err := strconv.Atoi(p.line())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.await(t, "big", "host-1,host-1,host-1-0")
	c.await(t, "big", "host-1,host-1,host-1,host-1-0")

	// Nothing of a worker is to be reached from elsewhere.
	for _, w := range c.identity(t) {
		address := strings.TrimPrefix(fmt.Sprint(w["nanny"]), "tcp://")
		if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" {
			t.Errorf("a nanny listens on %q", address)
		}
	}
	for _, container := range []*crew{packed, other} {
		for _, pid := range container.session(t) {
			for _, address := range listening(t, pid) {
				if !strings.HasPrefix(address, "0100007F:") {
					t.Errorf("process %d listens on %s", pid, address)
				}
			}
		}
		container.signal(t, syscall.SIGTERM)
		if code := container.wait(t, time.Minute); code != 0 {
			t.Errorf("exit code %d:\n%s", code, container.output)
		}
	}
	c.await(t, "big", "")
}

// listening are the addresses, in hexadecimal, that a process listens on.
func listening(t *testing.T, pid int) (addresses []string) {
	t.Helper()
	sockets := map[string]bool{}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return nil // it has ended
	}
	for _, fd := range fds {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	for _, file := range []string{"tcp", "tcp6"} {
		table, err := os.ReadFile("/proc/net/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(table)) {
			if fields := strings.Fields(line); fields[3] == "0A" && sockets[fields[9]] {
				addresses = append(addresses, fields[1])
			}
		}
	}
	return addresses
}

// TestDaskWorkerWithoutScheduler gives up, and says so with its exit code.
func TestDaskWorkerWithoutScheduler(t *testing.T) {
	testenv.Need(t, testenv.Dask)
	t.Parallel()
	c := &daskCluster{facts: managed.Facts{Namespace: "ns", Cluster: "sim", Port: freePort(t), Hardware: managed.Hardware{CPU: 1024, Memory: 512}}}
	w := c.workers(t, []string{"sh"}, Values{"death_timeout": "1s"}, "big", "a", 2)
	if code := w.wait(t, time.Minute); code == 0 {
		t.Errorf("exit code 0:\n%s", w.output)
	}
	cmd := exec.Command("sh", "-c", daskWorker)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	var exit *exec.ExitError
	if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || !strings.Contains(string(out), daskScheduler) {
		t.Errorf("without its variables: %v: %s", err, out)
	}
}
