// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// What people and the kernel do to workers, past the provider: the plan says
// what is missing, the apply mends just that.
func TestAccDockerWorkers(t *testing.T) {
	t.Parallel()
	w := newDockerWorld(t)
	w.cluster("", 4)
	w.apply()
	w.expect(4)
	w.emptyPlan()

	for _, what := range []string{"kill", "rm", "stop"} {
		before := w.ids("worker")
		w.docker(what, before[1])
		w.wants(w.plan(), "worker_count = 3 -> 4", "0 to add, 1 to change, 0 to destroy")
		w.apply()
		w.expect(4)
		after := w.ids("worker")
		if lost, added := gone(before, after), gone(after, before); !slices.Equal(lost, before[1:2]) || len(added) != 1 {
			t.Fatalf("after docker %s: lost %v, started %v", what, lost, added)
		}
		w.emptyPlan()
	}

	// Stopped and started by hand: it is the same worker.
	before := w.ids("worker")
	w.docker("stop", before[0])
	w.docker("start", before[0])
	w.emptyPlan()
	// Paused it does no work, unpaused it does.
	w.docker("pause", before[2])
	w.wants(w.plan(), "worker_count = 3 -> 4")
	w.docker("unpause", before[2])
	w.emptyPlan()
	w.docker("pause", before[2])
	w.apply()
	w.expect(4)
	if lost := gone(before, w.ids("worker")); !slices.Equal(lost, before[2:3]) {
		t.Fatalf("lost %v, want the paused one, %v", lost, before[2])
	}
	w.emptyPlan()

	// The image's name moves: nothing that runs is concerned.
	other := testenv.BareImage(t, w.host)
	if _, err := w.engine.ImageTag(t.Context(), client.ImageTagOptions{Source: other, Target: w.image}); err != nil {
		t.Fatal(err)
	}
	w.emptyPlan()

	w.destroy()
	w.nothingLeft()
}

func TestAccDockerScaleAndUpdate(t *testing.T) {
	t.Parallel()
	w := newDockerWorld(t)
	w.cluster("", 4)
	w.apply()
	four, server := w.ids("worker"), w.ids("server")
	w.cluster("", 8)
	w.wants(w.plan(), "worker_count = 4 -> 8", "0 to add, 1 to change, 0 to destroy")
	w.apply()
	w.expect(8)
	if lost := gone(four, w.ids("worker")); len(lost) > 0 {
		t.Fatalf("scaling out stopped %v", lost)
	}
	w.cluster("", 2)
	w.apply()
	w.expect(2)
	if strangers := gone(w.ids("worker"), four); len(strangers) > 0 {
		t.Fatalf("the newest should have left, but %v are there", strangers)
	}
	w.emptyPlan()

	// Four workers share a container from now on; the two that run stay.
	packed := func(environment string) {
		w.write(requireProvider + w.provider("") + w.clusterBlock("sim", "") + w.poolBlock("sim", "default", 10,
			`container = { image = "`+w.image+`", command = ["/node", "worker"], max_workers = 4, environment = {`+environment+`} }`))
	}
	packed("")
	w.apply()
	w.expect(4)
	w.emptyPlan()
	old := w.ids("worker") // with an update they are packed as well
	packed(`LEVEL = "2"`)
	w.apply()
	w.expect(3)
	if same := gone(old, gone(old, w.ids("worker"))); len(same) > 0 {
		t.Fatalf("%v were not replaced", same)
	}
	w.emptyPlan()
	good := w.ids("worker")
	packed(`NODE_EXIT = "3"`)
	r := w.run("apply", "-auto-approve", "-no-color", "-input=false")
	if r.code == 0 {
		t.Fatalf("workers that exit at once were accepted:\n%s", r.out)
	}
	w.wants(r.out, "exited with code 3", "node ends as it was told")
	if left := w.ids("worker"); len(left) < 2 || len(gone(left, good)) > 0 {
		t.Fatalf("of the good workers %v only %v are left", good, left)
	}
	packed(`LEVEL = "3"`)
	w.apply()
	w.expect(3)
	w.emptyPlan()
	if !slices.Equal(server, w.ids("server")) {
		t.Fatal("the server was restarted")
	}
	w.destroy()
	w.nothingLeft()
}

