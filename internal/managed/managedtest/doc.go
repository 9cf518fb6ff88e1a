// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package managedtest proves things about package managed and its backends.
//
// [Suite] is the conformance suite: what every backend must do, and what the
// core does on top of it. It is written against [T], not against package
// testing, so that it also runs from the released program on a user's own
// machine; [For] makes a T out of a *testing.T, and [Report] is one that prints.
//
// [Memory] is a backend that runs nothing. It follows the contract, and
// breaks it where it is told to: it fails, hangs, answers late or wrongly,
// forgets to answer, shows containers late and starts them slowly, all of it
// the same way each time.
package managedtest
