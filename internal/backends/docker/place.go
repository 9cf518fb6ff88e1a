// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// place is where a container is on the engine's networks.
type place struct {
	namespace, cluster string
	// mode is the container's network as it was asked for: an id or a name.
	mode     string
	networks map[string]*network.EndpointSettings
	// port is the main port, 0 if it has none; others are by name.
	port   int
	others map[string]int
	// public is where that is published, invalid if it is not; published is
	// where each port is, by its number.
	public    netip.AddrPort
	published map[int]netip.AddrPort
}

// placeOf reads a container's place from a list.
func placeOf(s *container.Summary) place {
	p := newPlace(s.Labels, s.HostConfig.NetworkMode)
	if s.NetworkSettings != nil {
		p.networks = s.NetworkSettings.Networks
	}
	for _, q := range s.Ports {
		if q.PublicPort != 0 {
			p.publish(int(q.PrivatePort), q.IP, q.PublicPort)
		}
	}
	return p.at(managed.PortMain)
}

// inspectedPlace reads a container's place from an inspection.
func inspectedPlace(c *container.InspectResponse) place {
	mode := ""
	if c.HostConfig != nil {
		mode = string(c.HostConfig.NetworkMode)
	}
	p := newPlace(c.Config.Labels, mode)
	if c.NetworkSettings == nil {
		return p
	}
	p.networks = c.NetworkSettings.Networks
	for inner, bindings := range c.NetworkSettings.Ports {
		for _, q := range bindings {
			if n, err := strconv.ParseUint(q.HostPort, 10, 16); err == nil {
				p.publish(int(inner.Num()), q.HostIP, uint16(n))
			}
		}
	}
	return p.at(managed.PortMain)
}

func newPlace(labels map[string]string, mode string) place {
	p := place{namespace: labels[managed.LabelNamespace], cluster: labels[managed.LabelCluster], mode: mode}
	p.port, _ = strconv.Atoi(labels[labelPort]) // ours, or none
	for part := range strings.SplitSeq(labels[labelPorts], ",") {
		if name, number, ok := strings.Cut(part, "="); ok {
			if p.others == nil {
				p.others = map[string]int{}
			}
			p.others[name], _ = strconv.Atoi(number)
		}
	}
	return p
}

// at is the place of a named port, with port 0 if there is none of that name.
func (p place) at(port string) place {
	if port != managed.PortMain {
		p.port = p.others[port]
	}
	p.public = p.published[p.port]
	return p
}

// untold says whether a published port is missing: Podman 4 lists neighbouring
// ports as a range, under the first one's number (measured with 4.3).
func (p place) untold(labels map[string]string) bool {
	for name := range strings.SplitSeq(labels[labelPublished], ",") {
		if number := p.others[name]; number != 0 && !p.published[number].IsValid() {
			return true
		}
	}
	return false
}

// publish prefers IPv4, which every client speaks.
func (p *place) publish(inner int, ip netip.Addr, port uint16) {
	if !ip.IsValid() {
		ip = netip.IPv4Unspecified()
	}
	if p.published == nil {
		p.published = map[int]netip.AddrPort{}
	}
	if old, ok := p.published[inner]; !ok || !old.Addr().Is4() && ip.Is4() {
		p.published[inner] = netip.AddrPortFrom(ip, port)
	}
}

// address of the container on its own network, invalid if it has none.
func (p *place) address() netip.Addr {
	names := make([]string, 0, len(p.networks))
	for name := range p.networks {
		names = append(names, name)
	}
	slices.Sort(names)
	var first netip.Addr
	for _, name := range names {
		n := p.networks[name]
		if n == nil || !n.IPAddress.IsValid() {
			continue
		}
		if name == p.mode || n.NetworkID == p.mode {
			return n.IPAddress
		}
		if !first.IsValid() {
			first = n.IPAddress
		}
	}
	return first
}

// hostAddress is the engine's host as clients know it.
func (b *Backend) hostAddress() string {
	return cmp.Or(b.engine.HostName(), "127.0.0.1")
}

