// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

const migrationSteps = 6

func migrationStep(t *testing.T, step int) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "examples", "migrate", fmt.Sprintf("step%d", step), "main.tf"))
	must(t, err)
	return string(b)
}

// The guide shows nothing but what the test below applies.
func TestMigrationGuideQuotesTheExamples(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "templates", "guides", "migrate-from-docker-container.md"))
	must(t, err)
	var steps []string
	for i := range migrationSteps {
		steps = append(steps, migrationStep(t, i+1))
	}
	quotes := strings.Split(string(guide), "```terraform\n")[1:]
	if len(quotes) < migrationSteps {
		t.Errorf("the guide quotes only %d pieces of the examples", len(quotes))
	}
	for _, q := range quotes {
		q, _, _ = strings.Cut(q, "```")
		if !slices.ContainsFunc(steps, func(step string) bool { return strings.Contains(step, q) }) {
			t.Errorf("no example has this piece of the guide:\n%s", q)
		}
	}
}

// The migration guide's steps, applied one after the other to one state: what
// a step does not name keeps running, and after each there is nothing to do.
func TestAccMigrateFromDockerContainer(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Docker, testenv.Terraform, testenv.Provider)
	t.Parallel()
	m := newMigration(t)

	m.step(1, migrated{added: m.old("server", "worker-0", "worker-1", "worker-2", "worker-3"), oldWorkers: 4})
	m.step(2, migrated{newWorkers: 1, oldWorkers: 4})
	m.step(3, migrated{removed: m.old("worker-2", "worker-3"), newWorkers: 3, oldWorkers: 2})
	m.step(4, migrated{removed: m.old("worker-0", "worker-1"), newWorkers: 4})
	before := m.ours()
	m.step(5, migrated{removed: before, newWorkers: 4, newServer: true})
	m.step(6, migrated{removed: m.old("server"), newWorkers: 4, newServer: true})

	if left, all := m.ours(), m.containers(); len(left) != len(all) {
		t.Errorf("containers %v are there, and of them only %v are the provider's", slices.Collect(maps.Keys(all)), left)
	}
	if state := m.w.mustRun("state", "list"); strings.Contains(state, "docker_") {
		t.Errorf("in the state there is still:\n%s", state)
	}
	m.w.destroy()
	if left := m.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// migration is a world in which both providers use one engine.
type migration struct {
	t      *testing.T
	w      *world
	docker *client.Client
	image  string
	name   string // of this run: the namespace, and what all names begin with in place of "sim"
	before map[string]container.InspectResponse
}

// migrated is what a step adds and removes, and what works after it.
type migrated struct {
	added, removed []string
	oldWorkers     int
	newWorkers     int
	newServer      bool
}

func newMigration(t *testing.T) *migration {
	t.Helper()
	m := &migration{
		t: t, w: newWorld(t), docker: testenv.Engine(t, testenv.DockerHost()),
		name: "dpmigrate-" + strings.ToLower(rand.Text()[:10]),
	}
	m.override(testenv.Peer(t, "provider"))
	m.image = "dockerparallel.local/" + m.name + ":4"
	t.Cleanup(m.cleanUp)
	m.makeImage()
	return m
}

// override has the CLI use the built programs of both providers, whichever
// registry it would ask.
func (m *migration) override(peer string) {
	m.t.Helper()
	var rc strings.Builder
	rc.WriteString("provider_installation {\n  dev_overrides {\n")
	for _, registry := range []string{"registry.terraform.io", "registry.opentofu.org"} {
		fmt.Fprintf(&rc, "    %q = %q\n", registry+"/dockerparallel/dockerparallel", filepath.Dir(m.w.provider))
		fmt.Fprintf(&rc, "    %q = %q\n", registry+"/kreuzwerker/docker", filepath.Dir(peer))
	}
	rc.WriteString("  }\n}\n")
	must(m.t, os.WriteFile(filepath.Join(filepath.Dir(m.w.dir), "cli.tfrc"), []byte(rc.String()), 0o600))
}

// sim is the examples' program: that of all tests, with settings of its own.
const sim = `#!/bin/sh
case $1 in
server) export DOCKERPARALLEL_SERVER_HOST=0.0.0.0 DOCKERPARALLEL_SERVER_PORT=$SIM_PORT ;;
worker) export DOCKERPARALLEL_SERVER_HOST=${SIM_SERVER%:*} DOCKERPARALLEL_SERVER_PORT=${SIM_SERVER##*:} ;;
esac
exec /node "$1"
`

// makeImage adds sim to the tests' image.
func (m *migration) makeImage() {
	m.t.Helper()
	ctx, base := m.t.Context(), testenv.Image(m.t, testenv.DockerHost())
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	must(m.t, w.WriteHeader(&tar.Header{Name: "sim", Mode: 0o755, Size: int64(len(sim))}))
	_, err := io.WriteString(w, sim)
	must(m.t, err)
	must(m.t, w.Close())

	made, err := m.docker.ContainerCreate(ctx, client.ContainerCreateOptions{Name: m.name + "-image", Config: &container.Config{Image: base, Cmd: []string{"never started"}}})
	must(m.t, err)
	_, err = m.docker.CopyToContainer(ctx, made.ID, client.CopyToContainerOptions{DestinationPath: "/bin", Content: &files})
	must(m.t, err)
	_, err = m.docker.ContainerCommit(ctx, made.ID, client.ContainerCommitOptions{Reference: m.image, Config: &container.Config{}})
	must(m.t, err)
	_, err = m.docker.ContainerRemove(ctx, made.ID, client.ContainerRemoveOptions{})
	must(m.t, err)
}

