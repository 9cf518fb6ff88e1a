// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package acceptance_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// refused fails the test unless the apply fails and says all of that.
func (w *dockerWorld) refused(parts ...string) {
	w.t.Helper()
	r := w.run("apply", "-auto-approve", "-no-color", "-input=false")
	if r.code == 0 {
		w.t.Fatalf("it was accepted:\n%s", r.out)
	}
	// Terraform breaks lines and draws a bar beside them.
	w.wants(strings.ReplaceAll(r.out, "│", " "), parts...)
}

func TestAccDockerRefusals(t *testing.T) {
	t.Parallel()
	w := newDockerWorld(t)
	good := func(server, pool string) {
		w.write(requireProvider + w.provider("") + w.clusterBlock("sim", server) + w.poolBlock("sim", "default", 2, pool))
	}
	image := func(name string) string {
		return fmt.Sprintf("container = { image = %q, command = [\"/node\", \"worker\"] }", name)
	}
	good("", image("127.0.0.1:1/no/such:1"))
	w.refused("pulling the image", "127.0.0.1:1/no/such:1", "cannot reach the registry")
	good("", image("no-such-image:1")+"\n docker = { pull_policy = \"never\" }")
	w.refused("no-such-image:1", `its pull policy is "never"`)
	good("", `container = { image = "`+w.image+`", command = ["/no/such/program"] }`)
	w.refused("/no/such/program", "is the command in the image")
	good("", `docker = { network = "no-such-network" }`)
	w.refused("no-such-network")
	good("", `docker = { log_driver = "pigeon" }`)
	w.refused("has no log driver", "pigeon", "json-file")
	good("", `hardware = { cpu = 1024000 }`)
	w.refused("CPU units")

	// None of that has cost the server anything, and no worker is left.
	w.cluster("", 2)
	server := w.ids("server")
	w.apply()
	w.expect(2)
	if len(server) != 1 || w.ids("server")[0] != server[0] {
		t.Errorf("the server is %v, was %v", w.ids("server"), server)
	}
	// Nor does it cost workers that run anything.
	workers := w.ids("worker")
	good("", image("127.0.0.1:1/no/such:1"))
	w.refused("pulling the image")
	if lost := gone(workers, w.ids("worker")); len(lost) > 0 {
		t.Errorf("a wrong image cost %v", lost)
	}
	w.destroy()
	w.nothingLeft()
}

// A worker that the kernel kills for its memory says so.
func TestAccDockerOutOfMemory(t *testing.T) {
	t.Parallel()
	w := newDockerWorld(t)
	w.write(requireProvider + w.provider("") + w.clusterBlock("sim", "") + w.poolBlock("sim", "default", 1,
		`hardware = { memory = 16 }
  container = { image = "`+w.image+`", command = ["sh", "-c", "echo eating memory; dd if=/dev/zero of=/dev/null bs=300M count=1"] }`))
	w.refused("out of memory", "its limit of 16 MB", "raise hardware.memory", "eating memory")
	w.destroy()
	w.nothingLeft()
}

// A registry that wants a password, through the whole provider.
func TestAccDockerRegistry(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Docker, testenv.Registry)
	t.Parallel()
	w := newDockerWorld(t)
	const password = "open-sesame-4711"
	address := testenv.StartRegistry(t, "reader", password)
	name := address + "/dp/worker:1"
	if _, err := w.engine.ImageTag(t.Context(), client.ImageTagOptions{Source: w.image, Target: name}); err != nil {
		t.Fatal(err)
	}
	auth, err := authconfig.Encode(registry.AuthConfig{Username: "reader", Password: password})
	must(t, err)
	stream, err := w.engine.ImagePush(t.Context(), name, client.ImagePushOptions{RegistryAuth: auth})
	must(t, err)
	must(t, stream.Wait(t.Context()))
	_, err = w.engine.ImageRemove(t.Context(), name, client.ImageRemoveOptions{Force: true})
	must(t, err)
	t.Cleanup(func() {
		_, _ = w.engine.ImageRemove(context.Background(), name, client.ImageRemoveOptions{Force: true})
	})

	config := func(login string) {
		w.write(requireProvider + strings.Replace(w.provider(""), "docker = {", "docker = {\n"+login, 1) +
			"variable \"password\" {\n  type      = string\n  sensitive = true\n}\n" + w.clusterBlock("sim", "") +
			w.poolBlock("sim", "default", 2, `container = { image = "`+name+`", command = ["/node", "worker"] }`) + `
data "dockerparallel_workers" "all" {
  cluster_id = dockerparallel_cluster.sim.id
  depends_on = [dockerparallel_worker_pool.sim_default]
}
output "digest" { value = distinct(data.dockerparallel_workers.all.containers[*].image_digest)[0] }
`)
	}
	login := fmt.Sprintf("registries = [{ address = %q, username = \"reader\", password = var.password }]", address)
	w.variables = []string{"DOCKER_CONFIG=" + t.TempDir(), "TF_VAR_password=not it"}
	config("")
	w.refused("wants a login", "docker.registries")
	config(login)
	w.refused("does not accept the login of reader")
	w.variables[1] = "TF_VAR_password=" + password
	w.apply()
	w.expect(2)
	w.emptyPlan()
	if digest := w.output("digest"); !strings.HasPrefix(digest, address+"/dp/worker@sha256:") {
		t.Errorf("the digest is %s", digest)
	}
	if strings.Contains(string(w.state()), password) {
		t.Error("the registry's password is in the state")
	}
	w.destroy()
	w.nothingLeft()
}

