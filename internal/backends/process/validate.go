// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// The greatest hardware that is believed: 4096 cores, 64 TB.
const (
	maxCPU    = 4096 * 1024
	maxMemory = 64 * 1024 * 1024
)

// Validate implements [managed.Validator]. Image, and CPU and memory within
// reason, are accepted in silence: a process has no image, and nothing holds
// it to its hardware.
func (b *Backend) Validate(_ managed.Role, spec managed.ContainerSpec) []managed.Problem {
	var problems []managed.Problem
	refuse := func(attribute, format string, args ...any) {
		problems = append(problems, managed.Problem{Attribute: attribute, Detail: fmt.Sprintf(format, args...)})
	}
	warn := func(attribute, detail string) {
		problems = append(problems, managed.Problem{Attribute: attribute, Warning: true, Detail: detail})
	}
	if argv := slices.Concat(spec.Entrypoint, spec.Command); len(argv) == 0 || argv[0] == "" {
		refuse("container.command", "The process backend runs no image, so it needs a command: the program and its arguments.")
	}
	if cpu := spec.Hardware.CPU; cpu < 0 || cpu > maxCPU {
		refuse("hardware.cpu", "%d CPU units is not possible; 1024 are one core.", cpu)
	}
	if memory := spec.Hardware.Memory; memory < 0 || memory > maxMemory {
		refuse("hardware.memory", "%d MB of memory is not possible.", memory)
	}
	if spec.Hardware.GPUs != 0 {
		refuse("hardware.gpus", "The process backend cannot assign GPUs; leave gpus out: processes see those of the machine.")
	}
	if spec.Hardware.ID != "" {
		warn("hardware.id", "A machine type has no effect on the process backend: it runs on this machine.")
	}
	for _, p := range spec.Ports {
		if p.Number < 1 || p.Number > 65535 {
			refuse("port", "%d is not a port (1 to 65535).", p.Number)
		}
		if p.Publish != nil && p.Name == managed.PortMain {
			warn("publish", "Publishing has no effect on the process backend: the ports are on this machine already.")
		}
	}
	for _, env := range []map[string]string{spec.Environment, spec.SecretEnvironment} {
		for _, name := range sortedKeys(env) {
			if !isVariableName(name) {
				refuse("container.environment", "%q cannot be the name of a variable on the process backend: only letters, digits and _, not a digit first.", name)
			}
		}
	}
	if _, err := parseSignal(spec.StopSignal); err != nil {
		refuse("container.stop_signal", "%v.", err)
	}
	if spec.StopGrace < 0 {
		refuse("stop_grace_period", "The time to stop cannot be negative.")
	}
	if wd := managed.OptionsAs[Options](spec.Options).WorkingDirectory; wd != "" && !filepath.IsAbs(wd) {
		refuse("process.working_directory", "%q has to be an absolute path.", wd)
	}
	return problems
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
