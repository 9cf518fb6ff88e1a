// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/docker"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// engine is the one that everything is measured on, seen from outside.
type engine struct {
	docker  *client.Client
	run     string // the value of runLabel, and this provider's namespace
	image   string
	imageID string
	// hadHelper says whether the helper image was there before.
	hadHelper bool
}

func newEngine(run string) (*engine, error) {
	c, err := client.New(client.FromEnv)
	if err != nil {
		return nil, err
	}
	return &engine{docker: c, run: run, image: "dockerparallel.local/benchmark:" + run}, nil
}

// socket is the path of the engine's socket, which the proxy stands before.
func (e *engine) socket() (string, error) {
	path, ok := strings.CutPrefix(e.docker.DaemonHost(), "unix://")
	if !ok {
		return "", fmt.Errorf("the engine at %s cannot be measured: it has to be reached by a socket", e.docker.DaemonHost())
	}
	return path, nil
}

// importImage gives the engine an image with one static program, which does
// nothing if it is let alone.
func (e *engine) importImage(ctx context.Context, program string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	err = w.WriteHeader(&tar.Header{Name: "node", Mode: 0o755, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	_, err = e.docker.ImageInspect(ctx, docker.HelperImage)
	e.hadHelper = err == nil
	res, err := e.docker.ImageImport(ctx, client.ImageImportSource{Source: &buf, SourceName: "-"}, e.image, client.ImageImportOptions{
		Changes: []string{`CMD ["/node", "server"]`, "ENV DOCKERPARALLEL_SERVER_HOST=127.0.0.1 DOCKERPARALLEL_SERVER_PORT=7000"},
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res)
	if err = errors.Join(err, res.Close()); err != nil {
		return err
	}
	found, err := e.docker.ImageInspect(ctx, e.image)
	e.imageID = found.ID
	return err
}

// marks select what is ours, by the benchmark's label or by the provider's.
func (e *engine) marks() []client.Filters {
	return []client.Filters{
		client.Filters{}.Add("label", runLabel+"="+e.run),
		client.Filters{}.Add("label", managed.LabelNamespace+"="+e.run),
	}
}

// workers are the containers that a contestant has started.
func (e *engine) workers(ctx context.Context) (running, other []container.Summary, err error) {
	res, err := e.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: e.marks()[0]})
	for i := range res.Items {
		if res.Items[i].State == container.StateRunning {
			running = append(running, res.Items[i])
		} else {
			other = append(other, res.Items[i])
		}
	}
	return running, other, err
}

// killOne kills a container as the kernel would, and waits until the engine
// knows it.
func (e *engine) killOne(ctx context.Context) error {
	running, _, err := e.workers(ctx)
	if err != nil {
		return err
	}
	running = slices.DeleteFunc(running, func(c container.Summary) bool { return c.Labels[managed.LabelRole] == string(managed.RoleServer) })
	if len(running) == 0 {
		return errors.New("there is no worker to kill")
	}
	id := running[len(running)/2].ID
	waiting := e.docker.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	if _, err := e.docker.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		return err
	}
	select {
	case <-waiting.Result:
		return nil
	case err := <-waiting.Error:
		return err
	}
}

// network makes one, and gives what removes it again.
func (e *engine) network(ctx context.Context, name string) (remove func(), err error) {
	made, err := e.docker.NetworkCreate(ctx, name, client.NetworkCreateOptions{Driver: "bridge", Labels: map[string]string{runLabel: e.run}})
	return func() {
		// If it is in use, that is found as something left behind.
		_, _ = e.docker.NetworkRemove(context.WithoutCancel(ctx), made.ID, client.NetworkRemoveOptions{})
	}, err
}

// thing is something on the engine, and how it is removed.
type thing struct {
	name   string
	remove func() error
}

// leftovers are what is there of ours.
func (e *engine) leftovers(ctx context.Context) ([]thing, error) {
	var things []thing
	for _, mark := range e.marks() {
		containers, err := e.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: mark})
		if err != nil {
			return nil, err
		}
		for _, c := range containers.Items {
			things = append(things, thing{"the container " + strings.Join(c.Names, ","), func() error {
				_, err := e.docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true})
				return err
			}})
		}
	}
	for _, mark := range e.marks() {
		networks, err := e.docker.NetworkList(ctx, client.NetworkListOptions{Filters: mark})
		if err != nil {
			return nil, err
		}
		for _, n := range networks.Items {
			things = append(things, thing{"the network " + n.Name, func() error {
				_, err := e.docker.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
				return err
			}})
		}
		volumes, err := e.docker.VolumeList(ctx, client.VolumeListOptions{Filters: mark})
		if err != nil {
			return nil, err
		}
		for _, v := range volumes.Items {
			things = append(things, thing{"the volume " + v.Name, func() error {
				_, err := e.docker.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{Force: true})
				return err
			}})
		}
	}
	return things, nil
}

// sweep removes what is there, until it has seen twice that nothing is: the
// engine finishes what it was told to start after the one who told it is gone.
func (e *engine) sweep(ctx context.Context) error {
	const tries = 30
	clean := 0
	var last error
	for range tries {
		things, err := e.leftovers(ctx)
		if err != nil {
			return err
		}
		if clean++; len(things) > 0 {
			clean = 0
		}
		last = nil
		for _, t := range things { // containers come before their networks
			if err := t.remove(); err != nil && !errdefs.IsNotFound(err) {
				last = fmt.Errorf("removing %s: %w", t.name, err)
			}
		}
		if clean == 2 {
			return nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	return errors.Join(errors.New("the engine could not be cleaned: see `docker ps -a --filter label="+runLabel+"`"), last)
}

// close removes everything, whether the caller has given up or not.
func (e *engine) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
	defer cancel()
	errs := []error{e.sweep(ctx)}
	images := []string{e.image}
	if !e.hadHelper {
		images = append(images, docker.HelperImage)
	}
	for _, image := range images {
		if _, err := e.docker.ImageRemove(ctx, image, client.ImageRemoveOptions{PruneChildren: true}); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, e.docker.Close())...)
}
