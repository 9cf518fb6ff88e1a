// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// fewHandles are inspected one by one, which tells more than a list; more are
// listed in one call.
const fewHandles = 2

// manyHandles are listed by our label rather than by their ids, of which not
// all proxies let a long line pass.
const manyHandles = 50

// Status implements [managed.Backend].
func (b *Backend) Status(ctx context.Context, handles []managed.Handle) (map[managed.Handle]managed.Observation, error) {
	wanted := make(map[managed.Handle]bool, len(handles))
	for _, h := range handles {
		if looksLikeHandle(h) {
			wanted[h] = true
		}
	}
	seen := make(map[managed.Handle]managed.Observation, len(wanted))
	if len(wanted) <= fewHandles {
		for h := range wanted {
			c, err := b.inspect(ctx, h)
			if err != nil {
				return nil, err
			}
			if c != nil {
				seen[h] = b.inspected(c)
			}
		}
		return seen, nil
	}
	summaries, err := b.summaries(ctx, wanted)
	if err != nil {
		return nil, err
	}
	observed, err := b.observe(ctx, summaries)
	if err != nil {
		return nil, err
	}
	for i, o := range observed {
		if o.Known {
			seen[managed.Handle(summaries[i].ID)] = o
		}
	}
	return seen, nil
}

// looksLikeHandle keeps names and prefixes of ids, which the engine would take
// as well, from meaning a container.
func looksLikeHandle(h managed.Handle) bool {
	return len(h) == 64 && strings.Trim(string(h), "0123456789abcdef") == ""
}

// inspect returns nil if there is no such container.
func (b *Backend) inspect(ctx context.Context, h managed.Handle) (*container.InspectResponse, error) {
	res, err := b.docker.ContainerInspect(ctx, string(h), client.ContainerInspectOptions{})
	switch {
	case isGone(err):
		return nil, nil
	case err != nil:
		return nil, b.engine.Classify(err, "asking after the container "+short(h))
	case res.Container.State == nil || res.Container.Config == nil:
		return nil, managed.Errorf(managed.ClassUnknown, "", "asking after the container %s: the engine tells no state", short(h))
	}
	return &res.Container, nil
}

// short is a handle as docker ps shows it.
func short(h managed.Handle) string { return string(h[:min(12, len(h))]) }

// summaries lists the containers of some handles in one call.
func (b *Backend) summaries(ctx context.Context, wanted map[managed.Handle]bool) ([]container.Summary, error) {
	filter := selects(managed.Selector{})
	if len(wanted) <= manyHandles {
		for h := range wanted {
			filter.Add("id", string(h))
		}
	}
	all, err := b.listed(ctx, filter)
	if err != nil {
		return nil, err
	}
	found := all[:0]
	for _, c := range all {
		if wanted[managed.Handle(c.ID)] {
			found = append(found, c)
		}
	}
	return found, nil
}

func (b *Backend) listed(ctx context.Context, filter client.Filters) ([]container.Summary, error) {
	res, err := steady(ctx, func() (client.ContainerListResult, error) {
		return b.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filter})
	})
	if err != nil {
		return nil, b.engine.Classify(err, "asking the engine for its containers")
	}
	own := res.Items[:0]
	for i := range res.Items {
		copied, err := b.isCopy(ctx, &res.Items[i])
		if err != nil {
			return nil, err
		}
		if !copied {
			own = append(own, res.Items[i])
		}
	}
	return own, nil
}

// isCopy tells a container that has our labels from its image (see labelName)
// from one of ours. Ours has another name than its label only if somebody has
// renamed it; then its image tells.
func (b *Backend) isCopy(ctx context.Context, s *container.Summary) (bool, error) {
	name := s.Labels[labelName]
	if name == "" || slices.Contains(s.Names, "/"+name) {
		return false, nil
	}
	img, err := b.docker.ImageInspect(ctx, s.ImageID)
	switch {
	case errdefs.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, b.engine.Classify(err, "asking for the image of a container that has another name than ours")
	}
	return img.Config != nil && img.Config.Labels[labelName] == name, nil
}

// List implements [managed.Lister].
func (b *Backend) List(ctx context.Context, sel managed.Selector) (managed.Inventory, error) {
	summaries, err := b.listed(ctx, selects(sel))
	if err != nil {
		return managed.Inventory{}, err
	}
	observed, err := b.observe(ctx, summaries)
	if err != nil {
		return managed.Inventory{}, err
	}
	var inv managed.Inventory
	for i, o := range observed {
		s := &summaries[i]
		switch {
		case !o.Known || !matches(sel, "", s.Labels): // gone meanwhile, or not meant
		case s.Labels[labelKind] != "":
			if sel.Artifacts {
				inv.Artifacts = append(inv.Artifacts, managed.Artifact{Kind: "container", ID: s.ID, Labels: withoutOwn(s.Labels), CreatedAt: o.CreatedAt})
			}
		default:
			c, err := b.listedContainer(ctx, s, o)
			if err != nil {
				return managed.Inventory{}, err
			}
			inv.Containers = append(inv.Containers, c)
		}
	}
	if sel.Artifacts {
		more, err := b.artifacts(ctx, sel)
		if err != nil {
			return managed.Inventory{}, err
		}
		inv.Artifacts = append(inv.Artifacts, more...)
	}
	return inv, nil
}