// old are names of the containers that the other provider makes.
func (m *migration) old(names ...string) []string {
	all := make([]string, 0, len(names))
	for _, n := range names {
		all = append(all, m.name+"-"+n)
	}
	return all
}

// step applies an example, with names of this run's own.
func (m *migration) step(n int, want migrated) {
	m.t.Helper()
	m.w.write(strings.NewReplacer(
		"registry.example.com/sim:4", m.image,
		`"sim-net"`, fmt.Sprintf("%q", m.name+"-net"),
		"sim-server", m.name+"-server",
		"sim-worker-", m.name+"-worker-",
		`owner  = "sim-workspace"`, fmt.Sprintf("owner = %q\nnamespace = %q", m.name, m.name),
	).Replace(migrationStep(m.t, n)))
	m.w.apply()
	m.w.emptyPlan()

	// What was there and was not to go is the same container, and never stopped.
	now := m.containers()
	for name, was := range m.before {
		is, there := now[name]
		switch {
		case slices.Contains(want.removed, name):
			if there {
				m.t.Errorf("step %d: %s is still there", n, name)
			}
		case !there:
			m.t.Errorf("step %d: %s is gone", n, name)
		case is.ID != was.ID || is.State.StartedAt != was.State.StartedAt:
			m.t.Errorf("step %d: %s is another one: id %s then %s, started at %s then %s", n, name, was.ID, is.ID, was.State.StartedAt, is.State.StartedAt)
		}
	}
	servers, workers := 0, 0
	for name, c := range now {
		switch c.Config.Labels[managed.LabelRole] {
		case string(managed.RoleServer):
			servers++
		case string(managed.RoleWorker):
			workers++
		default:
			if _, had := m.before[name]; !had && !slices.Contains(want.added, name) {
				m.t.Errorf("step %d: %s came from nowhere", n, name)
			}
		}
		if c.State.Status != container.StateRunning {
			m.t.Errorf("step %d: %s is %s", n, name, c.State.Status)
		}
	}
	if workers != want.newWorkers || servers != map[bool]int{true: 1}[want.newServer] {
		m.t.Errorf("step %d: the provider runs %d servers and %d workers", n, servers, workers)
	}
	m.before = now

	// All of them work for one server: that is what the migration is about.
	server := m.old("server")[0]
	for name, c := range now {
		if want.newServer && c.Config.Labels[managed.LabelRole] == string(managed.RoleServer) {
			server = name
		}
	}
	counts := fmt.Sprintf("%d %d", want.oldWorkers, want.newWorkers)
	testenv.Eventually(m.t, fmt.Sprintf("step %d: %s counting %s workers, old and new", n, server, counts), func() bool {
		out := inContainer(m.t, m.docker, server, "sh", "-c", "for pool in '' default; do echo count $pool | nc -w 2 127.0.0.1 7000; done")
		return strings.Join(strings.Fields(out), " ") == counts
	})
}

// containers of this run, by name.
func (m *migration) containers() map[string]container.InspectResponse {
	m.t.Helper()
	list, err := m.docker.ContainerList(m.t.Context(), client.ContainerListOptions{All: true})
	must(m.t, err)
	found := map[string]container.InspectResponse{}
	for _, c := range list.Items {
		name := strings.TrimPrefix(strings.Join(c.Names, " "), "/")
		if !strings.Contains(name, m.name) || c.Labels["dockerparallel.docker.kind"] != "" {
			continue // what holds the cluster's secret is no server and no worker
		}
		res, err := m.docker.ContainerInspect(m.t.Context(), c.ID, client.ContainerInspectOptions{})
		must(m.t, err)
		found[name] = res.Container
	}
	return found
}

// ours are the names of the containers that this provider has made.
func (m *migration) ours() []string {
	m.t.Helper()
	var names []string
	for name, c := range m.containers() {
		if c.Config.Labels[managed.LabelNamespace] == m.name {
			names = append(names, name)
		}
	}
	return names
}

// left is all that the engine still has of this run, but for the image.
func (m *migration) left() []string {
	ctx := context.Background() // the test may have ended
	var found []string
	if all, err := m.docker.ContainerList(ctx, client.ContainerListOptions{All: true}); err == nil {
		for _, c := range all.Items {
			found = append(found, c.Names...)
		}
	}
	if all, err := m.docker.NetworkList(ctx, client.NetworkListOptions{}); err == nil {
		for _, n := range all.Items {
			found = append(found, n.Name)
		}
	}
	if all, err := m.docker.VolumeList(ctx, client.VolumeListOptions{}); err == nil {
		for _, v := range all.Items {
			found = append(found, v.Name)
		}
	}
	return slices.DeleteFunc(found, func(name string) bool { return !strings.Contains(name, m.name) })
}

// cleanUp removes what a test that failed has left: containers first, then
// what they used.
func (m *migration) cleanUp() {
	ctx := context.Background()
	for _, name := range m.left() {
		_, _ = m.docker.ContainerRemove(ctx, strings.TrimPrefix(name, "/"), client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
	for _, name := range m.left() {
		_, _ = m.docker.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
		_, _ = m.docker.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
	}
	_, _ = m.docker.ImageRemove(ctx, m.image, client.ImageRemoveOptions{PruneChildren: true})
}
