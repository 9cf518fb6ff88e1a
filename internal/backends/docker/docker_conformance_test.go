// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

func TestConformance(t *testing.T) {
	testenv.Need(t, testenv.Docker)
	conform(t, testenv.DockerHost(), func() (*Backend, error) {
		return New(Config{Config: engine.Config{Host: testenv.DockerHost()}})
	})
}

// conform runs the suite on an engine. Direct is the engine's own socket, for
// what happens past the backend.
func conform(t *testing.T, direct string, open func() (*Backend, error)) {
	t.Helper()
	image := testenv.Image(t, direct)
	outside := testenv.Engine(t, direct)
	runs := func(args ...string) managed.Template {
		return managed.Template{Image: image, Command: args, StopGrace: 5 * time.Second}
	}
	suite := managedtest.Suite{
		New:              func(context.Context) (managed.Backend, error) { return open() },
		Framework:        managedtest.Counting{},
		Server:           managed.ServerSpec{Template: runs("/node", "server"), Port: 7000, SameLAN: true},
		Worker:           runs("/node", "worker"),
		FailingWorker:    runs("sh", "-c", "echo it broke; echo $DOCKERPARALLEL_CONTAINER; exit 3"),
		FailingLine:      "it broke",
		CompletingWorker: runs("true"),
		Kill: func(ctx context.Context, h managed.Handle) error {
			_, err := outside.ContainerKill(ctx, string(h), client.ContainerKillOptions{Signal: "KILL"})
			return err
		},
		// Of this test alone: others use the same engine.
		Namespace: strings.ToLower(t.Name()),
	}
	suite.Run(managedtest.For(t))
}
