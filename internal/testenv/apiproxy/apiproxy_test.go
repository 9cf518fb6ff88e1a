// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package apiproxy

import "testing"

func TestKindOfCall(t *testing.T) {
	for path, want := range map[string]string{
		"/_ping":                              "_ping",
		"/v1.41/info":                         "info",
		"/v1.41/containers/json":              "containers/json",
		"/v1.41/containers/create":            "containers/create",
		"/v1.41/containers/0123":              "containers/one",
		"/v1.41/containers/0123/start":        "containers/one/start",
		"/containers/0123/json":               "containers/one/json",
		"/v1.41/networks":                     "networks",
		"/v1.41/volumes/dp.a.b.secret":        "volumes/one",
		"/v1.41/images/json":                  "images/json",
		"/v1.41/images/host.local/a/b:1/json": "images/one/json",
		"/v1.41/images/host.local/a/b:1":      "images/one",
	} {
		if got := kindOfCall(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
