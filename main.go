// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Program terraform-provider-dockerparallel is a Terraform provider for
// parallel-computing clusters. Started by Terraform it serves the provider;
// started by a person it shows and mends what the provider has made.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/command"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/provider"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/serve"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/telemetry"
)

// address of the provider in the registry.
const address = "registry.terraform.io/dockerparallel/dockerparallel"

// The build sets these (-ldflags "-X main.version=...").
var (
	version = "dev"
	commit  = ""
)

func main() {
	args := os.Args[1:]
	debug := len(args) == 1 && (args[0] == "-debug" || args[0] == "--debug")
	if debug || (len(args) == 0 && serve.IsPlugin()) {
		if err := serveProvider(debug); err != nil {
			fmt.Fprintln(os.Stderr, "Error:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(command.App{Version: version, Commit: commit}.Run(ctx, args, os.Stdin, os.Stdout, os.Stderr))
}

func serveProvider(debug bool) error {
	ctx := context.Background()
	t, err := telemetry.Start(ctx, version)
	if err != nil {
		return err
	}
	defer func() { _ = t.Stop(ctx) }() // traces that were not sent are no failure
	return serve.Serve(address, provider.New(version, provider.WithTracer(t.Tracer()))(), debug)
}
