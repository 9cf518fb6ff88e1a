// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// pythonFramework is a framework whose real programs do real work here.
type pythonFramework struct {
	name string
	part testenv.Part
	// options of the pool, and whether there is a password to export.
	options  string
	password bool
	// count prints how many workers the framework's own tools see.
	count string
	// countsDead: its registry keeps workers that were killed for a while.
	countsDead bool
	// submit is the beginning of a job: it defines send(i), which has task i
	// done, and result(x), which gives the result of what send returned, or
	// None as long as there is none.
	submit string
}

func pythonFrameworks() []pythonFramework {
	return []pythonFramework{
		{
			name: "rq", part: testenv.RQ, password: true, countsDead: true,
			count: "from rq import Worker\nprint(Worker.count(connection=connection))",
			submit: `
import tasks
def send(i): return queue.enqueue(tasks.work, i, duration)
def result(job):
    job.refresh()
    return job.result
`,
		},
		{
			name: "celery", part: testenv.Celery, password: true, options: `celery = { app = "tasks" }`,
			count: "import tasks\nprint(sum(len(s['pool']['processes']) for s in tasks.app.control.inspect(timeout=3).stats().values()))",
			submit: `
import tasks
def send(i): return tasks.work_task.delay(i, duration)
def result(r): return r.get(timeout=0.2) if r.ready() else None
`,
		},
		{
			name: "dask", part: testenv.Dask,
			count: "print(len(client.scheduler_info()['workers']))",
			submit: `
import tasks
def send(i): return client.submit(tasks.work, i, duration, pure=False)
def result(f): return f.result() if f.done() else None
`,
		},
	}
}

// tasksModule is the user's code, which workers and clients have. A task notes
// that it was begun and that it was finished. With a negative duration it lasts
// until the test releases it.
const tasksModule = `import os, time, uuid

def note(what, i):
    path = os.path.join(os.environ["NOTES"], "%s-%d-%s" % (what, i, uuid.uuid4().hex))
    open(path, "w").close()

def work(i, duration):
    note("begun", i)
    time.sleep(max(duration, 0))
    while duration < 0 and not os.path.exists(os.path.join(os.environ["NOTES"], "..", "release")):
        time.sleep(0.05)
    note("done", i)
    return i * i

try:
    import celery
    app = celery.Celery("tasks")
    work_task = app.task(work, name="tasks.work")
except ImportError:
    pass
`

// jobEnd waits for all results. What was lost with a killed worker is sent
// again once nothing has come for a while, as a careful client would.
const jobEnd = `
import sys, time
n = int(sys.argv[1]); again = sys.argv[3] == "again"
sent = {i: send(i) for i in range(n)}
print("submitted", flush=True)
results, last = {}, time.time()
while len(results) < n:
    for i in range(n):
        if i not in results:
            r = result(sent[i])
            if r is not None:
                results[i], last = r, time.time()
    if again and time.time() - last > 4:
        for i in range(n):
            if i not in results:
                sent[i] = send(i)
        last = time.time()
    time.sleep(0.05)
print("sum", sum(results.values()), flush=True)
`

// frameworkWorld is a cluster of a framework on a backend, with its client.
type frameworkWorld struct {
	*world
	pythonFramework
	folder string // of the user's code and notes, as the client sees it
	// provider's block, and what the roles' containers have beside the framework.
	provider, server, worker string
	// kill a container from outside by its handle.
	kill func(handle string)
	// credentials runs the provider's own command.
	credentials func() string
	// described is what the backend tells anyone of the containers.
	described func() string
	nothing   func()
}

