// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package frameworks

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// celeryTasks is an app as people write it. It names no server.
const celeryTasks = `import time
from celery import Celery

app = Celery("tasks")

@app.task
def add(x, y):
    return x + y

@app.task
def nap(name, seconds, log):
    with open(log, "a") as f:
        f.write("begin %s\n" % name)
    time.sleep(seconds)
    with open(log, "a") as f:
        f.write("end %s\n" % name)
`

// celeryWorld is a server, and a folder with the app.
type celeryWorld struct {
	*redisProcess
	dir string
}

func newCeleryWorld(t *testing.T) *celeryWorld {
	t.Helper()
	testenv.Need(t, testenv.Redis, testenv.Celery)
	w := &celeryWorld{redisProcess: startRedis(t, []string{"sh"}, nastyPassword), dir: t.TempDir()}
	w.facts.Host = "127.0.0.1"
	if err := os.WriteFile(filepath.Join(w.dir, "tasks.py"), []byte(celeryTasks), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// of is the framework and the facts of a pool with options beside the app.
func (w *celeryWorld) of(pool string, options Values) (celery, managed.Facts) {
	v := Values{"app": "tasks"}
	for name, value := range options {
		v[name] = value
	}
	f := w.facts
	f.Pool = pool
	return celery{configured: configured{v}}, f
}

// start runs a container of a pool as a backend would, with these variables
// beside those that it has anyway.
func (w *celeryWorld) start(t *testing.T, fw celery, f managed.Facts, container string, workers int, more ...string) *crew {
	t.Helper()
	f.Workers = workers
	env := slices.Concat([]string{
		"PATH=" + filepath.Dir(testenv.SystemPython) + ":/bin", "PYTHONPATH=" + w.dir, "HOME=" + w.dir, "PYTHONDONTWRITEBYTECODE=1",
		managed.EnvContainer + "=" + container, managed.EnvWorkers + "=" + strconv.Itoa(workers),
	}, more, variablesOf(fw, managed.RoleWorker, f))
	return startContainer(t, fw.Defaults(managed.RoleWorker).Command, env...)
}

func (w *celeryWorld) workers(t *testing.T, fw celery, f managed.Facts) []managed.RegisteredWorker {
	t.Helper()
	all, err := fw.RegisteredWorkers(t.Context(), w.dial, f)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// await waits until the pool has exactly these.
func (w *celeryWorld) await(t *testing.T, fw celery, f managed.Facts, want ...managed.RegisteredWorker) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("%v in pool %s", want, f.Pool), func() bool { return slices.Equal(w.workers(t, fw, f), want) })
}

// python runs the client's code, and then lines that use it.
func (w *celeryWorld) python(t *testing.T, lines string) string {
	t.Helper()
	code := celery{}.Client(managed.ClientFacts{Cluster: "sim", Host: "127.0.0.1", Port: w.facts.Port}).Python
	return w.run(t, testenv.SystemPython, "-c", code+lines)
}

func (w *celeryWorld) run(t *testing.T, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{
		"PATH=" + filepath.Dir(testenv.SystemPython) + ":/bin", "PYTHONPATH=" + w.dir, "PYTHONDONTWRITEBYTECODE=1",
		managed.PasswordVariable + "=" + nastyPassword,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// naps sends so many tasks, which write into the file whose name comes back.
func (w *celeryWorld) naps(t *testing.T, queue string, n int, seconds float64) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	w.python(t, fmt.Sprintf("for n in range(%d):\n    dockerparallel_app.send_task(\"tasks.nap\", [n, %g, %q], queue=%q)\n", n, seconds, log, queue))
	return log
}

// count is how many tasks have written that word.
func count(t *testing.T, log, word string) int {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(b), word+" ")
}

// noTaskLost: each task was done, once, or waits in its queue, and no server
// holds one as if somebody still worked on it.
func (w *celeryWorld) noTaskLost(t *testing.T, queue, log string, want int) {
	t.Helper()
	r := w.client(t, "")
	waiting, err := r.LLen(t.Context(), queue).Result()
	if err != nil {
		t.Fatal(err)
	}
	held, err := r.HLen(t.Context(), "unacked").Result()
	if err != nil {
		t.Fatal(err)
	}
	begun, ended := count(t, log, "begin"), count(t, log, "end")
	if begun != ended || ended+int(waiting) != want || held != 0 {
		t.Errorf("of %d tasks, %d have begun, %d have ended, %d wait and %d are held", want, begun, ended, waiting, held)
	}
}

// TestCeleryWorkers has two pools and a stranger on one server.
func TestCeleryWorkers(t *testing.T) {
	t.Parallel()
	w := newCeleryWorld(t)
	big, bigFacts := w.of("big", nil)
	threads, threadsFacts := w.of("bigger", Values{"pool": "threads", "queues": []string{"gpu", "sim"}, "log_level": "INFO"})
	if all := w.workers(t, big, bigFacts); len(all) != 0 {
		t.Errorf("nobody has come, but %v are registered", all)
	}
	first := w.start(t, big, bigFacts, "box-1_a.b", 3)
	second := w.start(t, big, bigFacts, "box-2", 1)
	w.start(t, threads, threadsFacts, "box-3", 2)
	other := bigFacts
	other.Namespace = "other"
	w.start(t, big, other, "box-4", 1)

	idle := []managed.RegisteredWorker{{Container: "box-1_a.b", Workers: 3}, {Container: "box-2", Workers: 1}}
	w.await(t, big, bigFacts, idle...)
	w.await(t, threads, threadsFacts, managed.RegisteredWorker{Container: "box-3", Workers: 2})
	w.await(t, big, other, managed.RegisteredWorker{Container: "box-4", Workers: 1})

	// Results come back, whichever pool does it.
	out := w.python(t, `
import sys
from tasks import add
print(dockerparallel_app.send_task("tasks.add", [1, 2], queue="gpu").get(timeout=20), add.delay(3, 4).get(timeout=20))
dockerparallel_deregister()
import os
print([name for name in os.environ if name.startswith("CELERY")])
`)
	if out != "3 7\n[]\n" {
		t.Errorf("the client printed %q", out)
	}

	log := w.naps(t, "sim", 1, 3)
	w.await(t, threads, threadsFacts, managed.RegisteredWorker{Container: "box-3", Workers: 2, Busy: true})
	if all := w.workers(t, big, bigFacts); !slices.Equal(all, idle) {
		t.Errorf("another pool is busy, but this one is %v", all)
	}
	testenv.Eventually(t, "the end of the task", func() bool { return count(t, log, "end") == 1 })
	w.await(t, threads, threadsFacts, managed.RegisteredWorker{Container: "box-3", Workers: 2})

	// Celery itself replaces a process of a pool that has crashed.
	children := func() []int {
		return slices.DeleteFunc(second.session(t), func(pid int) bool { return pid == second.cmd.Process.Pid })
	}
	before := children()
	if len(before) != 1 {
		t.Fatalf("a node with one worker has the processes %v", before)
	}
	_ = syscall.Kill(before[0], syscall.SIGKILL)
	testenv.Eventually(t, "another process", func() bool {
		now := children()
		return len(now) == 1 && now[0] != before[0]
	})
	w.await(t, big, bigFacts, idle...)

	// A node that was killed leaves its mailbox there, and is waited for only
	// shortly.
	for _, pid := range first.session(t) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	begin := time.Now()
	w.await(t, big, bigFacts, managed.RegisteredWorker{Container: "box-2", Workers: 1})
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("asking a pool with a dead node took %s", took)
	}

	for _, form := range passwordForms(nastyPassword) {
		if strings.Contains(first.output.String(), form) {
			t.Errorf("a worker has printed the password: %s", first.output)
		}
	}

	bigFacts.Password = "wrong"
	if _, err := big.RegisteredWorkers(t.Context(), w.dial, bigFacts); managed.ClassOf(err) != managed.ClassPermission {
		t.Errorf("with the wrong password: %v", err)
	}
}

