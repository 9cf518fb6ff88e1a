// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// client is the configured provider, shared by its resources and data
// sources. It connects to nothing before it is first asked for its manager.
type client struct {
	// namespace may be unknown during a plan.
	namespace types.String
	owner     types.String
	labels    types.Map
	// unknown is true if which backend, or how it is reached, is known only
	// during the apply.
	unknown bool

	open func(ctx context.Context) (managed.Backend, error)

	mu      sync.Mutex
	built   managers
	failure error
}

// managers of the one backend: refresh is for what only looks, see
// [managed.WithReader].
type managers struct{ work, refresh *managed.Manager }

// errUnknownProvider says that the backend cannot be asked yet.
var errUnknownProvider = errors.New("the provider's configuration is not known yet: it depends on something that is made in the same apply")

// known tells whether the backend can be asked: during a plan the provider's
// configuration may still be unknown.
func (c *client) known() bool {
	return c != nil && !c.unknown && !c.namespace.IsUnknown() && !c.owner.IsUnknown()
}

// manager is for everything that acts, or decides what to do.
func (c *client) manager(ctx context.Context) (*managed.Manager, error) {
	m, err := c.managers(ctx)
	return m.work, err
}

// refresher is for the Read methods of resources.
func (c *client) refresher(ctx context.Context) (*managed.Manager, error) {
	m, err := c.managers(ctx)
	return m.refresh, err
}

// managers connects on first use, and then gives the same answer for good.
func (c *client) managers(ctx context.Context) (managers, error) {
	if !c.known() {
		return managers{}, errUnknownProvider
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.built.work != nil || c.failure != nil {
		return c.built, c.failure
	}
	b, err := c.open(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return managers{}, err // the caller gave up; the next one may have more luck
	case err != nil:
		c.failure = fmt.Errorf("setting up the backend: %w", err)
		return managers{}, c.failure
	}
	work, reader := managed.WithReader(b)
	o := managed.Options{Owner: c.owner.ValueString(), Log: newLogger(ctx)}
	c.built = managers{work: managed.NewManager(work, o), refresh: managed.NewManager(reader, o)}
	return c.built, nil
}

// containerLabels are the provider's default labels with the resource's own
// on top.
func (c *client) containerLabels(ctx context.Context, own types.Map) (map[string]string, diag.Diagnostics) {
	var diags diag.Diagnostics
	all := map[string]string{}
	for _, m := range []types.Map{c.labels, own} {
		if m.IsNull() || m.IsUnknown() {
			continue
		}
		part := map[string]string{}
		diags.Append(m.ElementsAs(ctx, &part, false)...)
		maps.Copy(all, part)
	}
	return all, diags
}

// clientFrom is for the Configure methods. It is nil as long as the provider
// is not configured, as during validation.
func clientFrom(data any, diags *diag.Diagnostics) *client {
	if data == nil {
		return nil
	}
	c, ok := data.(*client)
	if !ok {
		diags.AddError("Unexpected Provider Data", fmt.Sprintf("The provider handed over %T. This is a bug in the provider; please report it.", data))
	}
	return c
}