// newFrameworkWorld puts the user's code where workers and client have it.
func newFrameworkWorld(t *testing.T, w *world, f pythonFramework) *frameworkWorld {
	t.Helper()
	fw := &frameworkWorld{world: w, pythonFramework: f, folder: filepath.Join(filepath.Dir(w.dir), "app")}
	must(t, os.MkdirAll(filepath.Join(fw.folder, "notes"), 0o777))
	must(t, os.Chmod(filepath.Join(fw.folder, "notes"), 0o777)) //nolint:gosec // containers may have other users
	must(t, os.WriteFile(filepath.Join(fw.folder, "tasks.py"), []byte(tasksModule), 0o644))
	w.variables = []string{systemPath(), "TF_LOG_PROVIDER=INFO", "TF_LOG_PATH=" + filepath.Join(w.dir, "provider.log")}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		said, _ := os.ReadFile(filepath.Join(w.dir, "provider.log"))
		t.Logf("what the provider said:\n%s", said)
	})
	return fw
}

// systemPath has the system's own programs found first: another Python has
// other packages.
func systemPath() string { return "PATH=/usr/bin:/bin:" + os.Getenv("PATH") }

func onProcess(t *testing.T, f pythonFramework) *frameworkWorld {
	w := newFrameworkWorld(t, newWorld(t), f)
	w.provider = fmt.Sprintf("provider \"dockerparallel\" {\n  owner = \"acc\"\n  process = { root = %q }\n}\n", w.root)
	w.server = "port = 0"
	w.worker = fmt.Sprintf("container = { environment = { PYTHONPATH = %q, NOTES = %q, VERSION = var.release } }", w.folder, filepath.Join(w.folder, "notes"))
	w.kill = func(handle string) {
		pid, err := strconv.Atoi(strings.Split(handle, "-")[0])
		must(t, err)
		must(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	w.credentials = func() string { return w.world.self("credentials", "sim").out }
	w.described = func() string { return w.world.self("list", "--json", "--containers").out }
	w.nothing = w.nothingLeft
	return w
}

func onDocker(t *testing.T, f pythonFramework, image string) *frameworkWorld {
	d := newDockerWorld(t)
	w := newFrameworkWorld(t, d.world, f)
	w.provider = d.provider(`owner = "acc"`)
	w.server = fmt.Sprintf("container = { image = %q }\n    publish = { port = 0%s }", image, map[bool]string{true: ", ports = { dashboard = 0 }"}[f.name == "dask"])
	w.worker = fmt.Sprintf(`container = { image = %q, environment = { PYTHONPATH = "/app", NOTES = "/app/notes", VERSION = var.release } }
  docker = { mounts = [{ type = "bind", source = %q, target = "/app" }] }`, image, w.folder)
	w.kill = func(handle string) { d.docker("kill", handle) }
	w.credentials = func() string { return d.self("credentials", "sim", "--namespace", d.namespace).out }
	w.described = func() string { return shown(t, d.all("")) }
	w.nothing = d.nothingLeft
	return w
}

func (w *frameworkWorld) configure(workers int, release string) {
	w.t.Helper()
	w.write(w.cluster("") + fmt.Sprintf(`
variable "release" { default = %q }
resource "dockerparallel_worker_pool" "workers" {
  cluster_id        = dockerparallel_cluster.sim.id
  worker_count      = %d
  wait_for          = "registered"
  scale_in          = "idle"
  stop_grace_period = "60s"
  %s
  %s
}
output "worker" { value = dockerparallel_worker_pool.workers.handles[0] }
`, release, workers, w.options, w.worker))
}

// cluster is the configuration without workers, with more arguments.
func (w *frameworkWorld) cluster(more string) string {
	return requireProvider + w.provider + fmt.Sprintf(`
resource "dockerparallel_cluster" "sim" {
  name      = "sim"
  framework = %q
  %s
  server = {
    %s
  }
}
output "python" { value = dockerparallel_cluster.sim.client.python }
output "server" { value = dockerparallel_cluster.sim.server_handle }
output "dashboard" { value = lookup(dockerparallel_cluster.sim.exports, "dashboard", "") }
`, w.name, more, w.server)
}

// python runs the cluster's own client code, unchanged, with more after it.
func (w *frameworkWorld) python(ctx context.Context, code string, args ...string) *exec.Cmd {
	w.t.Helper()
	file, err := os.CreateTemp(w.folder, "client-*.py")
	must(w.t, err)
	_, err = file.WriteString(w.output("python") + "\n" + code)
	must(w.t, err)
	must(w.t, file.Close())
	c := exec.CommandContext(ctx, testenv.SystemPython, append([]string{file.Name()}, args...)...)
	c.Env = append(os.Environ(), "PYTHONPATH="+w.folder, "NOTES="+filepath.Join(w.folder, "notes"), "PYTHONDONTWRITEBYTECODE=1")
	if w.password {
		c.Env = append(c.Env, "DOCKERPARALLEL_PASSWORD="+passwordOf(w.t, w.credentials(), ""))
	}
	c.WaitDelay = 5 * time.Second
	return c
}

// sees fails the test unless the framework's own tools see so many workers
// within a bounded time.
func (w *frameworkWorld) sees(workers int) {
	w.t.Helper()
	var out []byte
	deadline := time.Now().Add(90 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
		var err error
		out, err = w.python(ctx, w.count).CombinedOutput()
		cancel()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if err == nil && lines[len(lines)-1] == strconv.Itoa(workers) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s itself sees other workers than the %d that the provider has: %v\n%s", w.name, workers, err, out)
		}
	}
}

// answers fails the test unless that page can be had from here.
func (w *frameworkWorld) answers(page string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, page, nil)
	must(w.t, err)
	resp, err := http.DefaultClient.Do(req)
	must(w.t, err)
	must(w.t, resp.Body.Close())
	if resp.StatusCode != http.StatusOK {
		w.t.Errorf("%s answers %s", page, resp.Status)
	}
}