func (b *Backend) listedContainer(ctx context.Context, s *container.Summary, o managed.Observation) (managed.Container, error) {
	c := managed.Container{Handle: managed.Handle(s.ID), Name: s.Labels[labelName], Observation: o}
	if s.Labels[managed.LabelRole] == string(managed.RoleServer) {
		p := placeOf(s)
		if o.Status == managed.StatusRunning && p.untold(s.Labels) {
			seen, err := b.inspect(ctx, c.Handle)
			switch {
			case err != nil:
				return c, err
			case seen != nil:
				p = inspectedPlace(seen)
			}
		}
		// Podman's list does not say all of a container's network: then the core
		// asks for its endpoint.
		if e, ok := b.endpoint(p); ok && e != (managed.Endpoint{}) && o.Status == managed.StatusRunning {
			c.Endpoints = map[string]managed.Endpoint{managed.PortMain: e}
			for name := range p.others {
				if e, ok := b.endpoint(p.at(name)); ok {
					c.Endpoints[name] = e
				}
			}
		}
		c.Exports = b.exports(s, p)
	}
	c.Labels = withoutOwn(s.Labels)
	return c, nil
}

// observe tells what listed containers do. How one ended is not in the list,
// so those that have are asked for one by one, side by side.
func (b *Backend) observe(ctx context.Context, all []container.Summary) ([]managed.Observation, error) {
	out := make([]managed.Observation, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range all {
		s := &all[i]
		if s.State == container.StateRunning || s.State == container.StateCreated {
			out[i] = summarised(s)
			continue
		}
		g.Go(func() error {
			c, err := b.inspect(ctx, managed.Handle(s.ID))
			if err == nil && c != nil {
				out[i] = b.inspected(c)
			}
			return err
		})
	}
	return out, g.Wait()
}

// summarised is what the list alone tells.
func summarised(s *container.Summary) managed.Observation {
	o := managed.Observation{Known: true, Status: managed.StatusInitializing, Image: requested(s.Labels, s.Image), ImageDigest: s.Labels[labelImageDigest], Reason: "created, but not started yet"}
	o.CreatedAt = createdAt(s.Labels, time.Unix(s.Created, 0))
	abandon(&o)
	if s.State == container.StateRunning {
		o.Status, o.Passing, o.Reason = managed.StatusRunning, false, ""
		o.StartedAt = o.CreatedAt // it is started by the next call
		if strings.Contains(s.Status, "("+string(container.Unhealthy)+")") {
			o.Reason = "its health check fails"
		}
	}
	return o
}

// abandonedTime is how long after its creation a container may be without
// having been started: the next call does that, and takes seconds at most.
const abandonedTime = 30 * time.Second

// abandon gives a container up that nobody is going to start any more, because
// the program that created it was cut off. Another one may well start.
func abandon(o *managed.Observation) {
	if time.Since(o.CreatedAt) > abandonedTime {
		o.Status, o.Passing, o.Reason = managed.StatusStopped, true, "it was created and never started: the program that made it was cut off"
	}
}

// requested is the image as it was asked for.
func requested(labels map[string]string, engines string) string {
	return cmp.Or(labels[labelImage], engines)
}

// createdAt is our own clock's time, which has no whole seconds only.
func createdAt(labels map[string]string, engines time.Time) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, labels[labelCreated]); err == nil {
		return t
	}
	return engines
}

// A container that has ended this often, and each time as soon as this, does
// not come to work by being started once more. (The engine's own measure of a
// steady container is ten seconds, too.)
const (
	patience   = 3
	steadyTime = 10 * time.Second
)