// TestCeleryLeavesNothing: no key of ours stays in Redis after a call, not even
// if the call was cut off.
func TestCeleryLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newCeleryWorld(t)
	fw, f := w.of("big", nil)
	r := w.client(t, "")
	// The mailbox of a node that was killed: a call waits for its answer.
	if err := r.SAdd(t.Context(), celeryBindings+celeryMailbox, celeryMark+celeryMark+"default.sim.big@dead."+celeryMailbox).Err(); err != nil {
		t.Fatal(err)
	}
	ours := func() []string {
		keys, err := r.Keys(t.Context(), "*dockerparallel*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	cut := func(ctx context.Context, port string) (net.Conn, error) {
		conn, err := w.dial(ctx, port)
		if err == nil {
			time.AfterFunc(500*time.Millisecond, func() { _ = conn.Close() })
		}
		return conn, err
	}
	if _, err := fw.RegisteredWorkers(t.Context(), cut, f); managed.ClassOf(err) != managed.ClassTransient {
		t.Errorf("a call that was cut off: %v", err)
	}
	// Nor does a call outlive its context.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := fw.RegisteredWorkers(ctx, w.dial, f); err == nil || time.Since(begin) > 10*time.Second {
		t.Errorf("a call whose time was over ended after %s: %v", time.Since(begin), err)
	}
	keys := ours()
	if len(keys) < 2 {
		t.Fatalf("a call that was cut off has left %q; the test expects an exchange and a queue", keys)
	}
	for _, key := range keys {
		if left, err := r.TTL(t.Context(), key).Result(); err != nil || left <= 0 || left > celeryExpiry+celeryLate {
			t.Errorf("%s expires in %s, %v", key, left, err)
		}
	}
	if err := r.Del(t.Context(), keys...).Err(); err != nil {
		t.Fatal(err)
	}
	if all := w.workers(t, fw, f); len(all) != 0 {
		t.Errorf("a dead node counts: %v", all)
	}
	if err := fw.Drain(t.Context(), w.dial, f, []string{"dead"}); err == nil || !strings.Contains(err.Error(), "1 of 1") {
		t.Errorf("draining a dead node: %v", err)
	}
	testenv.Eventually(t, "no key of ours in Redis", func() bool { return len(ours()) == 0 })
}

