// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
)

// summary is how a job went. Its exported part is what --json writes.
type summary struct {
	Seconds float64 `json:"seconds"`
	Tasks   int     `json:"tasks"`
	Workers int     `json:"workers"` // that handed in at least one result
	Correct bool    `json:"correct"`

	size   uint64
	answer uint64
	right  uint64
	shares map[string]share
}

// share is what one worker has done.
type share struct {
	tasks   int
	seconds float64
}

func (s summary) rate() float64 { return float64(s.Tasks) / s.Seconds }

// print shows each worker's share, and the answer.
func (s summary) print(w io.Writer) {
	names := slices.SortedFunc(maps.Keys(s.shares), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "worker (host:pid)\ttasks\tshare\tbusy\ttasks/s\t")
	for _, name := range names {
		sh := s.shares[name]
		fmt.Fprintf(table, "%s\t%d\t%.0f %%\t%.1f s\t%.1f\t\n",
			name, sh.tasks, 100*float64(sh.tasks)/float64(s.Tasks), sh.seconds, float64(sh.tasks)/s.Seconds)
	}
	table.Flush()

	fmt.Fprintf(w, "%s by %s in %.1f s: %.1f tasks/s\n", plural(s.Tasks, "task"), plural(s.Workers, "worker"), s.Seconds, s.rate())
	verdict := "right"
	if !s.Correct {
		verdict = "WRONG, there are " + thousands(s.right)
	}
	fmt.Fprintf(w, "primes up to %s: %s (%s)\n", thousands(s.size), thousands(s.answer), verdict)
}

// printSpeedUp compares with an earlier job, and says so when the processor, not the cluster, is the limit.
func (s summary) printSpeedUp(w io.Writer, before summary, cores int) {
	fmt.Fprintf(w, "speed-up: %.2f times as fast with %s (%.1f tasks/s) as with %d (%.1f tasks/s), on %s\n",
		s.rate()/before.rate(), plural(s.Workers, "worker"), s.rate(), before.Workers, before.rate(), plural(cores, "core"))
	if s.Workers > before.Workers && s.Workers > cores {
		fmt.Fprintf(w, "This machine has %s, so more than %s can't be faster on CPU work: here the extra workers share its cores.\n"+
			"(Any difference is what else this machine was doing.) Workers on other machines bring cores of their own.\n", plural(cores, "core"), plural(cores, "worker"))
	}
}

// write keeps the summary for a later --compare.
func (s summary) write(file string) error {
	encoded, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(encoded, '\n'), 0o644)
}

// readSummary reads what an earlier job has written.
func readSummary(file string) (summary, error) {
	var s summary
	encoded, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(encoded, &s); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	if s.Seconds <= 0 || s.Tasks <= 0 {
		return s, fmt.Errorf("%s is not what --json writes", file)
	}
	return s, nil
}

// cores is how many processors we may use: fewer than there are where a container's quota says so.
func cores() int { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }

// thousands is 80,000,000.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
