// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The docker benchmark's operations, in their order, beside opPlan and opScale.
const (
	opUp   = "up"
	opHeal = "heal one"
	opDown = "down from 2N"
)

func dockerOperations() []string { return []string{opUp, opPlan, opHeal, opScale, opDown} }

// The contestants' keys.
const (
	keyRaw     = "raw"
	keyRun     = "run"
	keyCompose = "compose"
	keyPeer    = "peer"
	keyOurs    = "ours"
	keyPacked  = "packed"
	keyServer  = "server"
)

// packedWorkers share a container where workers share one at all.
const packedWorkers = 4

// contestant is a way to have n idle workers on an engine.
type contestant struct {
	key  string
	name string
	// perContainer is how many workers share one.
	perContainer int
	// server says whether there is a server beside the workers.
	server bool
	// argv is the program that does an operation, which ends with so many
	// workers; was is how many there were.
	argv func(p *place, op string, was, n int) []string
	// finds says whether the network is there already when it begins.
	finds bool
	// write puts the configuration for n workers into the place's folder; nil
	// if there is none.
	write func(p *place, n int) string
	file  string
}

// containers for n workers.
func (c *contestant) containers(n int) int { return c.more(0, n) }

// more is how many containers are started to have n workers where there were
// some. A container does not get more workers than it began with.
func (c *contestant) more(was, n int) int {
	more := (n - was + c.perContainer - 1) / c.perContainer
	if c.server && was == 0 {
		more++
	}
	return more
}

// takesPart says whether the contestant has something to do with a network:
// without any, workers reach no server.
func (c *contestant) takesPart(network string) bool { return !c.server || network != "none" }

// terraform says whether there is a state to look at.
func (c *contestant) terraform() bool { return c.file == "main.tf" }

func contestants() []*contestant {
	return []*contestant{
		{key: keyRaw, name: "raw API", perContainer: 1, argv: rawArgv},
		{key: keyRun, name: "docker run", perContainer: 1, argv: runArgv},
		{key: keyCompose, name: "Docker Compose", perContainer: 1, argv: composeArgv, write: composeFile, file: "compose.yaml"},
		{key: keyPeer, name: "terraform-provider-docker", perContainer: 1, argv: terraformArgv, finds: true, write: peerFile, file: "main.tf"},
		{key: keyOurs, name: "this provider", perContainer: 1, argv: terraformArgv, write: oursFile(1, externalServer, "server"), file: "main.tf"},
		{key: keyServer, name: "this provider, with its server", perContainer: 1, server: true, argv: terraformArgv, write: oursFile(1, ownServer, "worker"), file: "main.tf"},
		{key: keyPacked, name: fmt.Sprintf("this provider, max_workers = %d", packedWorkers), perContainer: packedWorkers, argv: terraformArgv, write: oursFile(packedWorkers, externalServer, "server"), file: "main.tf"},
	}
}

func contestantKeys() []string {
	var keys []string
	for _, c := range contestants() {
		keys = append(keys, c.key)
	}
	return keys
}

// place is where one contestant is measured.
type place struct {
	dir     string
	run     string // the label's value, and a name for everything
	network string // "bridge" is a network of one's own, "none" none
	image   string
	imageID string
	self    string
	cli     string
	compose string
}

// networkName is what the engine calls the network.
func (p *place) networkName() string {
	if p.network == "none" {
		return "none"
	}
	return p.run
}

func (p *place) configure(c *contestant, n int) error {
	if c.write == nil {
		return nil
	}
	return os.WriteFile(filepath.Join(p.dir, c.file), []byte(c.write(p, n)), 0o600)
}

func rawArgv(p *place, op string, was, n int) []string {
	return []string{p.self, rawCommand, "-op", op, "-run", p.run, "-image", p.imageID, "-network", p.networkName(), "-n", strconv.Itoa(n - was)}
}

