// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"sync"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// rawCommand is the program's own name for itself as the first contestant:
// nothing but the engine's API, in a process of its own as the others are.
const rawCommand = "raw-api"

// runLabel marks everything that a run of this program has started.
const runLabel = "benchmark.run"

// atOnce is how many calls are made at once: twice the CPUs is where the
// engine's rate ends to grow.
func atOnce() int { return 2 * runtime.NumCPU() }

// raw is one call of the first contestant.
type raw struct {
	docker *client.Client
	run    string
	image  string
	// network to join; made and removed if it is not one of the engine's own.
	network string
}

func rawMain(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(rawCommand, flag.ExitOnError)
	var r raw
	flags.StringVar(&r.run, "run", "", "the value of the label "+runLabel)
	flags.StringVar(&r.image, "image", "", "the image")
	flags.StringVar(&r.network, "network", "", "the network")
	op := flags.String("op", "", "the operation")
	n := flags.Int("n", 0, "how many containers to start")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if r.docker, err = client.New(client.FromEnv); err != nil {
		return err
	}
	// Else each of the first calls would ask for the version.
	if _, err := r.docker.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return err
	}
	switch *op {
	case opUp:
		if r.network != "none" {
			labels := map[string]string{runLabel: r.run}
			if _, err := r.docker.NetworkCreate(ctx, r.network, client.NetworkCreateOptions{Driver: "bridge", Labels: labels}); err != nil {
				return err
			}
		}
		return r.start(ctx, *n)
	case opScale:
		return r.start(ctx, *n)
	case opPlan:
		_, err := r.list(ctx)
		return err
	case opHeal:
		return r.heal(ctx)
	case opDown:
		return r.down(ctx)
	}
	return fmt.Errorf("%s: no operation %q", rawCommand, *op)
}

func (r *raw) list(ctx context.Context) ([]container.Summary, error) {
	res, err := r.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", runLabel+"="+r.run)})
	return res.Items, err
}

func (r *raw) start(ctx context.Context, n int) error {
	return sideBySide(n, func(int) error {
		made, err := r.docker.ContainerCreate(ctx, client.ContainerCreateOptions{
			Config:     &container.Config{Image: r.image, Labels: map[string]string{runLabel: r.run}},
			HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(r.network)},
		})
		if err != nil {
			return err
		}
		_, err = r.docker.ContainerStart(ctx, made.ID, client.ContainerStartOptions{})
		return err
	})
}

func (r *raw) remove(ctx context.Context, these []container.Summary) error {
	return sideBySide(len(these), func(i int) error {
		_, err := r.docker.ContainerRemove(ctx, these[i].ID, client.ContainerRemoveOptions{Force: true})
		return err
	})
}

func (r *raw) heal(ctx context.Context) error {
	all, err := r.list(ctx)
	if err != nil {
		return err
	}
	var dead []container.Summary
	for i := range all {
		if all[i].State != container.StateRunning {
			dead = append(dead, all[i])
		}
	}
	return errors.Join(r.remove(ctx, dead), r.start(ctx, len(dead)))
}

func (r *raw) down(ctx context.Context) error {
	all, err := r.list(ctx)
	if err != nil {
		return err
	}
	if err := r.remove(ctx, all); err != nil || r.network == "none" {
		return err
	}
	_, err = r.docker.NetworkRemove(ctx, r.network, client.NetworkRemoveOptions{})
	return err
}

// sideBySide does the work of all i below n, as much at once as suits the engine.
func sideBySide(n int, do func(i int) error) error {
	var (
		wg   sync.WaitGroup
		next = make(chan int)
		errs = make([]error, n)
	)
	for range min(n, atOnce()) {
		wg.Go(func() {
			for i := range next {
				errs[i] = do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}
