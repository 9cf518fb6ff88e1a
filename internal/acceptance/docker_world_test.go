// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// dockerWorld is a world on a Docker Engine, in a namespace of its own.
type dockerWorld struct {
	*world
	host      string
	namespace string
	image     string
	engine    *client.Client
}

// newDockerWorld is on the machine's engine.
func newDockerWorld(t *testing.T) *dockerWorld {
	t.Helper()
	testenv.Need(t, testenv.Acceptance, testenv.Docker)
	return newDockerWorldAt(t, testenv.DockerHost())
}

func newDockerWorldAt(t *testing.T, host string) *dockerWorld {
	t.Helper()
	w := &dockerWorld{world: newWorld(t), host: host, namespace: "acc-" + strings.ToLower(rand.Text()[:10])}
	w.engine = testenv.Engine(t, host)
	w.image = testenv.Image(t, host)
	t.Cleanup(func() { // only after a failure is there anything
		ctx := context.Background()
		for _, c := range w.all("") {
			_, _ = w.engine.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		}
		for _, c := range w.others() {
			kind, name, _ := strings.Cut(c, " ")
			if kind == "network" {
				_, _ = w.engine.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
			} else {
				_, _ = w.engine.VolumeRemove(ctx, name, client.VolumeRemoveOptions{Force: true})
			}
		}
	})
	return w
}

const requireProvider = `terraform {
  required_providers { dockerparallel = { source = "dockerparallel/dockerparallel" } }
}
`

// provider is the provider's block; more are its further attributes.
func (w *dockerWorld) provider(more string) string {
	return fmt.Sprintf("provider \"dockerparallel\" {\n  namespace = %q\n  docker = {\n    host = %q\n  }\n  %s\n}\n", w.namespace, w.host, more)
}

// clusterBlock is a server; more are further attributes.
func (w *dockerWorld) clusterBlock(name, more string) string {
	return fmt.Sprintf(`resource "dockerparallel_cluster" %[1]q {
  name      = %[1]q
  framework = "custom"
  server = {
    container = { image = %[2]q, command = ["/node", "server"] }
    port      = 7000
  }
  %[3]s
}
`, name, w.image, more)
}

// poolBlock is a pool; more are further attributes.
func (w *dockerWorld) poolBlock(cluster, name string, workers int, more string) string {
	if !strings.Contains(more, "container") {
		more += fmt.Sprintf("\n  container = { image = %q, command = [\"/node\", \"worker\"] }", w.image)
	}
	return fmt.Sprintf("resource \"dockerparallel_worker_pool\" \"%[1]s_%[2]s\" {\n  cluster_id   = dockerparallel_cluster.%[1]s.id\n  name         = %[2]q\n  worker_count = %[3]d\n  %[4]s\n}\n",
		cluster, name, workers, more)
}

// cluster is the usual configuration.
func (w *dockerWorld) cluster(owner string, workers int) {
	w.t.Helper()
	more := ""
	if owner != "" {
		more = fmt.Sprintf("owner = %q", owner)
	}
	w.write(requireProvider + w.provider(more) + w.clusterBlock("sim", "") + w.poolBlock("sim", "default", workers, ""))
}

