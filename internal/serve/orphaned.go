// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package serve

import (
	"os"
	"time"
)

// orphaned gives a channel that is closed when the process that started us is
// gone: the system then gives us another parent. go-plugin does not notice
// that, and would wait for a new connection for ever.
//
// Windows never changes a parent; there, plugins are ended by Terraform alone.
func orphaned(glance time.Duration) <-chan struct{} {
	parent := os.Getppid()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for os.Getppid() == parent {
			time.Sleep(glance)
		}
	}()
	return gone
}
