// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"encoding/json"
)

// clusterSecret is what the core keeps in the backend's secret store, one per
// cluster: the password, and what else a later operation needs to reach the
// server without asking whoever made it. For a cluster whose server comes from
// elsewhere it is the only trace of that server.
type clusterSecret struct {
	Version   int    `json:"v"`
	Owner     string `json:"owner"`
	Framework string `json:"framework"`
	Launch    string `json:"launch"`
	Password  string `json:"password,omitempty"`
	SameLAN   bool   `json:"same_lan"`
	// Handle of the server, for backends that cannot list.
	Handle Handle `json:"handle,omitempty"`
	// External is the address of a server from elsewhere.
	External *Endpoint `json:"external,omitempty"`
	// Record and SpecHash of a server from elsewhere, which has no labels.
	Record   string `json:"record,omitempty"`
	SpecHash string `json:"spec_hash,omitempty"`
}

// getSecret returns nil if there is none.
func (m *Manager) getSecret(ctx context.Context, scope Scope) (*clusterSecret, error) {
	if m.can.SecretStore == nil {
		return nil, nil
	}
	b, err := m.can.SecretStore.GetSecret(ctx, clusterScope(scope))
	if err != nil {
		return nil, wrap(err, "reading the secret of cluster "+scope.Cluster)
	}
	if len(b) == 0 {
		return nil, nil
	}
	var s clusterSecret
	if err := json.Unmarshal(b, &s); err != nil {
		// Not %w: the text of a JSON error may quote the secret.
		return nil, Errorf(ClassInvalid, "", "the secret of cluster %q is damaged: destroy the cluster and make it again", scope.Cluster)
	}
	return &s, nil
}

func (m *Manager) putSecret(ctx context.Context, scope Scope, s clusterSecret) error {
	if m.can.SecretStore == nil {
		return Errorf(ClassInvalid, "", "the backend %q has no place for a cluster's password", m.props.Name)
	}
	s.Version = 1
	b, err := json.Marshal(s)
	if err != nil {
		return Errorf(ClassInvalid, "", "the secret of cluster %q does not encode", scope.Cluster)
	}
	labels := Labels{Namespace: scope.Namespace, Cluster: scope.Cluster, Owner: s.Owner, Framework: s.Framework, Launch: s.Launch}
	return wrap(m.can.SecretStore.PutSecret(ctx, clusterScope(scope), b, labels.Map()), "keeping the secret of cluster "+scope.Cluster)
}

func clusterScope(s Scope) Scope { return Scope{Namespace: s.Namespace, Cluster: s.Cluster} }
