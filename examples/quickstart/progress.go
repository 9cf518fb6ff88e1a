// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress shows how far a job is: a bar that moves where the output is a terminal, and a line now and then elsewhere.
type progress struct {
	out   io.Writer
	live  bool
	total int

	drawn time.Time // when the bar was last drawn
	shown int       // tasks done at the last plain line
	width int       // of the line on the screen
}

func newProgress(out io.Writer, total int) *progress {
	return &progress{out: out, live: isTerminal(out), total: total, shown: -1}
}

// isTerminal says whether somebody looks at the output as it comes.
func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// update shows that so many tasks are done.
func (p *progress) update(done, workers int, elapsed time.Duration) {
	finished := done >= p.total
	rate := float64(done) / max(elapsed.Seconds(), 0.001)

	if !p.live {
		// Plain lines: the first task, every quarter, the last one.
		if done > 0 && (p.shown < 0 || finished || 4*done/p.total > 4*p.shown/p.total) && done != p.shown {
			fmt.Fprintf(p.out, "%d of %d tasks done, %.1f tasks/s\n", done, p.total, rate)
			p.shown = done
		}
		return
	}

	if !finished && time.Since(p.drawn) < 100*time.Millisecond {
		return
	}
	p.drawn = time.Now()
	const length = 24
	filled := length * done / p.total
	line := fmt.Sprintf("[%s%s] %3d %%  %d/%d tasks  %.1f tasks/s",
		strings.Repeat("#", filled), strings.Repeat(".", length-filled), 100*done/p.total, done, p.total, rate)
	if workers > 0 {
		line += "  " + plural(workers, "worker")
	}
	p.draw(line)
}

// say puts a line of its own above the bar.
func (p *progress) say(format string, args ...any) {
	p.draw("")
	fmt.Fprintf(p.out, format+"\n", args...)
}

// Write makes it a place for log lines.
func (p *progress) Write(line []byte) (int, error) {
	p.say("%s", strings.TrimRight(string(line), "\n"))
	return len(line), nil
}

// end leaves the bar and goes to a new line.
func (p *progress) end() {
	if p.live && p.width > 0 {
		fmt.Fprintln(p.out)
		p.width = 0
	}
}

// draw overwrites the line on the screen.
func (p *progress) draw(line string) {
	if !p.live {
		return
	}
	fmt.Fprintf(p.out, "\r%-*s", p.width, line)
	p.width = len(line)
	if line == "" {
		fmt.Fprint(p.out, "\r")
	}
}
