// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package serve runs the provider as a plugin of Terraform, so that what it
// has begun is brought to an end and no process stays behind, whatever
// becomes of Terraform.
package serve

import (
	"os"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

const (
	// grace is how long operations may go on without Terraform: the minute
	// that the core gives to cleaning up, and a little for the last answers.
	grace = 70 * time.Second
	// glance is the time between two looks at the parent process.
	glance = 500 * time.Millisecond
)

// Serve serves a provider to Terraform until Terraform is done with it. In
// debug mode a person has started the process and ends it.
func Serve(address string, p provider.Provider, debug bool) error {
	ops := &operations{}
	server := func() tfprotov6.ProviderServer {
		return guarded{ProviderServer: providerserver.NewProtocol6(p)(), ops: ops}
	}
	var opts []tf6server.ServeOpt
	if debug {
		opts = append(opts, tf6server.WithManagedDebug())
	} else {
		go func() {
			<-orphaned(glance)
			ops.wait(grace)
			os.Exit(1)
		}()
	}
	err := tf6server.Serve(address, server, opts...)
	// A second Ctrl-C ends Terraform, and with it Serve, at once. What
	// Terraform grants us after that (two seconds) is well used.
	ops.wait(grace)
	return err
}

// IsPlugin tells whether Terraform has started this process, by the variable
// that it sets for every plugin.
func IsPlugin() bool { return os.Getenv("TF_PLUGIN_MAGIC_COOKIE") != "" }
