// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// images remembers what the images of this operation stood for.
type images struct {
	mu    sync.Mutex
	known map[string]engine.Image // by reference and platform
}

func (i *images) put(ref, platform string, img engine.Image) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil {
		i.known = map[string]engine.Image{}
	}
	i.known[ref+" "+platform] = img
}

// digest is what a reference stood for; an image that came from no registry
// has only an id.
func (i *images) digest(ref, platform string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	img := i.known[ref+" "+platform]
	if img.Digest != "" {
		return img.Digest
	}
	return img.ID
}

// image makes sure that the engine has it. Gone is true if it was there and
// is not any more, so that even the policy "always" need not ask again.
func (b *Backend) image(ctx context.Context, ref string, o Options, gone bool) (engine.Image, error) {
	policy := o.PullPolicy
	if policy == "" || gone && policy == engine.PullAlways {
		policy = engine.PullMissing
	}
	img, err := b.engine.Image(ctx, ref, policy, o.Platform)
	if err == nil {
		b.images.put(ref, o.Platform, img)
	}
	return img, err
}

// Preflight implements [managed.Preflighter].
func (b *Backend) Preflight(ctx context.Context, req managed.RunRequest, replaces []managed.Handle) error {
	o := managed.OptionsAs[Options](req.Spec.Options)
	if err := b.fits(ctx, req.Spec, o); err != nil {
		return err
	}
	for _, n := range append([]string{o.Network}, o.ExtraNetworks...) {
		if err := b.networkExists(ctx, n); err != nil {
			return err
		}
	}
	if err := b.portsAreFree(ctx, req.Spec, replaces); err != nil {
		return err
	}
	if n := req.Spec.Hardware.GPUs; n > 0 {
		if _, err := b.freeGPUs(ctx, n, replaces); err != nil {
			return err
		}
	}
	img, err := b.image(ctx, req.Spec.Image, o, false)
	if err != nil {
		return err
	}
	if len(req.Spec.Command)+len(req.Spec.Entrypoint)+len(img.Entrypoint)+len(img.Cmd) == 0 {
		return managed.Errorf(managed.ClassInvalid, "container.command", "the image %s has no command of its own: set container.command", req.Spec.Image)
	}
	return nil
}

// fits checks a container against the engine.
func (b *Backend) fits(ctx context.Context, spec managed.ContainerSpec, o Options) error {
	info, err := b.info(ctx)
	if err != nil {
		return err
	}
	switch hw := spec.Hardware; {
	case info.NCPU > 0 && hw.CPU > info.NCPU*1024:
		return managed.Errorf(managed.ClassInvalid, "hardware.cpu", "a container would need %d CPU units (%d are one core), and the engine's machine has %d%s", hw.CPU, 1024, info.NCPU*1024, ofWorkers(spec))
	case info.MemTotal > 0 && int64(hw.Memory)*megabyte > info.MemTotal:
		return managed.Errorf(managed.ClassInvalid, "hardware.memory", "a container would need %d MB of memory, and the engine's machine has %d%s", hw.Memory, info.MemTotal/megabyte, ofWorkers(spec))
	case o.Runtime != "" && len(info.Runtimes) > 0 && !hasKey(info.Runtimes, o.Runtime):
		return managed.Errorf(managed.ClassInvalid, "docker.runtime", "the engine has no runtime %q; it has %s", o.Runtime, keys(info.Runtimes))
	case o.LogDriver != "" && len(info.Plugins.Log) > 0 && !slices.Contains(info.Plugins.Log, o.LogDriver):
		return managed.Errorf(managed.ClassInvalid, "docker.log_driver", "the engine has no log driver %q; it has %s", o.LogDriver, strings.Join(info.Plugins.Log, ", "))
	}
	return nil
}

func ofWorkers(spec managed.ContainerSpec) string {
	if spec.Workers > 1 {
		return fmt.Sprintf(" (it is to hold %d workers: lower container.max_workers)", spec.Workers)
	}
	return ""
}

func hasKey[V any](m map[string]V, k string) bool { _, ok := m[k]; return ok }

func keys[V any](m map[string]V) string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (b *Backend) networkExists(ctx context.Context, name string) error {
	if name == "" || !HasNames(name) {
		return nil
	}
	_, err := b.networkInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return managed.Errorf(managed.ClassInvalid, "docker.network", "there is no network %q on the engine: make it first (docker network create %s), or leave the option out to have one made", name, name)
	}
	if err != nil {
		return b.engine.Classify(err, "asking after the network "+name)
	}
	return nil
}

// portsAreFree finds a container that holds a port which is to be published.
// Other programs are found when the container is started.
func (b *Backend) portsAreFree(ctx context.Context, spec managed.ContainerSpec, replaces []managed.Handle) error {
	for _, p := range spec.Ports {
		if p.Publish == nil || p.Publish.Port == 0 {
			continue
		}
		res, err := steady(ctx, func() (client.ContainerListResult, error) {
			return b.docker.ContainerList(ctx, client.ContainerListOptions{})
		})
		if err != nil {
			return b.engine.Classify(err, "looking for who publishes port "+fmt.Sprint(p.Publish.Port))
		}
		for _, c := range res.Items {
			if slices.Contains(replaces, managed.Handle(c.ID)) {
				continue
			}
			for _, q := range c.Ports {
				if q.Type == "tcp" && int(q.PublicPort) == p.Publish.Port && overlaps(q.IP.String(), p.Publish.Address) {
					return managed.Errorf(managed.ClassConflict, "publish", "port %d of the engine's host is published by the container %s already: choose another one in server.publish, or 0 for any free one",
						p.Publish.Port, strings.TrimPrefix(strings.Join(c.Names, ", "), "/"))
				}
			}
		}
	}
	return nil
}

// overlaps tells whether two addresses to listen on exclude each other.
func overlaps(a, b string) bool {
	everywhere := func(s string) bool { return s == "0.0.0.0" || s == "::" || s == "invalid IP" }
	return a == b || everywhere(a) || everywhere(b)
}
