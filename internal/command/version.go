// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"context"
	"flag"
	"fmt"
	"runtime"
)

func versionCommand(a App) command {
	return command{
		name:    "version",
		summary: "print the version",
		detail: `
Prints the version of the program. With --json it prints one object: version,
commit ("" if not known), go, platform.`,
		flags: func(f *flag.FlagSet) func(context.Context, streams, string) error {
			asJSON := f.Bool("json", false, "print JSON")
			return func(_ context.Context, s streams, _ string) error {
				v := versionJSON{Version: a.Version, Commit: a.Commit, Go: runtime.Version(), Platform: runtime.GOOS + "_" + runtime.GOARCH}
				if *asJSON {
					return writeJSON(s.out, v)
				}
				commit := ""
				if v.Commit != "" {
					commit = " (" + v.Commit + ")"
				}
				_, err := fmt.Fprintf(s.out, "%s %s%s\n%s on %s\n", Program, v.Version, commit, v.Go, v.Platform)
				return err
			}
		},
	}
}

type versionJSON struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}
