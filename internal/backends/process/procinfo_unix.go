// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix && !linux

package process

// newProcTable asks ps.
func newProcTable() procTable { return psTable{} }
