// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// help shows the help of the program, or of the command that args name.
func (a App) help(s streams, args []string) error {
	if len(args) == 0 {
		a.printHelp(s.out)
		return nil
	}
	c, ok := a.find(args[0])
	if !ok {
		return &usageError{text: fmt.Sprintf("there is no command %q", args[0])}
	}
	c.printHelp(s.out)
	return nil
}

func (a App) printHelp(w io.Writer) {
	fmt.Fprintf(w, `%s %s

A Terraform provider for parallel-computing clusters: one server and any number
of workers. Terraform and OpenTofu start this program by themselves; what
follows is for people.

Commands:
`, Program, a.Version)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, c := range a.commands() {
		if !c.hidden {
			fmt.Fprintf(t, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.argument), c.summary)
		}
	}
	fmt.Fprintf(t, "  help COMMAND\tshow the options of a command\n")
	t.Flush()
	fmt.Fprintf(w, `
To debug the provider, start it with -debug and follow what it prints.
`)
}

func (c command) printHelp(w io.Writer) {
	f := c.flagSet()
	c.flags(f)
	fmt.Fprintf(w, "Usage: %s %s [options]\n\n%s\n", Program, strings.TrimSpace(c.name+" "+c.argument), strings.TrimSpace(c.detail))
	fmt.Fprintf(w, "\nOptions:\n")
	f.VisitAll(func(o *flag.Flag) {
		value, usage := flag.UnquoteUsage(o)
		fmt.Fprintf(w, "  %s\n", strings.TrimSpace("--"+o.Name+" "+strings.ToUpper(value)))
		if o.DefValue != "" && o.DefValue != "false" {
			usage += fmt.Sprintf(" (default: %s)", o.DefValue)
		}
		fmt.Fprint(w, wrapped(usage, "        ", 80))
	})
}

// wrapped breaks a text into indented lines no wider than width, if its words
// are not.
func wrapped(text, indent string, width int) string {
	var b strings.Builder
	line := indent
	for _, word := range strings.Fields(text) {
		if line != indent && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}
