// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Command benchmark measures the provider as a person sees it: whole
// Terraform commands, in interleaved rounds, with medians and ratios in a
// Markdown table.
//
// On the process backend it stands beside the floor of what Terraform itself
// needs for as many terraform_data resources:
//
//	go run ./internal/benchmark -n 1,10,100 -reps 3 -o docs/benchmarks/process.md
//
// On the docker backend it stands beside the engine's bare API and what else
// people use to start many containers:
//
//	go run ./internal/benchmark -backend docker -n 20,100 -reps 3 -o docs/benchmarks/docker.md
//
// It needs Terraform or OpenTofu (TF_ACC_TERRAFORM_PATH, or on the PATH) and
// Go, and starts only programs that do nothing. Whatever it starts is removed
// at its end, also if it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// settings are what the command line says.
type settings struct {
	sizes []int
	reps  int
	out   string
	// Of the docker backend only.
	networks []string
	only     []string
	once     []string
	noCalls  bool
	note     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == rawCommand {
		return rawMain(ctx, args[1:])
	}
	flags := flag.NewFlagSet("benchmark", flag.ExitOnError)
	backend := flags.String("backend", "process", "process or docker")
	sizes := flags.String("n", "", "numbers of workers, separated by commas (default 1,10,100,500 on process, 20,100 on docker)")
	var set settings
	flags.IntVar(&set.reps, "reps", 3, "how often everything is measured; the medians are shown")
	flags.StringVar(&set.out, "o", "", "write the report to this file as well; docker writes a plot beside it")
	flags.StringVar(&set.out, "out", "", "the same as -o")
	networks := flags.String("networks", "bridge,none", "docker: the workers' networks")
	only := flags.String("only", "", "docker: measure no more than these contestants ("+strings.Join(contestantKeys(), ",")+"); raw is always measured")
	once := flags.String("once", strings.Join([]string{keyRun, keyCompose, keyServer}, ","), fmt.Sprintf("docker: contestants that are measured in the first round only at %d workers and more", manyWorkers))
	flags.BoolVar(&set.noCalls, "no-calls", false, "docker: leave the engine's calls uncounted")
	flags.StringVar(&set.note, "note", "", "docker: what else is to be said of the machine")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *sizes == "" {
		*sizes = map[string]string{"process": "1,10,100,500", "docker": "20,100"}[*backend]
	}
	var err error
	if set.sizes, err = parseSizes(*sizes); err != nil {
		return err
	}
	set.networks, set.only, set.once = split(*networks), split(*only), split(*once)
	switch *backend {
	case "process":
		return processMain(ctx, set)
	case "docker":
		return dockerMain(ctx, set)
	}
	return fmt.Errorf("-backend: %q is neither process nor docker", *backend)
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func parseSizes(list string) ([]int, error) {
	var ns []int
	for _, s := range split(list) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-n: %q is not a number of workers", s)
		}
		ns = append(ns, n)
	}
	if len(ns) == 0 {
		return nil, errors.New("-n: there is no number of workers")
	}
	return ns, nil
}

func processMain(ctx context.Context, set settings) error {
	bench, err := newBench(ctx, "")
	if err != nil {
		return err
	}
	defer bench.close()
	var results []result
	for rep := range set.reps {
		for _, n := range set.sizes {
			fmt.Fprintf(os.Stderr, "round %d of %d, %d workers\n", rep+1, set.reps, n)
			ours, err := bench.cluster(ctx, n, rep == 0)
			if err != nil {
				return err
			}
			floor, err := bench.floor(ctx, n)
			if err != nil {
				return err
			}
			results = append(results, ours, floor)
		}
	}
	report := render(bench.versions, set.sizes, set.reps, results)
	fmt.Print(report)
	return writeReport(set.out, report)
}

func writeReport(path, text string) error {
	if path == "" {
		return nil
	}
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // a report is for everyone
}
