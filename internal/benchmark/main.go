// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Command benchmark measures the provider on the process backend as a person
// sees it: whole Terraform commands, beside the floor of what Terraform itself
// needs for as many terraform_data resources, interleaved in one run. It
// prints a Markdown table of medians and ratios.
//
//	go run ./internal/benchmark -n 1,10,100 -reps 3 -out docs/benchmarks/process.md
//
// It needs Terraform or OpenTofu (TF_ACC_TERRAFORM_PATH, or on the PATH) and
// Go, and starts only processes that sleep.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	sizes := flag.String("n", "1,10,100,500", "numbers of workers, separated by commas")
	reps := flag.Int("reps", 3, "how often everything is measured; the medians are shown")
	out := flag.String("out", "", "write the report to this file as well")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *sizes, *reps, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, sizes string, reps int, out string) error {
	var ns []int
	for _, s := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 {
			return fmt.Errorf("-n: %q is not a number of workers", s)
		}
		ns = append(ns, n)
	}
	bench, err := newBench(ctx)
	if err != nil {
		return err
	}
	defer bench.close()
	var results []result
	for rep := range reps {
		for _, n := range ns {
			fmt.Fprintf(os.Stderr, "round %d of %d, %d workers\n", rep+1, reps, n)
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
	report := render(bench.versions, ns, reps, results)
	fmt.Print(report)
	if out == "" {
		return nil
	}
	return os.WriteFile(out, []byte(report), 0o644) //nolint:gosec // a report is for everyone
}
