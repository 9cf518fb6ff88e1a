// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"net"
	"net/url"
	"strconv"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// exported is the URL of a server's port, where it is published if it is, and
// else in the server's own network; "" if the port is nowhere.
func exported(e managed.Endpoint, scheme, path string) string {
	host, port := e.ForClient(nil)
	if host == "" || port == 0 {
		return ""
	}
	u := url.URL{Scheme: scheme, Host: net.JoinHostPort(host, strconv.Itoa(port)), Path: path}
	return u.String()
}

// tunnelNote is what client code begins with: a comment (in R, Python and
// shell alike) with the ssh command that the client needs, if it needs one.
func tunnelNote(f managed.ClientFacts) string {
	if f.Tunnel == "" {
		return ""
	}
	return "# Only through a tunnel; leave this running in another terminal: " + f.Tunnel + "\n"
}
