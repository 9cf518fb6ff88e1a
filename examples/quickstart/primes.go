// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import "math"

// task is one piece of the job: how many primes are there in [From, To)?
type task struct {
	Job   string `json:"job"`
	Index int    `json:"index"`
	From  uint64 `json:"from"`
	To    uint64 `json:"to"`
}

// result is the answer to one task.
type result struct {
	Job     string  `json:"job"`
	Index   int     `json:"index"`
	Count   uint64  `json:"count"`
	Worker  string  `json:"worker"`
	Seconds float64 `json:"seconds"`
}

// splitJob cuts the numbers up to and including size into n tasks of about the same work. Large numbers take longer, about
// as their square root, so the stretches get narrower.
func splitJob(job string, size uint64, n int) []task {
	tasks := make([]task, n)
	end := size + 1
	from := uint64(0)
	for i := range tasks {
		to := uint64(float64(end) * math.Pow(float64(i+1)/float64(n), 2.0/3))
		if i == n-1 {
			to = end
		}
		tasks[i] = task{Job: job, Index: i, From: from, To: to}
		from = to
	}
	return tasks
}

// countPrimes counts the primes in [from, to) by trial division. There are faster ways; this one is work for a processor
// and for nothing else, which is what a demonstration of parallel work needs.
func countPrimes(from, to uint64) uint64 {
	var count uint64
	for n := from; n < to; n++ {
		if isPrime(n) {
			count++
		}
	}
	return count
}

func isPrime(n uint64) bool {
	switch {
	case n < 2:
		return false
	case n < 4:
		return true
	case n%2 == 0, n%3 == 0:
		return false
	}
	for d := uint64(5); d*d <= n; d += 6 {
		if n%d == 0 || n%(d+2) == 0 {
			return false
		}
	}
	return true
}

// knownPrimes is the number of primes up to size: from the literature for round sizes, and otherwise by a sieve, which is
// quite another method than the workers' one.
func knownPrimes(size uint64) uint64 {
	switch size {
	case 1e5:
		return 9592
	case 1e6:
		return 78498
	case 1e7:
		return 664579
	case 7e7:
		return 4118064
	case 1e8:
		return 5761455
	case 1e9:
		return 50847534
	}
	return sievePrimes(size)
}

// sievePrimes counts the primes up to size with the sieve of Eratosthenes, in stretches that fit the processor's cache.
func sievePrimes(size uint64) uint64 {
	if size < 2 {
		return 0
	}

	root := uint64(math.Sqrt(float64(size))) + 1
	var small []uint64
	composite := make([]bool, root+1)
	for n := uint64(2); n <= root; n++ {
		if composite[n] {
			continue
		}
		small = append(small, n)
		for m := n * n; m <= root; m += n {
			composite[m] = true
		}
	}

	const stretch = 1 << 16
	var count uint64
	marks := make([]bool, stretch)
	for low := uint64(2); low <= size; low += stretch {
		clear(marks)
		high := min(low+stretch, size+1)
		for _, p := range small {
			for m := max(p*p, (low+p-1)/p*p); m < high; m += p {
				marks[m-low] = true
			}
		}
		for n := low; n < high; n++ {
			if !marks[n-low] {
				count++
			}
		}
	}
	return count
}
