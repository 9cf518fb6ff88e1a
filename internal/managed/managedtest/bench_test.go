// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"fmt"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// sizes are the numbers of workers that the core is measured with.
func sizes() []int { return []int{1, 100, 10_000, 100_000} }

// benchPool is a cluster in memory, and the request for n workers in it.
func benchPool(b *testing.B, n int) (*managed.Manager, managed.PoolRequest) {
	b.Helper()
	backend := managedtest.NewMemory(managedtest.MemoryOptions{Properties: managed.Properties{BatchSize: 1000, Concurrency: 4}})
	m := managed.NewManager(backend, managed.Options{Owner: "bench"})
	scope := managed.Scope{Namespace: "bench", Cluster: "bench"}
	if _, err := m.RunServer(b.Context(), managed.ServerRequest{
		Scope: scope, Framework: managedtest.Plain{}, Server: managed.ServerSpec{Port: 1, SameLAN: true}, Create: true,
	}); err != nil {
		b.Fatal(err)
	}
	address, err := m.ConnectServer(b.Context(), scope, "")
	if err != nil {
		b.Fatal(err)
	}
	scope.Pool = "p"
	return m, managed.PoolRequest{
		Scope: scope, Framework: managedtest.Plain{}, Server: address, MaxWorkers: 1, Workers: n, MinWorkers: n,
		ScaleIn: managed.ScaleInNewest, Gang: managed.GangSoft, WaitFor: managed.WaitForRunning, OnExit: managed.OnExitReplace,
		Update: managed.UpdatePolicy{Strategy: managed.StrategyRolling, MaxUnavailable: max(1, n/4)},
	}
}

// BenchmarkReconcile measures what an operation costs the core when all is as
// it should be: list, classify, decide, and look again.
func BenchmarkReconcile(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, req := benchPool(b, n)
			res, err := m.SetWorkerNumber(b.Context(), req)
			if err != nil {
				b.Fatal(err)
			}
			req.Slots, req.Known = res.Slots, res.Slots
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.SetWorkerNumber(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/worker")
		})
	}
}

// BenchmarkRefresh measures what Read of a pool costs.
func BenchmarkRefresh(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, req := benchPool(b, n)
			res, err := m.SetWorkerNumber(b.Context(), req)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				v, err := m.PoolStatus(b.Context(), managed.PoolQuery{Scope: req.Scope, Slots: res.Slots})
				if err != nil || v.Achieved != n {
					b.Fatal(v.Achieved, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/worker")
		})
	}
}

// BenchmarkCreate measures a pool from nothing, and its clean-up, packed by four.
func BenchmarkCreate(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, req := benchPool(b, n)
			req.MaxWorkers = 4
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.SetWorkerNumber(b.Context(), req); err != nil {
					b.Fatal(err)
				}
				if _, err := m.Cleanup(b.Context(), managed.CleanupRequest{Scope: req.Scope}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/worker")
		})
	}
}
