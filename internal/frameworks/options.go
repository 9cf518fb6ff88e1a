// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"fmt"
	"slices"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Option is an attribute of a framework's own, in the object that has the
// framework's name: dask = { nthreads = 4 }.
type Option struct {
	Name string
	Type OptionType
	// Roles that it is about: a server's options are attributes of the cluster,
	// a worker's of the pool.
	Roles    []managed.Role
	Required bool
	// Description for the documentation, in Markdown.
	Description string
	// Check says in a sentence what is wrong with a value and what to do, or ""
	// if nothing is. It is asked for each element of a list; nil takes any.
	Check func(value any) string
}

// OptionType of an option's value in Go.
type OptionType string

// The types.
const (
	String  OptionType = "string"  // string
	Int     OptionType = "int"     // int64
	Bool    OptionType = "bool"    // bool
	Strings OptionType = "strings" // []string
)

// Values are options that a user has set, of the types that [OptionType] says.
type Values map[string]any

func (v Values) str(name string) string       { s, _ := v[name].(string); return s }
func (v Values) integer(name string) int      { n, _ := v[name].(int64); return int(n) }
func (v Values) boolean(name string) bool     { b, _ := v[name].(bool); return b }
func (v Values) strings(name string) []string { l, _ := v[name].([]string); return l }
func (v Values) has(name string) bool         { _, ok := v[name]; return ok }

// configured is embedded in frameworks that have options.
type configured struct{ values Values }

// Options implements [managed.Configured].
func (c configured) Options() map[string]any { return c.values }

// Options that a framework has for a role, in the order of its documentation.
// They are nil for one that has none, or that does not exist.
func Options(name string, role managed.Role) []Option {
	for _, k := range all() {
		if k.name == name {
			return slices.DeleteFunc(slices.Clone(k.options), func(o Option) bool { return !slices.Contains(o.Roles, role) })
		}
	}
	return nil
}

// both roles have an option.
func both() []managed.Role { return []managed.Role{managed.RoleServer, managed.RoleWorker} }

// ofServer and ofWorker: only one role has it.
func ofServer() []managed.Role { return []managed.Role{managed.RoleServer} }
func ofWorker() []managed.Role { return []managed.Role{managed.RoleWorker} }

// checkAtLeast refuses numbers below least: "<what> -1 <unit>".
func checkAtLeast(what string, least int64, unit string) func(any) string {
	return func(value any) string {
		if n, _ := value.(int64); n < least {
			return fmt.Sprintf("%s %d %s: choose at least %d.", what, n, unit, least)
		}
		return ""
	}
}

// untested ends the description of options whose programs cannot be had in CI.
const untested = " Not run in this provider's CI."
