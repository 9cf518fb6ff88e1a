// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package testenv

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv/apiproxy"
)

// StartAPIProxy starts a proxy before the engine at host, a socket. It ends
// with the test.
func StartAPIProxy(t testing.TB, host string) *apiproxy.Proxy {
	t.Helper()
	p, err := apiproxy.Start(strings.TrimPrefix(host, "unix://"), filepath.Join(shortDir(t), "a.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
