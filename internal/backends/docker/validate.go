// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// The smallest that the engine accepts: 6 MB of memory and 0.01 CPU, which is
// 10.24 CPU units.
const (
	minMemory = 6
	minCPU    = 11
)

var (
	platformPattern = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?$`)
	restartPattern  = regexp.MustCompile(`^(no|always|unless-stopped|on-failure(:[1-9][0-9]{0,8})?)$`)
	volumePattern   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)
	signalPattern   = regexp.MustCompile(`^((SIG)?[A-Z]+([0-9+]+)?|[1-9][0-9]?)$`)
	devicePattern   = regexp.MustCompile(`^/[^:]*(:/[^:]*)?(:[rwm]{1,3})?$`)
)

// validate finds what the engine would refuse, without asking it.
func validate(role managed.Role, spec managed.ContainerSpec) []managed.Problem {
	o := managed.OptionsAs[Options](spec.Options)
	v := validation{spec: &spec, o: &o}
	v.image()
	v.hardware()
	v.network(role)
	v.mounts()
	v.limits()
	v.words()
	v.health()
	return v.found
}

// validation of one role.
type validation struct {
	spec  *managed.ContainerSpec
	o     *Options
	found []managed.Problem
}

// wrong notes a problem; attributes are relative to the role.
func (v *validation) wrong(attribute, format string, args ...any) {
	v.found = append(v.found, managed.Problem{Attribute: attribute, Detail: fmt.Sprintf(format, args...)})
}

func (v *validation) image() {
	if v.spec.Image == "" {
		return // the core says so
	}
	if err := engine.CheckReference(v.spec.Image); err != nil {
		v.wrong(engine.AttributeImage, "%s.", err)
	}
}

func (v *validation) hardware() {
	hw := v.spec.Hardware
	if hw.ID != "" {
		v.wrong("hardware.id", "A Docker Engine has no types of machines to choose from: leave hardware.id out.")
	}
	if hw.Memory > 0 && hw.Memory < minMemory {
		v.wrong("hardware.memory", "Docker gives a container at least %d MB of memory.", minMemory)
	}
	if hw.CPU > 0 && hw.CPU < minCPU {
		v.wrong("hardware.cpu", "Docker gives a container at least %d CPU units (0.01 of a core).", minCPU)
	}
}

func (v *validation) network(role managed.Role) {
	o := v.o
	closed := o.Network == "none" || o.Network == "host"
	if closed && len(o.ExtraNetworks) > 0 {
		v.wrong("docker.extra_networks", "A container with the network %q can join no other one.", o.Network)
	}
	for _, n := range o.ExtraNetworks {
		if n == "host" || n == "none" {
			v.wrong("docker.extra_networks", "%q is no network that a container can join besides another one.", n)
		}
	}
	for _, p := range v.spec.Ports {
		if p.Publish == nil || p.Name != managed.PortMain { // which is published if any is
			continue
		}
		switch o.Network {
		case "none":
			v.wrong("publish", "A server without a network has no port to publish: remove publish or docker.network.")
		case "host":
			v.wrong("publish", "With docker.network = \"host\" the server listens on the host itself, so nothing is to be published: remove publish.")
		}
		if _, err := netip.ParseAddr(p.Publish.Address); err != nil {
			v.wrong("publish.address", "%q is no IP address. A port is published at an address of the engine's host, such as 127.0.0.1 or 0.0.0.0.", p.Publish.Address)
		}
	}
	if role == managed.RoleServer && o.Network == "none" {
		v.wrong("docker.network", "Nobody could reach a server without a network.")
	}
	for _, name := range slices.Sorted(maps.Keys(o.ExtraHosts)) {
		if _, err := netip.ParseAddr(o.ExtraHosts[name]); err != nil && o.ExtraHosts[name] != "host-gateway" {
			v.wrong("docker.extra_hosts", "%q of %s is neither an IP address nor \"host-gateway\".", o.ExtraHosts[name], name)
		}
		if name == "" || strings.ContainsAny(name, ": \t") {
			v.wrong("docker.extra_hosts", "%q is no host name.", name)
		}
	}
	for _, d := range o.DNS {
		if _, err := netip.ParseAddr(d); err != nil {
			v.wrong("docker.dns", "%q is no IP address.", d)
		}
	}
}

func (v *validation) mounts() {
	targets := map[string]bool{}
	for i, m := range v.o.Mounts {
		which := fmt.Sprintf("Mount %d (%s)", i+1, m.Target)
		if !path.IsAbs(m.Target) || path.Clean(m.Target) == "/" {
			v.wrong("docker.mounts", "%s: the target has to be an absolute path in the container, and not its root.", which)
		}
		if targets[path.Clean(m.Target)] {
			v.wrong("docker.mounts", "%s: another mount has the same target.", which)
		}
		targets[path.Clean(m.Target)] = true
		switch m.Type {
		case "bind":
			if !path.IsAbs(m.Source) {
				v.wrong("docker.mounts", "%s: the source of a bind is an absolute path of the engine's host, not %q.", which, m.Source)
			}
		case "volume":
			if m.Source != "" && !volumePattern.MatchString(m.Source) {
				v.wrong("docker.mounts", "%s: %q is no name of a volume; for a path use the type \"bind\".", which, m.Source)
			}
		case "tmpfs":
			if m.Source != "" {
				v.wrong("docker.mounts", "%s: a tmpfs has no source.", which)
			}
		default:
			v.wrong("docker.mounts", "%s: the type is \"bind\", \"volume\" or \"tmpfs\", not %q.", which, m.Type)
		}
		if m.TmpfsSize != 0 && m.Type != "tmpfs" {
			v.wrong("docker.mounts", "%s: only a tmpfs has a size.", which)
		}
	}
	for _, d := range v.o.Devices {
		if !devicePattern.MatchString(d) {
			v.wrong("docker.devices", "%q is no device: write host path[:container path[:permissions]], such as /dev/fuse or /dev/kvm:/dev/kvm:rw.", d)
		}
	}
}

// ulimitNames are those that the engine knows.
func ulimitNames() []string {
	return []string{"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"}
}

func (v *validation) limits() {
	for _, name := range slices.Sorted(maps.Keys(v.o.Ulimits)) {
		u := v.o.Ulimits[name]
		if !slices.Contains(ulimitNames(), name) {
			v.wrong("docker.ulimits", "There is no limit %q; there are %s.", name, strings.Join(ulimitNames(), ", "))
		}
		if u.Soft < -1 || u.Hard < -1 || u.Hard != -1 && (u.Soft > u.Hard || u.Soft == -1) {
			v.wrong("docker.ulimits", "The soft limit of %s (%d) is above the hard one (%d); -1 is no limit.", name, u.Soft, u.Hard)
		}
	}
	if v.o.ShmSize < 0 {
		v.wrong("docker.shm_size", "The size of /dev/shm is at least 1 MB.")
	}
}

func (v *validation) words() {
	o := v.o
	check := func(attribute, value string, pattern *regexp.Regexp, form string) {
		if value != "" && !pattern.MatchString(value) {
			v.wrong(attribute, "%q is not valid: %s.", value, form)
		}
	}
	check("docker.restart_policy", o.RestartPolicy, restartPattern, `it is "no", "always", "unless-stopped", "on-failure" or "on-failure:5"`)
	check("docker.platform", o.Platform, platformPattern, `it looks like "linux/amd64" or "linux/arm/v7"`)
	check("docker.stop_signal", o.StopSignal, signalPattern, `it is a signal's name, such as "SIGTERM", or its number`)
	if o.WorkingDir != "" && !path.IsAbs(o.WorkingDir) {
		v.wrong("docker.working_dir", "%q is no absolute path.", o.WorkingDir)
	}
	for attribute, names := range map[string][]string{"docker.cap_add": o.CapAdd, "docker.cap_drop": o.CapDrop} {
		for _, name := range names {
			if !isCapability(name) {
				v.wrong(attribute, "There is no capability %q. Their names are those of capabilities(7), with or without CAP_, or ALL.", name)
			}
		}
	}
	if o.Privileged && len(o.CapDrop) > 0 {
		v.wrong("docker.cap_drop", "A privileged container has all capabilities, whatever is dropped.")
	}
	switch o.PullPolicy {
	case "", engine.PullMissing, engine.PullAlways, engine.PullNever:
	default:
		v.wrong("docker.pull_policy", "%q is not valid: it is \"missing\", \"always\" or \"never\".", o.PullPolicy)
	}
	if len(o.LogOptions) > 0 && o.LogDriver == "" {
		v.wrong("docker.log_options", "Options belong to a log driver: set docker.log_driver as well.")
	}
}

func isCapability(name string) bool {
	const known = " AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK " +
		"IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP " +
		"SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM ALL "
	return name != "" && strings.Contains(known, " "+strings.TrimPrefix(strings.ToUpper(name), "CAP_")+" ")
}

func (v *validation) health() {
	h := v.o.HealthCheck
	if h == nil {
		return
	}
	if len(h.Command) == 0 || h.Command[0] == "" {
		v.wrong("docker.health_check", "A health check needs a command: the program and its arguments.")
	}
	for name, text := range map[string]string{"interval": h.Interval, "timeout": h.Timeout, "start_period": h.StartPeriod} {
		if text == "" {
			continue
		}
		if d, err := time.ParseDuration(text); err != nil || d < time.Millisecond {
			v.wrong("docker.health_check", "The %s %q is no duration of at least 1ms, such as \"10s\".", name, text)
		}
	}
	if h.Retries < 0 {
		v.wrong("docker.health_check", "The retries cannot be negative.")
	}
}