// TestCeleryStops: the stop signal comes during a task, which ends well; those
// that were fetched but not begun go back to the queue.
func TestCeleryStops(t *testing.T) {
	t.Parallel()
	for _, pool := range []string{celeryPrefork, "threads"} {
		t.Run(pool, func(t *testing.T) {
			t.Parallel()
			w := newCeleryWorld(t)
			fw, f := w.of("big", Values{"pool": pool})
			c := w.start(t, fw, f, "box", 1)
			w.await(t, fw, f, managed.RegisteredWorker{Container: "box", Workers: 1})
			const tasks = 12
			log := w.naps(t, celeryQueue, tasks, 0.7)
			testenv.Eventually(t, "a task that has begun", func() bool { return count(t, log, "begin") > 0 })
			time.Sleep(300 * time.Millisecond) // in the middle of it
			c.signal(t, syscall.SIGTERM)
			if code := c.wait(t, time.Minute); code != 0 {
				t.Errorf("exit code %d:\n%s", code, c.output)
			}
			if n := count(t, log, "end"); n == tasks {
				t.Error("all tasks were done: the test was too slow to see any go back")
			}
			w.noTaskLost(t, celeryQueue, log, tasks)
		})
	}
}

// TestCeleryDrains: nothing is lost while tasks keep coming, which is when a
// signal alone may lose one.
func TestCeleryDrains(t *testing.T) {
	t.Parallel()
	w := newCeleryWorld(t)
	fw, f := w.of("big", Values{"queues": []string{"gpu", celeryQueue}})
	c := w.start(t, fw, f, "box", 2)
	other := w.start(t, fw, f, "stays", 1)
	both := []managed.RegisteredWorker{{Container: "box", Workers: 2}, {Container: "stays", Workers: 1}}
	w.await(t, fw, f, both...)

	const tasks = 1200
	var log string
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		log = w.naps(t, celeryQueue, tasks, 0)
	}()
	time.Sleep(time.Second)
	// An update that changes the options drains those who have the old ones.
	updated, _ := w.of("big", Values{"queues": []string{"other"}, "pool": celerySolo})
	if err := updated.Drain(t.Context(), w.dial, f, []string{"box", "gone"}); err != nil {
		t.Errorf("draining: %v", err)
	}
	c.signal(t, syscall.SIGTERM)
	if code := c.wait(t, time.Minute); code != 0 {
		t.Errorf("exit code %d:\n%s", code, c.output)
	}
	<-sent
	testenv.Eventually(t, "the end of all tasks", func() bool { return count(t, log, "end") == tasks })
	w.noTaskLost(t, celeryQueue, log, tasks)
	w.await(t, fw, f, both[1])
	other.signal(t, syscall.SIGKILL)
	if err := fw.Drain(t.Context(), w.dial, f, []string{"nobody"}); err != nil {
		t.Errorf("draining nobody: %v", err)
	}
}

