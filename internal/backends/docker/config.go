// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
)

// Name of the backend in the provider's configuration.
const Name = "docker"

// Config of the backend.
type Config struct {
	engine.Config
	// GPUs are the ids of the engine's GPUs, as its driver calls them ("0",
	// "GPU-6b9d..."). Nil: those that the engine itself names, if it does.
	GPUs []string
}

// Options of a role, in ContainerSpec.Options (a value or a pointer). The zero
// value is what Docker does by itself. What its JSON leaves out (json:"-")
// does not restart running containers when it changes.
type Options struct {
	// Network that the container joins in place of the cluster's own: the name
	// of an existing one, or "host", "none", "bridge" as Docker means them.
	Network string `json:"network,omitempty"`
	// ExtraNetworks are existing networks to join besides.
	ExtraNetworks []string `json:"extra_networks,omitempty"`

	Mounts     []Mount  `json:"mounts,omitempty"`
	Devices    []string `json:"devices,omitempty"` // host[:container[:rwm]]
	User       string   `json:"user,omitempty"`
	GroupAdd   []string `json:"group_add,omitempty"`
	WorkingDir string   `json:"working_dir,omitempty"`

	Privileged     bool     `json:"privileged,omitempty"`
	CapAdd         []string `json:"cap_add,omitempty"`
	CapDrop        []string `json:"cap_drop,omitempty"`
	SecurityOpt    []string `json:"security_opt,omitempty"`
	ReadOnlyRootFS bool     `json:"read_only,omitempty"`

	Ulimits    map[string]Ulimit `json:"ulimits,omitempty"`
	Sysctls    map[string]string `json:"sysctls,omitempty"`
	ShmSize    int               `json:"shm_size,omitempty"` // MB
	CPUSet     string            `json:"cpuset,omitempty"`
	Init       bool              `json:"init,omitempty"`
	IpcMode    string            `json:"ipc_mode,omitempty"`
	Runtime    string            `json:"runtime,omitempty"`
	ExtraHosts map[string]string `json:"extra_hosts,omitempty"` // name to address
	DNS        []string          `json:"dns,omitempty"`
	DNSSearch  []string          `json:"dns_search,omitempty"`
	LogDriver  string            `json:"log_driver,omitempty"`
	LogOptions map[string]string `json:"log_options,omitempty"`
	// RestartPolicy is "no" (also ""), "always", "unless-stopped",
	// "on-failure" or "on-failure:N".
	RestartPolicy string `json:"restart_policy,omitempty"`
	// Platform such as "linux/arm64".
	Platform    string       `json:"platform,omitempty"`
	HealthCheck *HealthCheck `json:"health_check,omitempty"`

	PullPolicy engine.PullPolicy `json:"-"`
	// StopSignal in place of the framework's.
	StopSignal string `json:"-"`
}

// Mount is a file system inside the container.
type Mount struct {
	// Type is "bind", "volume" or "tmpfs".
	Type string `json:"type"`
	// Source is an absolute path of the engine's host, or a volume's name; ""
	// for tmpfs.
	Source   string `json:"source,omitempty"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"read_only,omitempty"`
	// TmpfsSize in MB, 0 for no limit.
	TmpfsSize int `json:"tmpfs_size,omitempty"`
}

// Ulimit is a limit of the kernel's on a process; -1 is none.
type Ulimit struct {
	Soft int64 `json:"soft"`
	Hard int64 `json:"hard"`
}

// HealthCheck is how the engine finds out whether a container works.
type HealthCheck struct {
	// Command is run in the container; exit code 0 means healthy.
	Command []string `json:"command"`
	// Durations as in Go ("10s"); "" is Docker's default.
	Interval    string `json:"interval,omitempty"`
	Timeout     string `json:"timeout,omitempty"`
	StartPeriod string `json:"start_period,omitempty"`
	Retries     int    `json:"retries,omitempty"`
}
