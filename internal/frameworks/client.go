// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import "github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"

// tunnelNote is what client code begins with: a comment (in R, Python and
// shell alike) with the ssh command that the client needs, if it needs one.
func tunnelNote(f managed.ClientFacts) string {
	if f.Tunnel == "" {
		return ""
	}
	return "# Only through a tunnel; leave this running in another terminal: " + f.Tunnel + "\n"
}
