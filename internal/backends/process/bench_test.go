// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func BenchmarkRun100(b *testing.B) {
	backend := newBackend(b)
	for b.Loop() {
		started := runMany(b, backend, 100)
		b.StopTimer()
		if err := backend.Kill(canceled(), started); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(100*b.N)/b.Elapsed().Seconds(), "containers/s")
}

func BenchmarkList500(b *testing.B) {
	backend := newBackend(b)
	handles := runMany(b, backend, 500)
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if inv, err := backend.List(context.Background(), managed.Selector{Namespace: "default", Cluster: "Sim"}); err != nil || len(inv.Containers) != 500 {
				b.Fatal(err)
			}
		}
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			fresh, err := New(Config{Root: backend.root})
			if err != nil {
				b.Fatal(err)
			}
			if inv, err := fresh.List(context.Background(), managed.Selector{Namespace: "default", Cluster: "Sim"}); err != nil || len(inv.Containers) != 500 {
				b.Fatal(err)
			}
		}
	})
	b.Run("status", func(b *testing.B) {
		for b.Loop() {
			if status, err := backend.Status(context.Background(), handles); err != nil || len(status) != 500 {
				b.Fatal(err)
			}
		}
	})
	begin := time.Now()
	if err := backend.Kill(context.Background(), handles); err != nil {
		b.Fatal(err)
	}
	b.Logf("kill of 500: %v", time.Since(begin))
}

// runMany starts containers as the core does.
func runMany(tb testing.TB, b *Backend, n int) []managed.Handle {
	tb.Helper()
	size := b.Properties().BatchSize
	slots := make(chan struct{}, b.Properties().Concurrency)
	var mu sync.Mutex
	var all []managed.Handle
	var wg sync.WaitGroup
	for done := 0; done < n; done += size {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			handles, err := b.Run(context.Background(), request(min(size, n-done), "sleep", "1000"))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, handles...)
			if err != nil {
				tb.Error(err)
			}
		})
	}
	wg.Wait()
	return all
}
