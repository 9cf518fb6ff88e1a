// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"

	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Labels of our own, beside the core's. List does not show them.
const (
	ownPrefix = managed.LabelPrefix + "docker."
	// labelCreated is when the container was created, to the nanosecond and by
	// our own clock: the engine's list tells it to the second only.
	labelCreated = ownPrefix + "created"
	// labelStop is the stop signal and the grace: "SIGTERM 10s".
	labelStop = ownPrefix + "stop"
	// labelPort is the main port's number, labelPorts are the others:
	// "dashboard=8787", with commas.
	labelPort  = ownPrefix + "port"
	labelPorts = ownPrefix + "ports"
	// labelPublished has the names of those others that are published.
	labelPublished = ownPrefix + "published"
	// labelGPUs are the ids of the GPUs that the container has, with commas.
	labelGPUs = ownPrefix + "gpus"
	// labelName is the container's own name. An image that is made of one of our
	// containers (docker commit) has its labels, and so have the containers that
	// people make of that: their names are others.
	labelName = ownPrefix + "name"
	// labelImage is the image as it was requested: the engine forgets the name
	// once that stands for another image.
	labelImage = ownPrefix + "image"
	// labelImageDigest is what the image's name stood for.
	labelImageDigest = ownPrefix + "image-digest"
	// labelKind says what something that is neither server nor worker is.
	labelKind = ownPrefix + "kind"
)

// Values of labelKind.
const (
	kindNetwork = "network"
	kindSecret  = "secret"
	kindHelper  = "helper"
)

// sharedName is what a cluster's network and secret are called. Dots separate
// the parts, because names have none.
func sharedName(scope managed.Scope, more ...string) string {
	parts := []string{"dp", scope.Namespace, scope.Cluster}
	if scope.Pool != "" {
		parts = append(parts, scope.Pool)
	}
	return strings.Join(append(parts, more...), ".")
}

// nameOf tells a person what a container is. The token makes it unique, and
// the same when a Run is tried again.
func nameOf(req managed.RunRequest, token string) string {
	cluster := managed.Scope{Namespace: req.Scope.Namespace, Cluster: req.Scope.Cluster}
	if req.Role == managed.RoleServer {
		return sharedName(cluster, string(req.Role), token)
	}
	return sharedName(cluster, req.Scope.Pool, token)
}

// serverAlias is the name under which a cluster's containers reach its
// server, whichever container that is. It is a plain host name: some clients
// take neither '_' nor capitals, and no label may be longer than 63 bytes. The
// hash keeps it apart from other clusters' and from what people call their own
// containers: networks can be shared, and an engine that knows two containers
// by one name gives the addresses of both.
func serverAlias(namespace, cluster string) string {
	clean := strings.ReplaceAll(strings.ToLower(cluster), "_", "-")
	short := strings.Trim(clean[:min(45, len(clean))], "-")
	sum := sha256.Sum256([]byte(namespace + "/" + cluster))
	return short + "-server-" + hex.EncodeToString(sum[:4])
}

// selects is the filter that chooses what a selector matches.
func selects(sel managed.Selector) client.Filters {
	f := client.Filters{}
	add := func(label, value string) {
		if value != "" {
			f.Add("label", label+"="+value)
		}
	}
	add(managed.LabelManagedBy, managed.ManagedBy)
	add(managed.LabelNamespace, sel.Namespace)
	add(managed.LabelCluster, sel.Cluster)
	add(managed.LabelPool, sel.Pool)
	add(managed.LabelRole, string(sel.Role))
	return f
}

// matches holds what the engine selected to the selector: older Podmans take
// several labels for alternatives. An empty kind is any.
func matches(sel managed.Selector, kind string, labels map[string]string) bool {
	l, ours := managed.ParseLabels(labels)
	return ours && sel.Matches(l) && (kind == "" || labels[labelKind] == kind)
}

// sharedLabels are those of something that a scope's containers share.
func sharedLabels(scope managed.Scope, kind string) map[string]string {
	labels := managed.Labels{Namespace: scope.Namespace, Cluster: scope.Cluster, Pool: scope.Pool}.Map()
	maps.DeleteFunc(labels, func(k, v string) bool { return v == "" || k == managed.LabelWorkers })
	labels[labelKind] = kind
	return labels
}

// withoutOwn leaves our own labels out.
func withoutOwn(labels map[string]string) map[string]string {
	maps.DeleteFunc(labels, func(k, _ string) bool { return strings.HasPrefix(k, ownPrefix) })
	return labels
}
