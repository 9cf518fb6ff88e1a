// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Template is what the containers of a role are made from, with the
// framework's defaults already filled in.
type Template struct {
	Image      string
	Entrypoint []string
	Command    []string
	// Environment that the user wrote; $(NAME) in a value, as in Entrypoint
	// and Command, stands for one of the variables that the core adds.
	Environment map[string]string
	// Hardware of the server, or of one worker.
	Hardware Hardware
	// StopSignal, StopGrace and Labels are taken by containers from their
	// next launch on; a change of them restarts nothing.
	StopSignal string
	StopGrace  time.Duration
	Labels     map[string]string
	// Settings are the framework's options, nil for none.
	Settings map[string]any
	// Options are the backend's typed options for the role. They must encode
	// to JSON, always in the same way, and hold no secret.
	Options any
	// Record is what import gives back.
	Record Record
}

// ServerSpec is a server container.
type ServerSpec struct {
	Template
	// Port that the server listens on; 0 is any free one, where the backend
	// can find one.
	Port    int
	Publish *Publish
	// SameLAN: workers reach the server at its private endpoint.
	SameLAN bool
}

// of is where a server's port is published, nil if it is not.
func (p *Publish) of(name string) *Publish {
	if p == nil {
		return nil
	}
	if name == PortMain {
		return &Publish{Address: p.Address, Port: p.Port}
	}
	if port, ok := p.Others[name]; ok {
		return &Publish{Address: p.Address, Port: port}
	}
	return nil
}

// ServerPorts are the ports of a framework's server that listens on port main.
func ServerPorts(fw Framework, main int, publish *Publish) []Port {
	ports := []Port{{Name: PortMain, Number: main, Publish: publish.of(PortMain)}}
	others := portNumbers(fw.Defaults(RoleServer), main)
	for _, name := range slices.Sorted(maps.Keys(others)) {
		ports = append(ports, Port{Name: name, Number: others[name], Publish: publish.of(name)})
	}
	return ports
}

// Hash changes exactly when the server must be restarted.
func (s ServerSpec) Hash() string {
	return hash(s.restarts(), map[string]any{"port": s.Port, "publish": s.Publish, "same_lan": s.SameLAN})
}

// Hash changes exactly when containers made from the template must be
// replaced: with image, entrypoint, command, environment, hardware and the
// backend's options; not with labels, grace or signal.
func (t Template) Hash() string { return hash(t.restarts(), nil) }

func (t Template) restarts() map[string]any {
	m := map[string]any{
		"image": t.Image, "entrypoint": orEmpty(t.Entrypoint), "command": orEmpty(t.Command),
		"hardware": t.Hardware,
	}
	// An empty map and none are the same to a container.
	if len(t.Environment) > 0 {
		m["environment"] = t.Environment
	}
	if len(t.Settings) > 0 {
		m["settings"] = t.Settings
	}
	if t.Options != nil {
		m["options"] = t.Options
	}
	return m
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// hash is the start of a SHA-256 over JSON, in which map keys are sorted: 64
// bits are plenty to tell two specs of one pool apart.
func hash(parts ...any) string {
	b, err := json.Marshal(parts)
	if err != nil {
		// Options that do not encode are a fault of the backend's types, not
		// of the user; a constant hash would hide every change.
		panic("managed: backend options do not encode to JSON: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// External is a server from elsewhere: honoured with its own password and
// port, never started or stopped.
type External struct {
	Endpoint
	Password Secret
}
