// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// fact is a line of the table of what was measured with what.
type fact struct{ name, value string }

// facts of a run; notes are what went wrong in it.
type facts struct {
	lines []fact
	notes []string
}

func (d *dockerBench) facts(ctx context.Context, took time.Duration) (facts, error) {
	version, err := d.engine.docker.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return facts{}, err
	}
	res, err := d.engine.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return facts{}, err
	}
	info := res.Info
	cliVersion := output(ctx, "docker", "version", "--format", "{{.Client.Version}}")
	busy := slices.Sorted(slices.Values(d.others))
	load := "load average at the beginning of the rounds " + strings.Join(d.loads, ", ")
	if len(busy) > 0 {
		load += fmt.Sprintf("; CPUs in use just before a measurement: median %.0f %%, at most %.0f %%", 100*median(busy), 100*busy[len(busy)-1])
	}
	f := facts{notes: d.notes, lines: []fact{
		{"Docker Engine", fmt.Sprintf("%s, API %s, %s, cgroup v%s", version.Version, version.APIVersion, info.Driver, info.CgroupVersion)},
		{"System", fmt.Sprintf("%s, Linux %s", info.OperatingSystem, info.KernelVersion)},
		{"Machine", fmt.Sprintf("%d CPUs (%s), %d GB of memory", info.NCPU, cpuModel(), info.MemTotal>>30)},
		{"Terraform", d.tools.cliName},
		{"This provider", "commit " + output(ctx, "git", "describe", "--always", "--dirty") + ", " + runtime.Version()},
		{"docker CLI", cliVersion},
		{"Docker Compose", moduleVersion(d.place.compose, "github.com/docker/compose/v2")},
		{"terraform-provider-docker", moduleVersion(filepath.Join(d.peerDir, peerProgram), "github.com/terraform-providers/terraform-provider-docker")},
		{"Date", fmt.Sprintf("%s, %d rounds, %s in all", time.Now().UTC().Format(time.DateOnly), d.set.reps, took.Round(time.Minute))},
		{"Load", load},
	}}
	if d.set.note != "" {
		f.lines = append(f.lines, fact{"Note", d.set.note})
	}
	return f, nil
}

// output is the first line of what a program says, or that it is unknown.
func output(ctx context.Context, argv ...string) string {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output() //nolint:gosec // our own list
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil || line == "" {
		return "unknown"
	}
	return line
}

// moduleVersion reads from a Go program which version of a module is in it.
func moduleVersion(program, path string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "unknown"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path != path {
			continue
		}
		if m.Replace != nil {
			return m.Replace.Version + " (" + m.Replace.Path + ")"
		}
		return m.Version
	}
	return "unknown"
}
