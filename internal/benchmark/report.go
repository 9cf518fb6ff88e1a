// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

func median(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	slices.Sort(xs)
	mid := len(xs) / 2
	if len(xs)%2 == 1 {
		return xs[mid]
	}
	return (xs[mid-1] + xs[mid]) / 2
}

// seconds is the median time of an operation.
func seconds(results []result, ours bool, n int, op string) float64 {
	var xs []float64
	for _, r := range results {
		if r.ours == ours && r.n == n {
			xs = append(xs, r.seconds[op])
		}
	}
	return median(xs)
}

func stateBytes(results []result, n int) int {
	for _, r := range results {
		if r.ours && r.n == n {
			return r.stateBytes
		}
	}
	return 0
}

func render(versions string, ns []int, reps int, results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The process backend, measured\n\n%s. Whole commands, medians of %d interleaved rounds, in seconds.\n\n", versions, reps)
	b.WriteString("`make bench` measures this again. The floor is Terraform itself with as many `terraform_data` resources as there are processes.\n\n")
	b.WriteString("| N | operation | this provider | floor | ratio |\n| --- | --- | --- | --- | --- |\n")
	for _, n := range ns {
		for _, op := range operations() {
			ours, floor := seconds(results, true, n, op), seconds(results, false, n, op)
			fmt.Fprintf(&b, "| %d | %s | %.2f | %.2f | %.2f |\n", n, op, ours, floor, ours/floor)
		}
	}
	small, large := ns[0], ns[len(ns)-1]
	if large > small {
		fmt.Fprintf(&b, "\nA no-change plan at N=%d takes %.2f times as long as at N=%d.\n", large,
			seconds(results, true, large, opPlan)/seconds(results, true, small, opPlan), small)
		fmt.Fprintf(&b, "State: %.0f bytes per worker (N=%d against N=%d).\n",
			float64(stateBytes(results, large)-stateBytes(results, small))/float64(large-small), large, small)
	}
	b.WriteString("\n## Backend calls\n\nIn all provider processes of one command together: plan and apply each refresh.\n\n| N | operation | calls |\n| --- | --- | --- |\n")
	for _, r := range results {
		if !r.ours || len(r.calls) == 0 {
			continue
		}
		for _, op := range operations() {
			fmt.Fprintf(&b, "| %d | %s | %s |\n", r.n, op, callsText(r.calls[op]))
		}
	}
	return b.String()
}