// job is a client at work.
type job struct {
	w    *frameworkWorld
	n    int
	out  testenv.Output
	done chan error
	stop context.CancelFunc
}

// start submits n tasks of so many seconds and returns once they are.
func (w *frameworkWorld) start(n int, seconds float64, again bool) *job {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	j := &job{w: w, n: n, done: make(chan error, 1), stop: cancel}
	mode := "once"
	if again {
		mode = "again"
	}
	c := w.python(ctx, "duration = "+strconv.FormatFloat(seconds, 'f', -1, 64)+w.submit+jobEnd, strconv.Itoa(n), "-", mode)
	c.Stdout, c.Stderr = &j.out, &j.out
	must(w.t, c.Start())
	go func() { j.done <- c.Wait(); cancel() }()
	testenv.Eventually(w.t, "the job is submitted", func() bool { return strings.Contains(j.out.String(), "submitted") })
	return j
}

// wait fails the test unless the job ends with the right result.
func (j *job) wait() {
	j.w.t.Helper()
	want := 0
	for i := range j.n {
		want += i * i
	}
	if err := <-j.done; err != nil || !strings.Contains(j.out.String(), "sum "+strconv.Itoa(want)+"\n") {
		j.w.t.Fatalf("the job ended with %v, and its sum is not %d:\n%s", err, want, j.out.String())
	}
}

// begun waits until a task has.
func (w *frameworkWorld) begun() {
	w.t.Helper()
	testenv.Eventually(w.t, "a task has begun", func() bool {
		entries, err := os.ReadDir(filepath.Join(w.folder, "notes"))
		return err == nil && len(entries) > 0
	})
}

// noted tells how often tasks were begun and finished since the last time.
func (w *frameworkWorld) noted() (begun, done int) {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.folder, "notes"))
	must(w.t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "begun") {
			begun++
		} else {
			done++
		}
		must(w.t, os.Remove(filepath.Join(w.folder, "notes", e.Name())))
	}
	return begun, done
}

// hidesPassword fails the test if the password is where it must not be. As root
// sees the arguments of processes in containers, too, no place is left out.
func (w *frameworkWorld) hidesPassword(out string) {
	w.t.Helper()
	places := contents{"the output of Terraform": out, "what the backend describes": w.described()}
	places.read(w.t, w.dir, "terraform.tfstate", "trace.log")
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(w.t, err)
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			places[file] = string(b)
		}
	}
	places.lack(w.t, 10, passwordOf(w.t, w.credentials(), ""))
}
