// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// program is a template that runs one of the memory backend's programs.
func program(words ...string) managed.Template {
	return managed.Template{Image: "memory", Command: words, Hardware: managed.Hardware{CPU: 256, Memory: 512}}
}

// suite for a memory backend.
func suite(o managedtest.MemoryOptions) *managedtest.Suite {
	world := managedtest.NewMemory(o)
	return &managedtest.Suite{
		New:              func(context.Context) (managed.Backend, error) { return world.Client(), nil },
		Framework:        managedtest.Counting{},
		Server:           managed.ServerSpec{Template: program("serve"), Port: 6379, SameLAN: true},
		Worker:           program("work"),
		FailingWorker:    program("exit", "3", "it broke", "for good"),
		FailingLine:      "for good",
		CompletingWorker: program("exit", "0"),
		Kill:             func(_ context.Context, h managed.Handle) error { return world.Stop(h, 137) },
		Namespace:        "conformance",
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	var allButSecrets []managedtest.Capability
	for _, c := range managedtest.AllCapabilities() {
		if c != managedtest.CapSecretStore {
			allButSecrets = append(allButSecrets, c)
		}
	}
	for name, o := range map[string]managedtest.MemoryOptions{
		"immediate": {Properties: managed.Properties{IdempotentRun: true, StableServerName: true}, PublicIP: "192.0.2.1"},
		"eventual": {
			HiddenFor: 5 * time.Millisecond, HiddenLooks: 1, StartDelay: 5 * time.Millisecond, StartLooks: 1, Latency: time.Millisecond,
			Properties: managed.Properties{SettleTime: 5 * time.Millisecond},
		},
		"one at a time": {Properties: managed.Properties{BatchSize: 1, Concurrency: 1}},
		"verbs only":    {Without: allButSecrets},
	} {
		t.Run(name, func(t *testing.T) {
			s := suite(o)
			if slices.Contains(o.Without, managedtest.CapProber) {
				s.Framework = managedtest.Plain{} // without a Prober there is no server to ask
			}
			s.Run(managedtest.For(t))
		})
	}
}
