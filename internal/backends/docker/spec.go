// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

const megabyte = 1 << 20

// createOptions are what the engine is told of a container.
func (b *Backend) createOptions(req managed.RunRequest, o Options, name, networkID string, gpus []string) (client.ContainerCreateOptions, error) {
	spec := &req.Spec
	config := &container.Config{
		Image:      spec.Image,
		Entrypoint: spec.Entrypoint,
		Cmd:        spec.Command,
		Env:        environment(spec, name),
		Labels:     b.labels(req, o, name, gpus),
		User:       o.User,
		WorkingDir: o.WorkingDir,
		StopSignal: stopSignal(spec, o),
	}
	if spec.Entrypoint != nil && len(spec.Entrypoint) == 0 {
		config.Entrypoint = []string{""} // what docker run --entrypoint "" sends: none, not even the image's
	}
	grace := int((spec.StopGrace + time.Second - 1) / time.Second)
	config.StopTimeout = &grace // for those who stop it by hand
	var err error
	if config.Healthcheck, err = healthConfig(o.HealthCheck); err != nil {
		return client.ContainerCreateOptions{}, err
	}
	host, err := hostConfig(spec, o, gpus)
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	if err := publish(spec, config, host); err != nil {
		return client.ContainerCreateOptions{}, err
	}
	host.NetworkMode = container.NetworkMode(networkID)
	create := client.ContainerCreateOptions{Config: config, HostConfig: host, Name: name}
	if req.Role == managed.RoleServer && HasNames(o.Network) {
		alias := serverAlias(req.Scope.Namespace, req.Scope.Cluster)
		create.NetworkingConfig = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
			networkID: {Aliases: []string{alias}},
		}}
	}
	if o.Platform != "" {
		create.Platform = platformOf(o.Platform)
	}
	return create, nil
}

// HasNames tells whether containers in a network know one another by name: not
// in those that Docker has by itself. "" is the cluster's own.
func HasNames(network string) bool {
	return network != "host" && network != "none" && network != "bridge" && network != "default"
}

func platformOf(s string) *ocispec.Platform {
	parts := append(strings.SplitN(s, "/", 3), "", "")
	return &ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}

// environment has its variables in the order of their names.
func environment(spec *managed.ContainerSpec, name string) []string {
	all := map[string]string{managed.EnvContainer: name}
	maps.Copy(all, spec.Environment)
	maps.Copy(all, spec.SecretEnvironment)
	env := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		env = append(env, k+"="+all[k])
	}
	return env
}

func stopSignal(spec *managed.ContainerSpec, o Options) string {
	switch {
	case o.StopSignal != "":
		return o.StopSignal
	case spec.StopSignal != "":
		return spec.StopSignal
	}
	return "SIGTERM"
}

func (b *Backend) labels(req managed.RunRequest, o Options, name string, gpus []string) map[string]string {
	labels := maps.Clone(req.Spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelName] = name
	labels[labelImage] = req.Spec.Image
	labels[labelCreated] = time.Now().UTC().Format(time.RFC3339Nano)
	labels[labelStop] = stopSignal(&req.Spec, o) + " " + req.Spec.StopGrace.String()
	var others, published []string
	for _, p := range req.Spec.Ports {
		if p.Name == managed.PortMain {
			labels[labelPort] = strconv.Itoa(p.Number)
			continue
		}
		others = append(others, p.Name+"="+strconv.Itoa(p.Number))
		if p.Publish != nil {
			published = append(published, p.Name)
		}
	}
	if len(published) > 0 {
		labels[labelPublished] = strings.Join(published, ",")
	}
	if len(others) > 0 {
		labels[labelPorts] = strings.Join(others, ",")
	}
	if len(gpus) > 0 {
		labels[labelGPUs] = strings.Join(gpus, ",")
	}
	if digest := b.images.digest(req.Spec.Image, o.Platform); digest != "" {
		labels[labelImageDigest] = digest
	}
	return labels
}

func healthConfig(h *HealthCheck) (*container.HealthConfig, error) {
	if h == nil {
		return nil, nil
	}
	c := &container.HealthConfig{Test: append([]string{"CMD"}, h.Command...), Retries: h.Retries}
	for _, d := range []struct {
		text string
		into *time.Duration
	}{{h.Interval, &c.Interval}, {h.Timeout, &c.Timeout}, {h.StartPeriod, &c.StartPeriod}} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil {
			return nil, managed.Errorf(managed.ClassInvalid, "docker.health_check", "reading the health check: %w", err)
		}
		*d.into = v
	}
	return c, nil
}

