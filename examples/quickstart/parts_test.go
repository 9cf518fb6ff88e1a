// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestPrimes(t *testing.T) {
	t.Parallel()
	for _, size := range []uint64{0, 1, 2, 3, 4, 25, 29, 1000, 65537, 65538, 65539, 1e5, 1e6} {
		if trial, sieve := countPrimes(0, size+1), sievePrimes(size); trial != sieve || sieve != knownPrimes(size) {
			t.Errorf("primes up to %d: %d by trial division, %d by sieve, %d known", size, trial, sieve, knownPrimes(size))
		}
	}
	for _, size := range []uint64{1e7, 7e7} {
		if sieve, known := sievePrimes(size), knownPrimes(size); sieve != known {
			t.Errorf("primes up to %d: %d by sieve, %d known", size, sieve, known)
		}
	}
}

func TestSplitJob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size uint64
		n    int
	}{{1, 1}, {10, 10}, {1000, 7}, {70_000_000, 240}} {
		next := uint64(0)
		for i, piece := range splitJob("j", c.size, c.n) {
			if piece.Index != i || piece.Job != "j" || piece.From != next || piece.To < piece.From {
				t.Fatalf("%d in %d: task %d is %+v, after %d", c.size, c.n, i, piece, next)
			}
			next = piece.To
		}
		if next != c.size+1 {
			t.Errorf("%d in %d: the tasks end at %d", c.size, c.n, next)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var plain bytes.Buffer
	p := newProgress(&plain, 100)
	for done := range 101 {
		p.update(done, 2, time.Second)
	}
	p.end()
	if lines := strings.Count(plain.String(), "\n"); lines != 5 || strings.Contains(plain.String(), "\r") {
		t.Errorf("plain output has %d lines, want 5:\n%s", lines, &plain)
	}

	var live bytes.Buffer
	p = newProgress(&live, 4)
	p.live = true
	p.update(1, 2, time.Second)
	p.say("a message")
	p.update(4, 2, time.Second)
	p.end()
	for _, want := range []string{"25 %  1/4 tasks", "\ra message\n", "100 %  4/4 tasks", "2 workers"} {
		if !strings.Contains(live.String(), want) {
			t.Errorf("no %q in %q", want, live.String())
		}
	}
}

func TestSpeedUpIsHonest(t *testing.T) {
	t.Parallel()
	before := summary{Seconds: 10, Tasks: 100, Workers: 4}
	after := summary{Seconds: 9, Tasks: 100, Workers: 8}

	var few, many bytes.Buffer
	after.printSpeedUp(&few, before, 4)
	after.printSpeedUp(&many, before, 16)
	if !strings.Contains(few.String(), "1.11 times as fast") || !strings.Contains(few.String(), "This machine has 4 cores") {
		t.Errorf("4 cores: %s", &few)
	}
	if strings.Contains(many.String(), "This machine has") {
		t.Errorf("16 cores: %s", &many)
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 80_000_000: "80,000,000"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