// Somebody else's container in the cluster's network: it is left alone, and so
// is the network, until it has gone.
func TestAccDockerNetworkInUse(t *testing.T) {
	t.Parallel()
	w := newDockerWorld(t)
	// A stranger's network of the name that ours has.
	name := "dp." + w.namespace + ".sim"
	foreign, err := w.engine.NetworkCreate(t.Context(), name, client.NetworkCreateOptions{Driver: "bridge"})
	must(t, err)
	t.Cleanup(func() { _, _ = w.engine.NetworkRemove(context.Background(), foreign.ID, client.NetworkRemoveOptions{}) })
	w.cluster("ci", 1)
	w.apply()
	w.expect(1)
	ours := ""
	for id := range w.all("server")[0].NetworkSettings.Networks {
		ours = w.all("server")[0].NetworkSettings.Networks[id].NetworkID
	}
	if ours == foreign.ID {
		t.Fatal("the cluster is in a stranger's network")
	}
	stranger, err := w.engine.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Config:           &container.Config{Image: w.image, Cmd: []string{"sleep", "1000"}},
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{ours: {NetworkID: ours}}},
	})
	must(t, err)
	w.docker("start", stranger.ID)
	out := w.mustRun("destroy", "-auto-approve", "-no-color", "-input=false")
	w.wants(strings.ReplaceAll(out, "│", " "), "Warning", name)
	if left := w.others(); len(left) != 1 || len(w.all("")) != 0 {
		t.Errorf("left: %v and %v, want the network alone", left, w.shown())
	}
	info, err := w.engine.ContainerInspect(t.Context(), stranger.ID, client.ContainerInspectOptions{})
	if err != nil || !info.Container.State.Running {
		t.Errorf("the stranger's container: %v", err)
	}
	w.docker("rm", stranger.ID)
	if s := w.self("sweep", "--namespace", w.namespace, "--yes"); s.code != 0 {
		t.Errorf("sweep ended with %d: %s", s.code, s.out)
	}
	w.nothingLeft()
	if _, err := w.engine.NetworkInspect(t.Context(), foreign.ID, client.NetworkInspectOptions{}); err != nil {
		t.Errorf("the stranger's network: %v", err)
	}
}

// A daemon that is not there: nothing is taken out of the state.
func TestAccDockerNoEngine(t *testing.T) {
	testenv.Need(t, testenv.Acceptance, testenv.Docker)
	t.Parallel()
	w := newDockerWorld(t)
	w.cluster("ci", 2)
	w.apply()
	before := w.resources()
	host := w.host
	w.host = "unix://" + filepath.Join(t.TempDir(), "gone.sock")
	w.cluster("ci", 2)
	for _, args := range [][]string{{"plan", "-no-color", "-input=false"}, {"apply", "-refresh-only", "-auto-approve", "-no-color", "-input=false"}, {"destroy", "-auto-approve", "-no-color", "-input=false"}} {
		r := w.run(args...)
		if r.code == 0 {
			t.Fatalf("%v is content without an engine:\n%s", args, r.out)
		}
		w.wants(strings.ReplaceAll(r.out, "│", " "), "gone.sock", "no such socket", "start the engine")
	}
	if now := w.resources(); strings.Join(now, " ") != strings.Join(before, " ") {
		t.Errorf("in the state are %v, were %v", now, before)
	}
	w.host = host
	w.cluster("ci", 2)
	w.emptyPlan()
	w.destroy()
	w.nothingLeft()
}