func hostConfig(spec *managed.ContainerSpec, o Options, gpus []string) (*container.HostConfig, error) {
	h := &container.HostConfig{
		CapAdd: o.CapAdd, CapDrop: o.CapDrop, Privileged: o.Privileged, SecurityOpt: o.SecurityOpt, ReadonlyRootfs: o.ReadOnlyRootFS,
		GroupAdd: o.GroupAdd, Sysctls: o.Sysctls, ShmSize: int64(o.ShmSize) * megabyte, IpcMode: container.IpcMode(o.IpcMode), Runtime: o.Runtime,
		DNSSearch: o.DNSSearch, LogConfig: container.LogConfig{Type: o.LogDriver, Config: o.LogOptions},
	}
	if o.Init {
		h.Init = &o.Init
	}
	h.CpusetCpus = o.CPUSet
	h.NanoCPUs = int64(spec.Hardware.CPU) * 1e9 / 1024
	h.Memory = int64(spec.Hardware.Memory) * megabyte
	h.MemorySwap = h.Memory // the limit is the limit: none of it in swap
	for _, name := range slices.Sorted(maps.Keys(o.Ulimits)) {
		h.Ulimits = append(h.Ulimits, &container.Ulimit{Name: name, Soft: o.Ulimits[name].Soft, Hard: o.Ulimits[name].Hard})
	}
	for _, name := range slices.Sorted(maps.Keys(o.ExtraHosts)) {
		h.ExtraHosts = append(h.ExtraHosts, name+":"+o.ExtraHosts[name])
	}
	for _, s := range o.DNS {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return nil, managed.Errorf(managed.ClassInvalid, "docker.dns", "%q is no IP address", s)
		}
		h.DNS = append(h.DNS, addr)
	}
	for _, d := range o.Devices {
		h.Devices = append(h.Devices, device(d))
	}
	if len(gpus) > 0 {
		h.DeviceRequests = []container.DeviceRequest{gpuRequest(gpus)}
	}
	policy, retries, _ := strings.Cut(o.RestartPolicy, ":")
	if policy != "" && policy != "no" {
		h.RestartPolicy.Name = container.RestartPolicyMode(policy)
		h.RestartPolicy.MaximumRetryCount, _ = strconv.Atoi(retries) // validated; none is 0
	}
	for _, m := range o.Mounts {
		h.Mounts = append(h.Mounts, mountOf(m))
	}
	return h, nil
}

// device reads host[:container[:permissions]], as docker run does.
func device(s string) container.DeviceMapping {
	parts := strings.SplitN(s, ":", 3)
	d := container.DeviceMapping{PathOnHost: parts[0], PathInContainer: parts[0], CgroupPermissions: "rwm"}
	if len(parts) > 1 && parts[1] != "" {
		d.PathInContainer = parts[1]
	}
	if len(parts) > 2 {
		d.CgroupPermissions = parts[2]
	}
	return d
}

func mountOf(m Mount) mount.Mount {
	out := mount.Mount{Type: mount.Type(m.Type), Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
	if m.Type == string(mount.TypeTmpfs) && m.TmpfsSize > 0 {
		out.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: int64(m.TmpfsSize) * megabyte}
	}
	return out
}

// publish makes ports known to the engine, and those reachable from outside
// that shall be.
func publish(spec *managed.ContainerSpec, config *container.Config, host *container.HostConfig) error {
	for _, p := range spec.Ports {
		port, ok := network.PortFrom(uint16(p.Number), network.TCP)
		if !ok || p.Number < 1 || p.Number > 65535 {
			return managed.Errorf(managed.ClassInvalid, "port", "%d is no port", p.Number)
		}
		if config.ExposedPorts == nil {
			config.ExposedPorts = network.PortSet{}
		}
		config.ExposedPorts[port] = struct{}{}
		if p.Publish == nil {
			continue
		}
		addr, err := netip.ParseAddr(p.Publish.Address)
		if err != nil {
			return managed.Errorf(managed.ClassInvalid, "publish", "%q is no IP address: a port is published at an address of the engine's host", p.Publish.Address)
		}
		if host.PortBindings == nil {
			host.PortBindings = network.PortMap{}
		}
		binding := network.PortBinding{HostIP: addr}
		if p.Publish.Port != 0 {
			binding.HostPort = strconv.Itoa(p.Publish.Port)
		}
		host.PortBindings[port] = append(host.PortBindings[port], binding)
	}
	return nil
}
