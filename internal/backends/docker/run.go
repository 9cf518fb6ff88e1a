// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// withdrawTime bounds the removal of a container that did not start, which
// is done although the caller may have given up.
const withdrawTime = 30 * time.Second

// Run implements [managed.Backend]. It takes two calls a container: one that
// creates it, with all that is ever known of it, and one that starts it.
func (b *Backend) Run(ctx context.Context, req managed.RunRequest) ([]managed.Handle, error) {
	if req.Count < 1 {
		return nil, managed.Errorf(managed.ClassInvalid, "", "starting containers: a count of %d", req.Count)
	}
	opts := managed.OptionsAs[Options](req.Spec.Options)
	if req.Token == "" {
		req.Token = rand.Text()
	}
	var handles []managed.Handle
	for i := range req.Count {
		name := nameOf(req, req.Token)
		if req.Count > 1 {
			name += "-" + strconv.Itoa(i+1)
		}
		l := &launch{b: b, req: req, opts: opts, name: name}
		h, err := l.run(ctx)
		if h != "" {
			handles = append(handles, h)
		}
		if err != nil {
			return handles, err
		}
	}
	return handles, nil
}

// launch is the start of one container.
type launch struct {
	b    *Backend
	req  managed.RunRequest
	opts Options
	name string
}

// tries of a launch: the second for a network that was removed, or a name
// that was taken, in the very moment.
const tries = 3

// run returns the handle also beside an error if the container may be there.
func (l *launch) run(ctx context.Context) (managed.Handle, error) {
	release, err := l.b.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	for try := 1; ; try++ {
		h, again, err := l.try(ctx)
		if err == nil || !again || try == tries || ctx.Err() != nil {
			return h, err
		}
	}
}

// try starts the container once. Again is true if what went wrong is mended
// and another try may succeed.
func (l *launch) try(ctx context.Context) (h managed.Handle, again bool, err error) {
	b := l.b
	networkID, err := b.networkOf(ctx, l.req.Scope, l.opts)
	if err != nil {
		return "", false, err
	}
	if l.req.Spec.Hardware.GPUs > 0 {
		h, err = l.createWithGPUs(ctx, networkID)
	} else {
		h, err = l.create(ctx, networkID, nil)
	}
	if err != nil {
		if h == "" && ctx.Err() != nil {
			b.takeBack(ctx, l.name, func(labels map[string]string) bool { return labels[managed.LabelToken] == l.req.Token })
		}
		return h, l.mend(ctx, err), l.explain(err, "creating a container")
	}
	for _, n := range l.opts.ExtraNetworks {
		if _, err := b.docker.NetworkConnect(ctx, n, client.NetworkConnectOptions{Container: string(h)}); err != nil && !alreadyConnected(err) {
			b.withdraw(ctx, h, l.name)
			return "", false, l.explain(err, "connecting a container to the network "+n)
		}
	}
	if _, err := b.docker.ContainerStart(ctx, string(h), client.ContainerStartOptions{}); err != nil && !errdefs.IsNotModified(err) {
		said := l.explain(err, "starting the container "+l.name)
		switch managed.ClassOf(said) {
		case managed.ClassTransient, managed.ClassCanceled, managed.ClassDeadline:
			// The engine may yet start it: it is found by its name or label.
			return h, false, said
		}
		again = l.mend(ctx, err)
		b.withdraw(ctx, h, l.name)
		return "", again, said
	}
	return h, false, nil
}

// create returns the container's handle. One that an earlier try of the same
// Run has created is taken for it.
func (l *launch) create(ctx context.Context, networkID string, gpus []string) (managed.Handle, error) {
	fixed, err := l.b.fixedAddress(ctx, l.req.Scope, l.opts)
	if err != nil {
		return "", err
	}
	spec, err := l.b.createOptions(l.req, l.opts, l.name, networkID, gpus)
	if err != nil {
		return "", err
	}
	if fixed.IsValid() {
		fix(&spec, l.req, networkID, fixed)
	}
	res, err := l.b.docker.ContainerCreate(ctx, spec)
	if err == nil {
		for _, w := range res.Warnings {
			l.b.log.DebugContext(ctx, "the engine warns", "container", l.name, "warning", w)
		}
		return managed.Handle(res.ID), nil
	}
	if !isNameTaken(err) {
		return "", err
	}
	there, inspectErr := l.b.docker.ContainerInspect(ctx, l.name, client.ContainerInspectOptions{})
	if inspectErr == nil && there.Container.Config != nil && there.Container.Config.Labels[managed.LabelToken] == l.req.Token {
		return managed.Handle(there.Container.ID), nil
	}
	return "", err
}

