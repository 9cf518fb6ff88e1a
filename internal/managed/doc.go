// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package managed is the core of dockerparallel: it says what a cluster is and
// brings the world to the desired state.
//
// A cluster is one server container and any number of worker pools. The
// package knows no cloud and no Terraform. What runs the containers is a
// [Backend]; what the containers speak is a [Framework]; everything in
// between is a [Manager], where all policy lives once: packing, scale up and
// down, adopting and healing, rolling updates, shortfalls, ownership and
// clean-up.
//
// The world is the journal. Every container carries labels (see [Labels])
// from the call that creates it, and every operation begins by listing them,
// so that a crash at any point leaves nothing that the next operation does
// not find.
package managed
