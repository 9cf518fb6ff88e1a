// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Podman's name server of Debian 12 (aardvark-dns 1.4) stops answering on a
// network once one of its containers was removed (measured). So there a
// cluster's server has a fixed address, and its workers know it by their hosts
// file; on Docker the engine's own name server does both.

// isPodman tells whether the engine is a Podman service.
func (b *Backend) isPodman(ctx context.Context) (bool, error) {
	b.facts.mu.Lock()
	defer b.facts.mu.Unlock()
	if b.facts.podman != nil {
		return *b.facts.podman, nil
	}
	v, err := b.docker.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return false, b.engine.Classify(err, "asking the engine for its version")
	}
	podman := false
	for _, c := range v.Components {
		podman = podman || strings.Contains(c.Name, "Podman")
	}
	b.facts.podman = &podman
	return podman, nil
}

// vanished tells Podman's answer about a container that came or went while it
// put the answer together, by its status a fault (Podman's issues 10120 and
// 17341). It fails lists of everything, and of networks as well.
func vanished(err error) bool {
	return err != nil && strings.Contains(err.Error(), "no such container")
}

// isGone tells that there is no such container, in Docker's way or Podman's.
func isGone(err error) bool { return errdefs.IsNotFound(err) || vanished(err) }

// steady reads again what failed because of a container that just came or went.
func steady[T any](ctx context.Context, read func() (T, error)) (T, error) {
	for try := 0; ; try++ {
		res, err := read()
		if !vanished(err) || try == tries || wait(ctx, 50*time.Millisecond) != nil {
			return res, err
		}
	}
}

func (b *Backend) networkList(ctx context.Context, filter client.Filters) (client.NetworkListResult, error) {
	return steady(ctx, func() (client.NetworkListResult, error) {
		return b.docker.NetworkList(ctx, client.NetworkListOptions{Filters: filter})
	})
}

func (b *Backend) networkInspect(ctx context.Context, id string) (client.NetworkInspectResult, error) {
	return steady(ctx, func() (client.NetworkInspectResult, error) {
		return b.docker.NetworkInspect(ctx, id, client.NetworkInspectOptions{})
	})
}

// fixedAddress is the server's address in a cluster's network on Podman: the
// last one of its range, which is given out to nobody else as long as there are
// others. It is invalid where names resolve, or for a network not our own.
func (b *Backend) fixedAddress(ctx context.Context, scope managed.Scope, o Options) (netip.Addr, error) {
	if o.Network != "" {
		return netip.Addr{}, nil
	}
	if podman, err := b.isPodman(ctx); err != nil || !podman {
		return netip.Addr{}, err
	}
	id, err := b.networkOf(ctx, scope, o)
	if err != nil {
		return netip.Addr{}, err
	}
	if ip := b.networks.address(scope); ip.IsValid() {
		return ip, nil
	}
	seen, err := b.networkInspect(ctx, id)
	if err != nil {
		return netip.Addr{}, b.engine.Classify(err, "asking for the address range of the cluster's network")
	}
	for _, r := range seen.Network.IPAM.Config {
		if ip := lastAddress(r.Subnet); ip.IsValid() {
			b.networks.putAddress(scope, ip)
			return ip, nil
		}
	}
	return netip.Addr{}, nil
}

// fix gives a server its fixed address, and tells it to a worker.
func fix(spec *client.ContainerCreateOptions, req managed.RunRequest, networkID string, ip netip.Addr) {
	if req.Role == managed.RoleServer {
		spec.NetworkingConfig.EndpointsConfig[networkID].IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: ip}
		return
	}
	spec.HostConfig.ExtraHosts = append(spec.HostConfig.ExtraHosts, serverAlias(req.Scope.Namespace, req.Scope.Cluster)+":"+ip.String())
}

// lastAddress is the last of an IPv4 range before its broadcast address.
func lastAddress(p netip.Prefix) netip.Addr {
	if !p.IsValid() || !p.Addr().Is4() || p.Bits() > 29 {
		return netip.Addr{}
	}
	b := p.Masked().Addr().As4()
	host := uint32(1)<<(32-p.Bits()) - 2
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n += host
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