// ambiguousTime is the time between two looks at two networks of one name.
const ambiguousTime = 200 * time.Millisecond

// mend removes what an error came from, if it can; true if it did.
func (l *launch) mend(ctx context.Context, err error) bool {
	switch {
	case isMissingNetwork(err) && l.opts.Network == "":
		// Removed by a clean-up that saw nothing in it.
		l.b.networks.forget(l.req.Scope)
		return true
	case strings.Contains(err.Error(), "is ambiguous") && l.opts.Network == "":
		// Two programs have made the cluster's network at once; one of them
		// removes its own again.
		l.b.networks.forget(l.req.Scope)
		return wait(ctx, ambiguousTime) == nil
	case isNameTaken(err):
		// A stranger's container: ours is called something else.
		l.name += "-" + strings.ToLower(rand.Text()[:4])
		return true
	case isMissingImage(err) && l.opts.PullPolicy != engine.PullNever:
		// Removed since the preflight.
		_, err := l.b.image(ctx, l.req.Spec.Image, l.opts, true)
		return err == nil
	}
	return false
}

// lateTime is how long the engine may take to finish a creation whose caller
// has gone.
const lateTime = 2 * time.Second

// takeBack removes a container that the engine goes on to create although
// the caller gave up: the engine finishes what it has begun.
func (b *Backend) takeBack(ctx context.Context, name string, ours func(labels map[string]string) bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateTime)
	defer cancel()
	for {
		there, err := b.docker.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
		switch {
		case err == nil && there.Container.Config != nil && ours(there.Container.Config.Labels):
			b.withdraw(ctx, managed.Handle(there.Container.ID), name)
			return
		case err == nil || !isGone(err):
			return
		}
		if wait(ctx, 50*time.Millisecond) != nil {
			return // it never came to the engine, or a later look finds it
		}
	}
}

// withdraw removes a container that did not start.
func (b *Backend) withdraw(ctx context.Context, h managed.Handle, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	if err := b.remove(ctx, h); err != nil {
		b.log.WarnContext(ctx, "a container that did not start is left; the next apply removes it", "container", name, "error", err)
	}
}

// explain classes an error and says what to do.
func (l *launch) explain(err error, doing string) error {
	var classed *managed.Error
	if errors.As(err, &classed) {
		return err
	}
	text := err.Error()
	has := func(parts ...string) bool { return engine.ContainsAny(text, parts...) }
	invalid := func(attribute, advice string) error {
		return managed.Errorf(managed.ClassInvalid, attribute, "%s: %w; %s", doing, err, advice)
	}
	switch {
	case isMissingImage(err):
		return invalid("container.image", "the engine does not have the image")
	case has("executable file not found", "no such file or directory: unknown", "exec format error") || has("OCI runtime") && has("permission denied", "no such file or directory"):
		return invalid("container.command", "is the command in the image, for this kind of processor, and is its path right?")
	case has("No command specified", "no command or entrypoint"):
		return invalid("container.command", "the image has no command of its own: set container.command")
	case has("could not select device driver", "unresolvable CDI devices", "nvidia-container-cli"):
		return invalid("hardware.gpus", "the engine has no GPU driver: install the NVIDIA container toolkit on its host")
	case has("port is already allocated", "address already in use"):
		return managed.Errorf(managed.ClassConflict, "publish", "%s: %w; choose another one in server.publish, or 0 for any free one", doing, err)
	case has("cannot assign requested address"):
		return invalid("publish", "server.publish.address is no address of the engine's host")
	case has("bind source path does not exist", "invalid mount config"):
		return invalid("docker.mounts", "bind sources are paths of the engine's host")
	case has("unknown log opt", "logger", "log driver"):
		return invalid("docker.log_driver", "see the engine's list of log drivers (docker info)")
	case has("unknown or invalid runtime", "unknown runtime"):
		return invalid("docker.runtime", "see the engine's list of runtimes (docker info)")
	case isMissingNetwork(err):
		return invalid("docker.network", "the network does not exist on the engine")
	}
	return l.b.engine.Classify(err, doing)
}

func isMissingImage(err error) bool {
	return errdefs.IsNotFound(err) && strings.Contains(strings.ToLower(err.Error()), "image")
}

func isMissingNetwork(err error) bool {
	text := err.Error()
	return strings.Contains(text, "network") && (strings.Contains(text, "not found") || strings.Contains(text, "could not find"))
}

// isNameTaken goes by the text alone: Podman's status is that of a fault.
func isNameTaken(err error) bool {
	return strings.Contains(err.Error(), "name") && strings.Contains(err.Error(), "in use")
}

func alreadyConnected(err error) bool {
	return strings.Contains(err.Error(), "already exists in network") || strings.Contains(err.Error(), "already connected")
}
