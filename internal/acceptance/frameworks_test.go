// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// life is what a person does with a cluster.
func (w *frameworkWorld) life() {
	w.configure(2, "1")
	usual := w.variables
	w.variables = append(slices.Clone(usual), "TF_LOG=TRACE", "TF_LOG_PROVIDER=TRACE", "TF_LOG_PATH="+filepath.Join(w.dir, "trace.log"))
	out := w.apply()
	w.variables = usual
	w.emptyPlan()
	w.sees(2)
	if page := w.output("dashboard"); w.name == "dask" {
		w.answers(strings.Replace(page, "/status", "/health", 1))
	}
	if w.password {
		w.hidesPassword(out + w.mustRun("show", "-no-color"))
	}

	// Scaled up while it works, and a worker killed: the job is done.
	j := w.start(60, 0.3, true)
	w.configure(4, "1")
	w.apply()
	w.sees(4)
	w.kill(w.output("worker"))
	j.wait()
	w.apply() // heals
	if !w.countsDead {
		w.sees(4)
	}
	w.noted()

	// Idle workers leave first. A server may learn a moment late who is busy: who
	// is chosen all the same finishes its task, which ends before its grace.
	j = w.start(2, -1, false)
	w.begun()
	release := func() { _ = os.WriteFile(filepath.Join(w.folder, "release"), nil, 0o600) }
	late := time.AfterFunc(20*time.Second, release)
	defer late.Stop()
	w.configure(3, "1")
	w.apply()
	release()
	j.wait()
	if begun, done := w.noted(); begun != 2 || done != 2 {
		w.t.Errorf("2 tasks were begun %d times and finished %d times while idle workers left", begun, done)
	}

	// Scaled in and then updated while it works: each task is done once.
	j = w.start(30, 1, false)
	w.configure(2, "1")
	w.apply()
	w.configure(2, "2")
	w.apply()
	j.wait()
	if begun, done := w.noted(); begun != 30 || done != 30 {
		w.t.Errorf("30 tasks were begun %d times and finished %d times while workers left", begun, done)
	}

	// A dead server: one apply later the workers are registered with the new one.
	w.kill(w.output("server"))
	w.apply()
	w.emptyPlan()
	w.sees(2)
	w.start(4, 0.1, false).wait()

	// A new password: one apply later server and workers have it.
	if w.password {
		before := passwordOf(w.t, w.credentials(), "")
		w.write(strings.Replace(w.read(), `name      = "sim"`, "name      = \"sim\"\n  password_wo_version = 1", 1))
		out = w.apply()
		if passwordOf(w.t, w.credentials(), "") == before {
			w.t.Error("the password is the old one")
		}
		w.emptyPlan()
		w.sees(2)
		w.start(4, 0.1, false).wait()
		w.hidesPassword(out)
	}

	// Removed while it works: what has begun ends, the rest waits.
	j = w.start(60, 0.5, false)
	w.begun()
	w.mustRun("destroy", "-target=dockerparallel_worker_pool.workers", "-auto-approve", "-no-color", "-input=false")
	j.stop()
	if begun, done := w.noted(); begun != done || begun == 60 {
		w.t.Errorf("of 60 tasks, %d were begun and %d finished when their pool was destroyed", begun, done)
	}

	w.destroy()
	w.nothing()
}

// batch is a pool that leaves by itself when the work is done.
func (w *frameworkWorld) batch() {
	w.write(w.cluster(""))
	w.apply()
	for _, args := range [][]string{nil, {"-replace=dockerparallel_worker_pool.batch"}} {
		j := w.start(6, 0.5, false)
		w.write(w.cluster("") + fmt.Sprintf(`
variable "release" { default = "1" }
resource "dockerparallel_worker_pool" "batch" {
  cluster_id   = dockerparallel_cluster.sim.id
  worker_count = 2
  rq           = { burst = true }
  on_exit      = "accept"
  %s
}
`, w.worker))
		w.mustRun(append([]string{"apply", "-auto-approve", "-no-color", "-input=false"}, args...)...)
		j.wait()
		w.sees(0)
		w.emptyPlan()
		if begun, done := w.noted(); begun != 6 || done != 6 {
			w.t.Errorf("6 tasks were begun %d times and finished %d times", begun, done)
		}
	}
	w.destroy()
	w.nothing()
}

// TestAccFrameworks: real frameworks do real work, as processes and in
// containers.
func TestAccFrameworks(t *testing.T) {
	testenv.Need(t, testenv.Acceptance)
	for _, f := range pythonFrameworks() {
		t.Run("process/"+f.name, func(t *testing.T) {
			t.Parallel()
			testenv.Need(t, testenv.Redis, f.part)
			onProcess(t, f).life()
		})
	}
	t.Run("process/batch", func(t *testing.T) {
		t.Parallel()
		testenv.Need(t, testenv.Redis, testenv.RQ)
		onProcess(t, pythonFrameworks()[0]).batch()
	})
	t.Run("docker", func(t *testing.T) {
		t.Parallel()
		testenv.Need(t, testenv.Docker)
		image := testenv.PythonImage(t, testenv.DockerHost())
		for _, f := range pythonFrameworks() {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				testenv.Need(t, f.part)
				onDocker(t, f, image).life()
			})
		}
		t.Run("hybrid", func(t *testing.T) {
			t.Parallel()
			testenv.Need(t, testenv.RQ)
			hybridExample(t, image)
		})
	})
}

// hybridExample: one queue, and workers in containers and as processes.
func hybridExample(t *testing.T, image string) {
	rq := pythonFrameworks()[0]
	d := newDockerWorld(t)
	w := newFrameworkWorld(t, d.world, rq)
	must(t, os.CopyFS(w.dir, os.DirFS(filepath.Join("..", "..", "examples", "hybrid"))))
	config := strings.Replace(w.read(), "process   = {}", fmt.Sprintf("process = { root = %q }", w.root), 1)
	config = strings.Replace(config, "docker    = {}", fmt.Sprintf("docker = { host = %q }", d.host), 1)
	w.write(config + "\noutput \"python\" { value = dockerparallel_cluster.jobs.client.python }\n")
	w.variables = append(w.variables, "TF_VAR_namespace="+d.namespace, "TF_VAR_redis_image="+image, "TF_VAR_worker_image="+image)
	w.credentials = func() string { return d.self("credentials", "jobs", "--namespace", d.namespace).out }
	w.apply()
	w.emptyPlan()
	w.sees(4)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	job := w.python(ctx, `
import sys, time
sys.path.insert(0, sys.argv[1])
import tasks
jobs = [queue.enqueue(tasks.square, i) for i in range(60)]
while not all(j.is_finished for j in jobs):
    time.sleep(0.1)
    for j in jobs: j.refresh()
print("sum", sum(j.result[0] for j in jobs))
print("hosts", len({j.result[1] for j in jobs}))
`, filepath.Join(w.dir, "app"))
	out, err := job.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "sum 70210\n") || !strings.Contains(string(out), "hosts 3\n") {
		t.Errorf("the job on both kinds of workers ended with %v:\n%s", err, out)
	}
	w.destroy()
	d.nothingLeft()
	w.nothingLeft()
}
