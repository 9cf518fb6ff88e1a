// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import "strings"

// shell knows how a variable is set in one kind of shell.
type shell struct {
	name string
	// set is the command that sets and exports a variable.
	set func(name, value string) string
	// use is how the output of a command is run.
	use func(command string) string
}

func shells() []shell {
	return []shell{
		{
			name: "sh", // and bash, zsh, dash, ksh
			set:  func(name, value string) string { return "export " + name + "=" + quoteSh(value) },
			use:  func(command string) string { return `eval "$(` + command + `)"` },
		},
		{
			name: "fish",
			set:  func(name, value string) string { return "set -gx " + name + " " + quoteFish(value) + ";" },
			use:  func(command string) string { return command + " | source" },
		},
		{
			name: "powershell",
			set:  func(name, value string) string { return "$Env:" + name + " = " + quotePowerShell(value) },
			use:  func(command string) string { return "& " + command + " | Out-String | Invoke-Expression" },
		},
	}
}

func shellNames() []string {
	var names []string
	for _, s := range shells() {
		names = append(names, s.name)
	}
	return names
}

func findShell(name string) (shell, bool) {
	switch name {
	case "bash", "zsh", "dash", "ksh":
		name = "sh"
	case "pwsh":
		name = "powershell"
	}
	for _, s := range shells() {
		if s.name == name {
			return s, true
		}
	}
	return shell{}, false
}

// quoteSh makes one word of a POSIX shell, whatever is in it.
func quoteSh(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quoteFish: between single quotes fish knows \\ and \' and nothing else.
func quoteFish(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// quotePowerShell doubles single quotes. To PowerShell the typographic ones
// are the same.
func quotePowerShell(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		if strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}