// TestCelerySolo has two nodes in a container. A node with a task is silent,
// which has to be understood.
func TestCelerySolo(t *testing.T) {
	t.Parallel()
	w := newCeleryWorld(t)
	fw, f := w.of("big", Values{"pool": celerySolo})
	c := w.start(t, fw, f, "box", 2)
	idle := managed.RegisteredWorker{Container: "box", Workers: 1}
	w.await(t, fw, f, idle, idle)
	const tasks = 12
	log := w.naps(t, celeryQueue, tasks, 1.5)
	testenv.Eventually(t, "two tasks at once", func() bool { return count(t, log, "begin") == 2 })
	busy := idle
	busy.Busy = true
	updated, _ := w.of("big", Values{"queues": []string{"other"}})
	if all := w.workers(t, updated, f); !slices.Equal(all, []managed.RegisteredWorker{busy, busy}) {
		t.Errorf("both nodes have a task, but they are taken for %v", all)
	}
	if err := updated.Drain(t.Context(), w.dial, f, []string{"box"}); err != nil {
		t.Errorf("draining: %v", err)
	}
	if begun, ended := count(t, log, "begin"), count(t, log, "end"); begun != ended || ended == tasks {
		t.Errorf("drained, of %d tasks %d have begun and %d have ended", tasks, begun, ended)
	}
	c.signal(t, syscall.SIGTERM)
	if code := c.wait(t, time.Minute); code != 0 {
		t.Errorf("exit code %d:\n%s", code, c.output)
	}
	w.noTaskLost(t, celeryQueue, log, tasks)
}

// TestCeleryEnvironment: the cluster's server goes before whatever an image or
// an app says, but for a backend that the app is made with.
func TestCeleryEnvironment(t *testing.T) {
	t.Parallel()
	w := newCeleryWorld(t)
	app := strings.Replace(celeryTasks, `Celery("tasks")`, `Celery("tasks", broker="redis://nowhere.invalid/3")
app.conf.update(broker_url="redis://nowhere.invalid/4", result_backend="redis://nowhere.invalid/5")`, 1)
	if err := os.WriteFile(filepath.Join(w.dir, "elsewhere.py"), []byte(app), 0o600); err != nil {
		t.Fatal(err)
	}
	// A Python without Celery, which a person may have put before Debian's.
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "python3"), []byte("#!/bin/sh\nexec "+testenv.SystemPython+" -S \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	fw, f := w.of("big", Values{"app": "elsewhere:app"})
	c := w.start(t, fw, f, "box", 1, "PATH="+other+":"+filepath.Dir(testenv.SystemPython)+":/bin", "BROKER_URL=redis://nowhere.invalid/6", "RESULT_BACKEND=redis://nowhere.invalid/7")
	w.await(t, fw, f, managed.RegisteredWorker{Container: "box", Workers: 1})
	if out := w.python(t, "print(dockerparallel_app.send_task('elsewhere.add', [20, 22]).get(timeout=20))"); out != "42\n" {
		t.Errorf("the client printed %q", out)
	}

	// The shell's way.
	code := celery{}.Client(managed.ClientFacts{Cluster: "sim", Host: "127.0.0.1", Port: w.facts.Port}).Shell
	url := fw.URL("127.0.0.1", w.facts.Port, nastyPassword)
	for name, shell := range shells(t) {
		out := w.run(t, append(append([]string{}, shell...), "-c", code+"env\n")...)
		if !strings.Contains(out, "CELERY_BROKER_URL="+url+"\n") || !strings.Contains(out, "CELERY_RESULT_BACKEND="+url+"\n") {
			t.Errorf("%s exports %q", name, out)
		}
	}
	out := w.run(t, "sh", "-c", code+`celery() { python3 -m celery "$@"; }
celery --app tasks inspect ping
celery result "`+"`celery call elsewhere.add --args='[1, 6]'`"+`"
dockerparallel_deregister
echo "left:$CELERY_BROKER_URL$CELERY_RESULT_BACKEND"
`)
	if !strings.Contains(out, "default.sim.big@box: OK") || !strings.HasSuffix(out, "\n7\nleft:\n") {
		t.Errorf("the shell printed %q", out)
	}
	c.signal(t, syscall.SIGTERM)
	if code := c.wait(t, time.Minute); code != 0 {
		t.Errorf("exit code %d:\n%s", code, c.output)
	}
}
