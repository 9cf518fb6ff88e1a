// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"net/netip"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// TestForwards: one ssh command brings all published ports, the main one first.
func TestForwards(t *testing.T) {
	p := place{port: 8786, others: map[string]int{"ui": 8788, "dashboard": 8787, "inner": 8789}}
	p.publish(8787, netip.MustParseAddr("::1"), 40001)
	p.publish(8787, netip.MustParseAddr("127.0.0.1"), 40002)
	p.publish(8786, netip.MustParseAddr("127.0.0.1"), 40003)
	p.publish(8788, netip.MustParseAddr("127.0.0.1"), 40004)
	const want = "-L 40003:127.0.0.1:40003 -L 40002:127.0.0.1:40002 -L 40004:127.0.0.1:40004 "
	if got := p.at(managed.PortMain).forwards(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if other := p.at("inner"); other.public.IsValid() {
		t.Errorf("a port that is not published is at %s", other.public)
	}
}