// runArgv is what a person would put into a script.
func runArgv(p *place, op string, was, n int) []string {
	label := "label=" + runLabel + "=" + p.run
	start := fmt.Sprintf("xargs -P%d -I{} docker run -d --network %s --label %s=%s %s >/dev/null", atOnce(), p.networkName(), runLabel, p.run, p.image)
	some := fmt.Sprintf("seq 1 %d | %s", n-was, start)
	script := map[string]string{
		opUp:    some,
		opScale: some,
		opPlan:  "docker ps -a --filter " + label + " --format '{{.State}}' >/dev/null",
		opHeal:  "docker ps -aq --filter status=exited --filter " + label + " | xargs docker rm -f >/dev/null && seq 1 1 | " + start,
		opDown:  "docker ps -aq --filter " + label + " | xargs docker rm -f >/dev/null",
	}[op]
	if p.network != "none" {
		switch op {
		case opUp:
			script = fmt.Sprintf("docker network create --label %s=%s %s >/dev/null && ", runLabel, p.run, p.run) + script
		case opDown:
			script += " && docker network rm " + p.run + " >/dev/null"
		}
	}
	return []string{"sh", "-c", script}
}

// composeArgv has no plan: "up" again finds out that there is nothing to do.
func composeArgv(p *place, op string, _, n int) []string {
	args := []string{p.compose, "--progress", "quiet", "-p", p.run, "-f", filepath.Join(p.dir, "compose.yaml")}
	if op == opDown {
		return append(args, "down", "-t", "0")
	}
	return append(args, "up", "-d", "--scale", "worker="+strconv.Itoa(n))
}

func composeFile(p *place, _ int) string {
	text := fmt.Sprintf("services:\n  worker:\n    image: %s\n    pull_policy: never\n    labels:\n      %s: %s\n", p.image, runLabel, p.run)
	if p.network == "none" {
		return text + "    network_mode: none\n"
	}
	return text + fmt.Sprintf("networks:\n  default:\n    labels:\n      %s: %s\n", runLabel, p.run)
}

func terraformArgv(p *place, op string, _, _ int) []string {
	switch op {
	case opPlan:
		return []string{p.cli, "plan", "-detailed-exitcode", "-no-color", "-input=false"}
	case opDown:
		return []string{p.cli, "destroy", "-auto-approve", "-no-color", "-input=false"}
	}
	return []string{p.cli, "apply", "-auto-approve", "-no-color", "-input=false"}
}

const peerConfig = `terraform {
  required_providers { docker = { source = "kreuzwerker/docker" } }
}
provider "docker" {}
`

// peerFile asks for as little as possible. The network is made for it: its
// own resource for one takes seconds in every command, which would hide what
// is to be compared.
func peerFile(p *place, n int) string {
	network := "  network_mode = \"none\"\n"
	if p.network != "none" {
		network = fmt.Sprintf("  networks_advanced {\n    name = %q\n  }\n", p.networkName())
	}
	label := fmt.Sprintf("  labels {\n    label = %q\n    value = %q\n  }\n", runLabel, p.run)
	return peerConfig + fmt.Sprintf("resource \"docker_container\" \"worker\" {\n  count = %d\n  name  = \"%s-${count.index}\"\n  image = %q\n%s%s}\n",
		n, p.run, p.imageID, network, label)
}

// The two kinds of server. With an external one there are no more containers
// than the others have; its address is each container's own, where the idle
// program listens.
const (
	externalServer = `external_server = { private_ip = "127.0.0.1", private_port = 7000 }`
	ownServer      = `server          = { container = { image = "IMAGE", command = ["/node", "server"] }, port = 7000 }`
)

// oursFile gives the workers no time to say goodbye, because the others' get
// none. Role is the idle program's.
func oursFile(perContainer int, server, role string) func(p *place, n int) string {
	return func(p *place, n int) string {
		options := ""
		if p.network == "none" {
			options = "\n  docker            = { network = \"none\" }"
		}
		return fmt.Sprintf(`terraform {
  required_providers { dockerparallel = { source = "dockerparallel/dockerparallel" } }
}
provider "dockerparallel" {
  owner          = "benchmark"
  namespace      = %[1]q
  default_labels = { %[2]q = %[1]q }
  docker         = {}
}
resource "dockerparallel_cluster" "bench" {
  name            = "bench"
  %[3]s
}
resource "dockerparallel_worker_pool" "bench" {
  cluster_id        = dockerparallel_cluster.bench.id
  worker_count      = %[4]d
  wait_for          = "running"
  stop_grace_period = "0s"
  container = {
    image       = %[5]q
    command     = ["/node", %[6]q]
    max_workers = %[7]d
  }%[8]s
}
`, p.run, runLabel, strings.ReplaceAll(server, "IMAGE", p.image), n, p.image, role, perContainer, options)
	}
}