// inspected is all that can be known of a container.
func (b *Backend) inspected(c *container.InspectResponse) managed.Observation {
	st := c.State
	engines, _ := time.Parse(time.RFC3339Nano, c.Created)
	o := managed.Observation{
		Known: true, Status: managed.StatusStopped, Image: requested(c.Config.Labels, c.Config.Image), ImageDigest: c.Config.Labels[labelImageDigest],
		CreatedAt: createdAt(c.Config.Labels, engines), StartedAt: engineTime(st.StartedAt),
	}
	switch {
	case st.Status == container.StateRestarting || st.Restarting:
		o.ExitCode, o.FinishedAt = &st.ExitCode, engineTime(st.FinishedAt)
		o.Reason = exitReason(c) + ", and is started again by its restart policy"
		if c.RestartCount <= patience || o.FinishedAt.Sub(o.StartedAt) > steadyTime {
			// The engine is about to start it: nobody else has to.
			o.Status, o.ExitCode, o.CreatedAt = managed.StatusInitializing, nil, o.FinishedAt
		}
	case st.Status == container.StatePaused || st.Paused:
		o.Reason = "paused (docker unpause lets it go on)"
	case st.Status == container.StateRunning || st.Running:
		o.Status = managed.StatusRunning
		o.Ready, o.Reason = health(st.Health)
	case st.Status == container.StateCreated || st.Status == "configured" || st.Status == "initialized": // Podman's words
		o.Status, o.StartedAt = managed.StatusInitializing, time.Time{}
		o.Reason = cmp.Or(st.Error, "created, but not started yet")
		abandon(&o)
	case st.Status == container.StateRemoving:
		o.Reason = "is being removed"
	default:
		o.ExitCode, o.FinishedAt = &st.ExitCode, engineTime(st.FinishedAt)
		o.Reason = exitReason(c)
	}
	return o
}

// engineTime is zero for what has not happened, which the engine gives as the
// year 1.
func engineTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// health is the verdict of a container's health check, nil if it has none.
func health(h *container.Health) (ready *bool, reason string) {
	if h == nil || h.Status == "" || h.Status == container.NoHealthcheck {
		return nil, ""
	}
	passes := h.Status == container.Healthy
	if passes {
		return &passes, ""
	}
	reason = "its health check has not passed yet"
	if h.Status == container.Unhealthy {
		reason = "its health check fails"
	}
	if n := len(h.Log); n > 0 && h.Log[n-1] != nil && h.Log[n-1].ExitCode != 0 {
		reason += fmt.Sprintf(" (exit code %d: %s)", h.Log[n-1].ExitCode, firstLine(h.Log[n-1].Output))
	}
	return &passes, reason
}

// exitReason says how a container ended.
func exitReason(c *container.InspectResponse) string {
	st := c.State
	limit := ""
	if c.HostConfig != nil && c.HostConfig.Memory > 0 {
		limit = fmt.Sprintf(" of %d MB", c.HostConfig.Memory>>20)
	}
	switch {
	case st.OOMKilled:
		return fmt.Sprintf("out of memory: killed because it needed more than its limit%s (exit code %d); raise hardware.memory", limit, st.ExitCode)
	case st.Error != "":
		return fmt.Sprintf("exited with code %d: %s", st.ExitCode, st.Error)
	case st.ExitCode > 128 && signalNames()[st.ExitCode-128] != "":
		return "killed by " + signalNames()[st.ExitCode-128]
	}
	return fmt.Sprintf("exited with code %d", st.ExitCode)
}

// signalNames of Linux, which is what containers run on.
func signalNames() map[int]string {
	return map[int]string{1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 6: "SIGABRT", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM"}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line[:min(200, len(line))]
}

// artifacts are what clusters have beside containers.
func (b *Backend) artifacts(ctx context.Context, sel managed.Selector) ([]managed.Artifact, error) {
	sel.Pool, sel.Role = "", ""
	var all []managed.Artifact
	networks, err := b.networkList(ctx, selects(sel))
	if err != nil {
		return nil, b.engine.Classify(err, "listing networks")
	}
	for _, n := range networks.Items {
		if !matches(sel, kindNetwork, n.Labels) {
			continue
		}
		a := managed.Artifact{Kind: kindNetwork, ID: n.ID, Labels: withoutOwn(maps.Clone(n.Labels)), CreatedAt: n.Created}
		if b.networks.isStuck(n.ID) {
			a.Stuck = errStuck.Error()
		}
		all = append(all, a)
	}
	volumes, err := b.docker.VolumeList(ctx, client.VolumeListOptions{Filters: selects(sel)})
	if err != nil {
		return nil, b.engine.Classify(err, "listing volumes")
	}
	for _, v := range volumes.Items {
		if !matches(sel, kindSecret, v.Labels) {
			continue
		}
		all = append(all, managed.Artifact{Kind: kindSecret, ID: v.Name, Labels: withoutOwn(maps.Clone(v.Labels)), CreatedAt: engineTime(v.CreatedAt)})
	}
	return all, nil
}

// KillArtifacts implements [managed.ArtifactKiller].
func (b *Backend) KillArtifacts(ctx context.Context, artifacts []managed.Artifact) error {
	for _, a := range artifacts {
		var err error
		switch a.Kind {
		case kindNetwork:
			_, err = b.removeNetwork(ctx, a.ID)
		case kindSecret:
			err = b.removeVolume(ctx, a.ID)
		case "container":
			err = b.remove(ctx, managed.Handle(a.ID))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
