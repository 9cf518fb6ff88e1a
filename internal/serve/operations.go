// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package serve

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// operations counts what is being changed right now.
type operations struct {
	running atomic.Int64
	sigpipe sync.Once
}

// begin counts an operation; the caller calls the result when it is over.
//
// From the first one on, a log line that Terraform no longer reads must not
// kill us. The signal is caught and not ignored: what is ignored stays so in
// the processes that we start. Before that it may kill us, and should: it is
// how a plugin ends whose Terraform was killed before it could look at its
// parent.
func (o *operations) begin() (end func()) {
	o.sigpipe.Do(func() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) })
	o.running.Add(1)
	return func() { o.running.Add(-1) }
}

// wait returns when nothing is being changed, at the latest after limit.
func (o *operations) wait(limit time.Duration) {
	for end := time.Now().Add(limit); o.running.Load() > 0 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
}

// guarded is a provider server that counts its operations. Everything else
// only reads, and may be cut off.
type guarded struct {
	tfprotov6.ProviderServer
	ops *operations
}

// ApplyResourceChange creates, updates and deletes.
func (g guarded) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	defer g.ops.begin()()
	return g.ProviderServer.ApplyResourceChange(ctx, req)
}