func TestAccDockerServer(t *testing.T) {
	t.Parallel()
	w := newDockerWorld(t)
	w.cluster("", 3)
	w.apply()
	for _, what := range []string{"kill", "rm", "stop", "pause"} {
		workers := w.ids("worker")
		w.docker(what, w.ids("server")...)
		w.wants(w.plan(), `"stopped" -> "running"`, "2 to change, 0 to destroy")
		w.apply()
		w.expect(3)
		if same := gone(workers, gone(workers, w.ids("worker"))); len(same) > 0 {
			t.Fatalf("after docker %s: workers of the dead server are still there: %v", what, same)
		}
		w.emptyPlan()
	}
	// Stopped and started by hand: it is the same server.
	server := w.ids("server")
	w.docker("stop", server...)
	w.docker("start", server...)
	testenv.Eventually(t, "the server to listen again", func() bool { return w.run("plan", "-detailed-exitcode", "-input=false").code == 0 })
	// All at once.
	w.docker("kill", append(w.ids("server"), w.ids("worker")...)...)
	w.apply()
	w.expect(3)
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}

// Where the workers connect again by themselves, a new server is the old one
// to them: nothing that refers to the cluster changes.
func TestAccDockerServerKeepsItsLaunch(t *testing.T) {
	t.Parallel()
	w := newDockerWorld(t)
	w.write(requireProvider + w.provider("") + w.clusterBlock("sim", "workers_reconnect = true") + w.poolBlock("sim", "default", 3, "") +
		"output \"id\" { value = dockerparallel_cluster.sim.id }\n")
	w.apply()
	id, workers, server := w.output("id"), w.ids("worker"), w.ids("server")
	w.docker("kill", server...)
	w.apply()
	w.expect(3)
	if now := w.output("id"); now != id {
		t.Errorf("the id is %s, was %s", now, id)
	}
	if !slices.Equal(workers, w.ids("worker")) || slices.Equal(server, w.ids("server")) {
		t.Errorf("workers %v, were %v; server %v, was %v", w.ids("worker"), workers, w.ids("server"), server)
	}
	w.emptyPlan()
	// They are connected: the server counts them by the connections it has.
	testenv.Eventually(t, "the workers to connect again", func() bool {
		sockets := inContainer(t, w.engine, w.ids("server")[0], "cat", "/proc/net/tcp", "/proc/net/tcp6")
		return strings.Count(sockets, ":1B58 ") >= 4 // 7000, one of them listens
	})
	w.destroy()
	w.nothingLeft()
}

// Two clusters with two pools each, made and scaled at once; destroying one
// leaves the other's containers, network and secret alone.
func TestAccDockerSideBySide(t *testing.T) {
	t.Parallel()
	w := newDockerWorld(t)
	config := func(workers int, clusters ...string) {
		text := requireProvider + w.provider("owner = \"ci\"")
		for _, c := range clusters {
			text += w.clusterBlock(c, "") + w.poolBlock(c, "small", workers, "") + w.poolBlock(c, "large", 2*workers, "")
		}
		w.write(text)
	}
	config(2, "one", "two")
	w.apply()
	w.emptyPlan()
	config(3, "one", "two")
	w.apply()
	w.emptyPlan()
	if s, n := len(w.ids("server")), len(w.ids("worker")); s != 2 || n != 18 {
		t.Fatalf("%d servers and %d workers", s, n)
	}
	of := func(cluster string) (ids []string) {
		for _, c := range w.all("") {
			if c.Labels["dockerparallel.cluster"] == cluster {
				ids = append(ids, c.ID)
			}
		}
		return ids
	}
	two, secret := of("two"), w.self("credentials", "two", "--namespace", w.namespace)
	if secret.code != 0 {
		t.Fatal(secret.out)
	}
	config(3, "two")
	w.apply()
	if left := of("one"); len(left) > 0 || !slices.Equal(two, of("two")) {
		t.Fatalf("of the first cluster %v are left; of the second %v, were %v", left, of("two"), two)
	}
	if left := strings.Join(w.others(), " "); strings.Contains(left, ".one") || !strings.Contains(left, "network dp."+w.namespace+".two") {
		t.Fatalf("there are %s", left)
	}
	if again := w.self("credentials", "two", "--namespace", w.namespace); again.out != secret.out {
		t.Errorf("the credentials are %s, were %s", again.out, secret.out)
	}
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}