// endpoint is false for a container without a port.
func (b *Backend) endpoint(p place) (managed.Endpoint, bool) {
	if p.port == 0 {
		return managed.Endpoint{}, false
	}
	var e managed.Endpoint
	switch p.mode {
	case "none":
	case "host":
		e.PrivateIP, e.PrivatePort = b.hostAddress(), p.port
	case "bridge", "default", "": // Docker's own network has no names
		if ip := p.address(); ip.IsValid() {
			e.PrivateIP, e.PrivatePort = ip.String(), p.port
		}
	default:
		e.PrivateIP, e.PrivatePort = serverAlias(p.namespace, p.cluster), p.port
	}
	if p.public.IsValid() {
		e.PublicIP, e.PublicPort = p.public.Addr().String(), int(p.public.Port())
		if p.public.Addr().IsUnspecified() {
			e.PublicIP = b.hostAddress()
		}
	}
	return e, true
}

// forwards are ssh's options that bring the published ports here, the main one
// first.
func (p place) forwards() string {
	options := ""
	bring := func(public netip.AddrPort) {
		options += fmt.Sprintf("-L %d:%s ", public.Port(), public)
	}
	bring(p.public)
	for _, name := range slices.Sorted(maps.Keys(p.others)) {
		if public := p.at(name).public; public.IsValid() {
			bring(public)
		}
	}
	return options
}

// exports are what a person may want to know of a server.
func (b *Backend) exports(s *container.Summary, p place) map[string]string {
	out := map[string]string{}
	if len(s.Names) > 0 {
		out["container_name"] = strings.TrimPrefix(s.Names[0], "/")
	}
	for name, n := range p.networks {
		if n != nil && (name == p.mode || n.NetworkID == p.mode || len(p.networks) == 1) {
			out["network"] = name
		}
	}
	if a := b.engine.Address(); a.Scheme == "ssh" && p.public.IsValid() && p.public.Addr().IsLoopback() {
		login := a.Host
		if a.User != "" {
			login = a.User + "@" + login
		}
		if a.Port != 0 && a.Port != 22 {
			login = fmt.Sprintf("-p %d %s", a.Port, login)
		}
		out["ssh_tunnel"] = "ssh -N " + p.forwards() + login
	}
	if image := requested(s.Labels, s.Image); image != "" {
		out["image"] = image
	}
	if d := s.Labels[labelImageDigest]; d != "" {
		out["image_digest"] = d
	}
	return out
}

// Endpoint implements [managed.Endpointer].
func (b *Backend) Endpoint(ctx context.Context, h managed.Handle, port string) (managed.Endpoint, error) {
	for {
		c, err := b.mustRun(ctx, h)
		if err != nil {
			return managed.Endpoint{}, err
		}
		if c != nil {
			if e, ok := b.endpoint(inspectedPlace(c).at(port)); ok {
				return e, nil
			}
			return managed.Endpoint{}, managed.Errorf(managed.ClassInvalid, "", "the container %s has no port %q", short(h), port)
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return managed.Endpoint{}, b.engine.Classify(err, "waiting for the address of the container "+short(h))
		}
	}
}

// mustRun inspects a container: nil if it has not started yet, an error if it
// is not there or has stopped.
func (b *Backend) mustRun(ctx context.Context, h managed.Handle) (*container.InspectResponse, error) {
	if !looksLikeHandle(h) {
		return nil, notThere(h)
	}
	c, err := b.inspect(ctx, h)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, notThere(h)
	}
	switch o := b.inspected(c); o.Status {
	case managed.StatusRunning:
		return c, nil
	case managed.StatusInitializing:
		return nil, nil
	default:
		return nil, managed.Errorf(managed.ClassNotFound, "", "the container %s does not run: %s", short(h), o.Reason)
	}
}

func notThere(h managed.Handle) error {
	return managed.Errorf(managed.ClassNotFound, "", "there is no container with the handle %s", h)
}
