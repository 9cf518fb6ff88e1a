// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"encoding/json"
	"strconv"
	"strings"
)

// LabelPrefix is reserved: users may not set labels that begin with it.
const LabelPrefix = "dockerparallel."

// The labels that every container carries from the call that creates it.
const (
	LabelManagedBy = LabelPrefix + "managed-by" // always ManagedBy
	LabelNamespace = LabelPrefix + "namespace"
	LabelOwner     = LabelPrefix + "owner" // may be empty
	LabelCluster   = LabelPrefix + "cluster"
	LabelPool      = LabelPrefix + "pool" // empty on a server
	LabelRole      = LabelPrefix + "role"
	LabelFramework = LabelPrefix + "framework"
	LabelWorkers   = LabelPrefix + "workers" // how many in this container; 0 on a server
	LabelLaunch    = LabelPrefix + "launch"
	LabelSpecHash  = LabelPrefix + "spec-hash"
	LabelToken     = LabelPrefix + "token"  // of the Run that made it
	LabelRecord    = LabelPrefix + "record" // a Record as JSON
)

// ManagedBy is the value of LabelManagedBy: what does not carry it is not
// ours and is never touched.
const ManagedBy = "terraform-provider-dockerparallel"

// Labels are a container's identity, decoded.
type Labels struct {
	Namespace string
	Owner     string
	Cluster   string
	Pool      string
	Role      Role
	Framework string
	Workers   int
	Launch    string
	SpecHash  string
	Token     string
	// Record as it was written; decode it with ParseRecord when it is needed.
	Record string
	// User labels: those outside the reserved prefix.
	User map[string]string
}

// Map encodes the labels for a backend.
func (l Labels) Map() map[string]string {
	m := make(map[string]string, 12+len(l.User))
	for k, v := range l.User {
		m[k] = v
	}
	m[LabelManagedBy] = ManagedBy
	m[LabelNamespace] = l.Namespace
	m[LabelOwner] = l.Owner
	m[LabelCluster] = l.Cluster
	m[LabelPool] = l.Pool
	m[LabelRole] = string(l.Role)
	m[LabelFramework] = l.Framework
	m[LabelWorkers] = strconv.Itoa(l.Workers)
	m[LabelLaunch] = l.Launch
	m[LabelSpecHash] = l.SpecHash
	m[LabelToken] = l.Token
	m[LabelRecord] = l.Record
	return m
}

// ParseLabels decodes a label map. It is false for what is not ours. User
// labels are not collected: that would cost an allocation for each of many
// containers; see UserLabels.
func ParseLabels(m map[string]string) (Labels, bool) {
	if m[LabelManagedBy] != ManagedBy {
		return Labels{}, false
	}
	// A number that cannot be read counts as one worker: such a container is
	// never lost, at worst counted wrongly.
	workers, err := strconv.Atoi(m[LabelWorkers])
	if err != nil || workers < 0 {
		workers = 1
	}
	return Labels{
		Namespace: m[LabelNamespace],
		Owner:     m[LabelOwner],
		Cluster:   m[LabelCluster],
		Pool:      m[LabelPool],
		Role:      Role(m[LabelRole]),
		Framework: m[LabelFramework],
		Workers:   workers,
		Launch:    m[LabelLaunch],
		SpecHash:  m[LabelSpecHash],
		Token:     m[LabelToken],
		Record:    m[LabelRecord],
	}, true
}

// UserLabels are the labels outside the reserved prefix.
func UserLabels(m map[string]string) map[string]string {
	user := map[string]string{}
	for k, v := range m {
		if !strings.HasPrefix(k, LabelPrefix) {
			user[k] = v
		}
	}
	return user
}

// Matches tells whether a selector chooses a container with these labels.
func (s Selector) Matches(l Labels) bool {
	return (s.Namespace == "" || s.Namespace == l.Namespace) &&
		(s.Cluster == "" || s.Cluster == l.Cluster) &&
		(s.Pool == "" || s.Pool == l.Pool) &&
		(s.Role == "" || s.Role == l.Role)
}

// Record is what the user wrote for a container, and what was made of it, so
// that reconnect and import give back exactly that. It holds no password.
type Record struct {
	// Version of the record's form; 1 today.
	Version int `json:"v"`
	// Spec is the user's configuration as the caller encodes it, nulls kept.
	Spec json.RawMessage `json:"spec,omitempty"`
	// Effective is what the framework's defaults made of it: kept so that a
	// later release with other defaults restarts nothing.
	Effective json.RawMessage `json:"effective,omitempty"`
}

// String encodes the record for a label; the empty record is "".
func (r Record) String() string {
	if r.Spec == nil && r.Effective == nil {
		return ""
	}
	r.Version = 1
	b, err := json.Marshal(r)
	if err != nil { // only if a raw message is no JSON
		return ""
	}
	return string(b)
}

// ParseRecord decodes a record label. "" is the zero Record.
func ParseRecord(s string) (Record, error) {
	var r Record
	if s == "" {
		return r, nil
	}
	if err := json.Unmarshal([]byte(s), &r); err != nil {
		return Record{}, Errorf(ClassInvalid, "", "reading the record in a container's labels: %w", err)
	}
	return r, nil
}
