// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"fmt"
	"net"
	"strconv"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// custom is whatever the user's containers speak. It takes nothing for
// granted: the containers find all they need in the DOCKERPARALLEL_* variables
// that the core gives to every container.
type custom struct{}

var _ managed.Framework = custom{}

// Name implements managed.Framework.
func (custom) Name() string { return "custom" }

// Defaults implements managed.Framework. There is no port: the user has to
// name the one that the server listens on.
func (custom) Defaults(role managed.Role) managed.Defaults {
	return managed.Defaults{
		Hardware:   hardware(role),
		MaxWorkers: 1,
		StopSignal: stopSignal,
		StopGrace:  stopGrace,
	}
}

// HasPassword implements managed.Framework. Whether the containers use the
// password is up to them; without one on offer none could.
func (custom) HasPassword() bool { return true }

// URL implements managed.Framework. How a client would take a password from a
// URL is not known, so it is never in there.
func (custom) URL(host string, port int, _ managed.Secret) string {
	return "tcp://" + net.JoinHostPort(host, strconv.Itoa(port))
}

// Environment implements managed.Framework: nothing of its own.
func (custom) Environment(managed.Role, managed.Facts) managed.Environment {
	return managed.Environment{}
}

// Client implements managed.Framework. There is no parallel backend to
// register in R or Python, so there is no code for them; a shell gets the
// variables that the cluster's containers have, under the same names.
func (c custom) Client(f managed.ClientFacts) managed.Client {
	url := c.URL(f.Host, f.Port, "")
	return managed.Client{
		URL: url,
		Shell: tunnelNote(f) + fmt.Sprintf(`# Cluster %[1]s.
: "${%[5]s:?is not set}"
export DOCKERPARALLEL_CLUSTER=%[2]s DOCKERPARALLEL_QUEUE=%[2]s
export DOCKERPARALLEL_SERVER_HOST=%[3]s DOCKERPARALLEL_SERVER_PORT=%[4]d
export DOCKERPARALLEL_SERVER_URL=%[6]s
export DOCKERPARALLEL_SERVER_PASSWORD="$%[5]s"

# When the work is done: dockerparallel_deregister
dockerparallel_deregister() {
  unset DOCKERPARALLEL_CLUSTER DOCKERPARALLEL_QUEUE DOCKERPARALLEL_SERVER_HOST \
    DOCKERPARALLEL_SERVER_PORT DOCKERPARALLEL_SERVER_URL DOCKERPARALLEL_SERVER_PASSWORD
}
`, f.Cluster, shellQuote(f.Cluster), shellQuote(f.Host), f.Port, managed.PasswordVariable, shellQuote(url)),
	}
}