// all containers of the namespace, whatever their role ("" for any), the
// oldest first.
func (w *dockerWorld) all(role string) []container.Summary {
	w.t.Helper()
	filters := make(client.Filters).Add("label", "dockerparallel.namespace="+w.namespace)
	if role != "" {
		filters.Add("label", "dockerparallel.role="+role)
	}
	res, err := w.engine.ContainerList(context.Background(), client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(res.Items, func(a, b container.Summary) int {
		return strings.Compare(a.Labels["dockerparallel.docker.created"], b.Labels["dockerparallel.docker.created"])
	})
	return res.Items
}

// ids of the running containers of a role.
func (w *dockerWorld) ids(role string) []string {
	w.t.Helper()
	var ids []string
	for _, c := range w.all(role) {
		if c.State == container.StateRunning {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// expect fails the test unless one server and exactly so many containers of
// workers run, and no others are there. What a killed provider looked into the
// secret with may stay for a minute.
func (w *dockerWorld) expect(workers int) {
	w.t.Helper()
	others := slices.DeleteFunc(w.all(""), func(c container.Summary) bool { return c.Labels["dockerparallel.docker.kind"] == "helper" })
	if s, n := len(w.ids("server")), len(w.ids("worker")); s != 1 || n != workers || len(others) != 1+workers {
		w.t.Fatalf("%d servers and %d workers run, want 1 and %d:\n%v", s, n, workers, w.shown())
	}
}

func (w *dockerWorld) shown() []string {
	var all []string
	for _, c := range w.all("") {
		all = append(all, fmt.Sprint(c.ID[:12], " ", c.Names, " ", c.Status))
	}
	return all
}

// others are the networks and volumes of the namespace.
func (w *dockerWorld) others() []string {
	w.t.Helper()
	ctx := context.Background()
	filters := make(client.Filters).Add("label", "dockerparallel.namespace="+w.namespace)
	var all []string
	networks, err := w.engine.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, n := range networks.Items {
		all = append(all, "network "+n.Name)
	}
	volumes, err := w.engine.VolumeList(ctx, client.VolumeListOptions{Filters: filters})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range volumes.Items {
		all = append(all, "volume "+v.Name)
	}
	return all
}

// nothingLeft fails the test unless no container, network or volume is left
// within a bounded time: a killed provider's calls may still be at work.
func (w *dockerWorld) nothingLeft() {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		containers, others := w.shown(), w.others()
		if len(containers) == 0 && len(others) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("left: %v, %v", containers, others)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// self runs one of the provider's own commands on this engine.
func (w *dockerWorld) self(args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, w.world.provider, append(args, "--docker-host", w.host)...)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return result{code: c.ProcessState.ExitCode(), out: string(out)}
}

// signal does to a container what "docker kill", "rm -f", "stop" and so on do.
func (w *dockerWorld) docker(what string, ids ...string) {
	w.t.Helper()
	ctx := w.t.Context()
	for _, id := range ids {
		var err error
		switch what {
		case "kill":
			_, err = w.engine.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"})
		case "rm":
			_, err = w.engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
		case "stop":
			now := 0
			_, err = w.engine.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &now})
		case "start":
			_, err = w.engine.ContainerStart(ctx, id, client.ContainerStartOptions{})
		case "pause":
			_, err = w.engine.ContainerPause(ctx, id, client.ContainerPauseOptions{})
		case "unpause":
			_, err = w.engine.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{})
		default:
			w.t.Fatalf("docker %s", what)
		}
		if err != nil {
			w.t.Fatalf("docker %s %s: %v", what, id, err)
		}
	}
}

// inContainer runs a program in a container and gives what it says. How it ends
// does not count: who waits for something also asks when it is not there yet.
func inContainer(t *testing.T, engine *client.Client, name string, command ...string) string {
	t.Helper()
	ctx := t.Context()
	made, err := engine.ExecCreate(ctx, name, client.ExecCreateOptions{AttachStdout: true, AttachStderr: true, Cmd: command})
	must(t, err)
	attached, err := engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	must(t, err)
	defer attached.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, attached.Reader); err != nil {
		t.Fatalf("%v in %s: %v\n%s", command, name, err, &out)
	}
	return out.String()
}

// state is the state file.
func (w *dockerWorld) state() []byte {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	must(w.t, err)
	return b
}

// resources are the names of what is in the state.
func (w *dockerWorld) resources() []string {
	w.t.Helper()
	var s struct {
		Resources []struct{ Type, Name string }
	}
	must(w.t, json.Unmarshal(w.state(), &s))
	var all []string
	for _, r := range s.Resources {
		all = append(all, r.Type+"."+r.Name)
	}
	slices.Sort(all)
	return all
}

// gone gives the elements of a that are not in b.
func gone(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return slices.Contains(b, x) })
}
