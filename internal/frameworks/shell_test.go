// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package frameworks

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// crew is a container of workers that a test has started with together.
type crew struct {
	cmd    *exec.Cmd
	output *testenv.Output
	exited chan struct{}
}

// startCrew runs so many workers, each with a script for sh in $1, after which
// come the arguments.
func startCrew(t *testing.T, shell []string, workers int, script string, args ...string) *crew {
	t.Helper()
	argv := append(append([]string{}, shell...), "-c", together(`sh -c "$1" "worker$worker" "$@"`), "crew", script)
	argv = append(argv, args...)
	return startContainer(t, argv, "PATH="+os.Getenv("PATH"), "DOCKERPARALLEL_WORKERS="+strconv.Itoa(workers))
}

// startContainer starts a program as the process backend does: in a session of
// its own, with nothing but env.
func startContainer(t *testing.T, argv []string, env ...string) *crew {
	t.Helper()
	c := &crew{cmd: exec.Command(argv[0], argv[1:]...), output: &testenv.Output{}, exited: make(chan struct{})}
	c.cmd.Env = env
	c.cmd.Dir = t.TempDir()
	c.cmd.Stdout, c.cmd.Stderr = c.output, c.output
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.cmd.WaitDelay = time.Second // for what a killed worker leaves
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	t.Cleanup(func() {
		for _, pid := range c.session(t) { // only after a failure is there anybody
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return c
}

// variablesOf are what a framework adds to a container's environment.
func variablesOf(fw managed.Framework, role managed.Role, f managed.Facts) (env []string) {
	added := fw.Environment(role, f)
	for name, value := range added.Plain {
		env = append(env, name+"="+value)
	}
	for name, value := range added.Secret {
		env = append(env, name+"="+value.Reveal())
	}
	return env
}

// session are the processes of the container.
func (c *crew) session(t *testing.T) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue
		}
		// The name, in brackets, can hold anything; state, parent, group and
		// session follow.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if fields[3] == strconv.Itoa(c.cmd.Process.Pid) && fields[0] != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// signal goes to the first process only, as on every backend.
func (c *crew) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// wait gives the exit code, and fails if anybody of the container is left.
func (c *crew) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-c.exited:
	case <-time.After(limit):
		t.Fatalf("it still runs after %s:\n%s", limit, c.output)
	}
	testenv.Eventually(t, "an empty session", func() bool { return len(c.session(t)) == 0 })
	return c.cmd.ProcessState.ExitCode()
}

func (c *crew) await(t *testing.T, text string, times int) {
	t.Helper()
	testenv.Eventually(t, strconv.Itoa(times)+" times "+text, func() bool { return strings.Count(c.output.String(), text) == times })
}

// obedient works until it is asked to stop, for which it takes a moment.
const obedient = `trap 'echo "$0 stops"; sleep 0.3; echo "$0 stopped"; exit 0' TERM
echo "$0 runs"
while :; do sleep 0.1; done`

func TestTogether(t *testing.T) {
	for name, shell := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("one is the first process", func(t *testing.T) {
				t.Parallel()
				c := startCrew(t, shell, 1, `echo "$0 is $$ and has $2"; exit 7`, "a b")
				if code := c.wait(t, time.Minute); code != 7 {
					t.Errorf("exit code %d", code)
				}
				if want := "worker1 is " + strconv.Itoa(c.cmd.Process.Pid) + " and has a b\n"; c.output.String() != want {
					t.Errorf("got %q, want %q", c.output, want)
				}
			})
			for what, signal := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
				t.Run(what+" stops all", func(t *testing.T) {
					t.Parallel()
					c := startCrew(t, shell, 3, obedient)
					c.await(t, "runs", 3)
					c.signal(t, signal)
					c.await(t, "stops", 3)
					c.signal(t, signal) // nobody gets a second one
					if code := c.wait(t, time.Minute); code != 0 {
						t.Errorf("exit code %d:\n%s", code, c.output)
					}
					for _, line := range []string{"worker1 stopped", "worker2 stopped", "worker3 stopped"} {
						if n := strings.Count(c.output.String(), line); n != 1 {
							t.Errorf("%d times %q:\n%s", n, line, c.output)
						}
					}
					if strings.Count(c.output.String(), "stops") != 3 {
						t.Errorf("a worker was signalled twice:\n%s", c.output)
					}
				})
			}
			t.Run("a signal at the very start", func(t *testing.T) {
				t.Parallel()
				var crews []*crew
				for i := range 6 {
					c := startCrew(t, shell, 3, obedient)
					time.Sleep(time.Duration(i) * 2 * time.Millisecond)
					c.signal(t, syscall.SIGTERM)
					crews = append(crews, c)
				}
				for _, c := range crews {
					c.wait(t, time.Minute) // whatever it says: nobody is left
				}
			})
			t.Run("one that fails ends all", func(t *testing.T) {
				t.Parallel()
				c := startCrew(t, shell, 3, `if [ "$0" = worker2 ]; then sleep 0.5; exit 3; fi; `+obedient)
				if code := c.wait(t, time.Minute); code != 3 {
					t.Errorf("exit code %d:\n%s", code, c.output)
				}
				c.await(t, "stopped", 2)
			})
			t.Run("one that is killed ends all", func(t *testing.T) {
				t.Parallel()
				c := startCrew(t, shell, 3, `if [ "$0" = worker3 ]; then kill -KILL $$; fi; `+obedient)
				if code := c.wait(t, time.Minute); code != 128+int(syscall.SIGKILL) {
					t.Errorf("exit code %d:\n%s", code, c.output)
				}
				c.await(t, "stopped", 2)
			})
			t.Run("a failure while stopping is told", func(t *testing.T) {
				t.Parallel()
				c := startCrew(t, shell, 2, `[ "$0" = worker1 ] || trap 'exit 5' TERM; [ "$0" = worker1 ] && trap 'exit 0' TERM; echo runs; while :; do sleep 0.1; done`)
				c.await(t, "runs", 2)
				c.signal(t, syscall.SIGTERM)
				if code := c.wait(t, time.Minute); code != 5 {
					t.Errorf("exit code %d:\n%s", code, c.output)
				}
			})
			t.Run("those that are done leave the others alone", func(t *testing.T) {
				t.Parallel()
				c := startCrew(t, shell, 3, `trap 'echo told' TERM; [ "$0" = worker1 ] || sleep 3; echo "$0 is done"`)
				if code := c.wait(t, time.Minute); code != 0 {
					t.Errorf("exit code %d:\n%s", code, c.output)
				}
				if got := c.output.String(); strings.Count(got, "is done") != 3 || strings.Contains(got, "told") {
					t.Errorf("got %q", got)
				}
			})
			t.Run("no program", func(t *testing.T) {
				t.Parallel()
				for _, workers := range []string{"1", "2"} {
					cmd := exec.Command(shell[0], append(append([]string{}, shell[1:]...), "-c", together("/nonexistent/program"))...)
					cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "DOCKERPARALLEL_WORKERS=" + workers}
					out, err := cmd.CombinedOutput()
					var exit *exec.ExitError
					if !errors.As(err, &exit) || exit.ExitCode() != 127 || !strings.Contains(string(out), "/nonexistent/program") {
						t.Errorf("%s workers: %v: %s", workers, err, out)
					}
				}
			})
		})
	}
}
