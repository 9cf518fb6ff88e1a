// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package process

import (
	"os"
	"path/filepath"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Name of the backend in the provider's configuration.
const Name = "process"

// Config of the backend.
type Config struct {
	// Root is the folder that holds the records, logs and secrets. "" means
	// $XDG_STATE_HOME/dockerparallel, else ~/.local/state/dockerparallel. It
	// belongs to one machine: processes are not seen from another one.
	Root string
}

// Options of a role, in ContainerSpec.Options (a value or a pointer).
type Options struct {
	// WorkingDirectory the process starts in, an absolute path. "" means an
	// empty folder of its own, which is removed with the process.
	WorkingDirectory string `json:"working_directory,omitempty"`
	// InheritEnvironment names the variables that the process takes over from
	// the provider's environment, where they exist. nil means
	// [DefaultInheritEnvironment]. All others are kept from it: they hold
	// other providers' credentials.
	InheritEnvironment []string `json:"inherit_environment"`
}

// DefaultInheritEnvironment is what a process needs to find its programs and
// its user, and nothing that could be a secret.
func DefaultInheritEnvironment() []string {
	return []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TMPDIR", "TZ"}
}

// rootFolder is the absolute path of the configured root.
func (c Config) rootFolder() (string, error) {
	root := c.Root
	if root == "" {
		// The XDG specification has relative values ignored.
		if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
			return filepath.Join(state, "dockerparallel"), nil
		}
		home, err := os.UserHomeDir()
		if err != nil {
			return "", managed.Errorf(managed.ClassInvalid, "process.root",
				"no folder to keep records in: neither process.root nor XDG_STATE_HOME nor HOME is set")
		}
		root = filepath.Join(home, ".local", "state", "dockerparallel")
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return "", managed.Errorf(managed.ClassInvalid, "process.root", "finding the folder %q: %w", root, err)
	}
	return abs, nil
}

// variables makes the environment of a process: what it inherits, then the
// spec's own, then the mark by which its descendants are known to be its own.
func variables(spec managed.ContainerSpec, opts Options, id string) []string {
	merged := map[string]string{managed.EnvContainer: id}
	inherit := opts.InheritEnvironment
	if inherit == nil {
		inherit = DefaultInheritEnvironment()
	}
	for _, name := range inherit {
		if v, ok := os.LookupEnv(name); ok {
			merged[name] = v
		}
	}
	for name, v := range spec.Environment {
		merged[name] = v
	}
	for name, v := range spec.SecretEnvironment {
		merged[name] = v
	}
	env := make([]string, 0, len(merged))
	for name, v := range merged {
		env = append(env, name+"="+v)
	}
	return env
}

// isVariableName tells whether a shell passes a variable of this name on:
// dash drops those that are no identifiers.
func isVariableName(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// isName tells whether a namespace, cluster or pool has a name that is
// allowed, which is also a safe name of a folder.
func isName(name string) bool {
	if len(name) < 1 || len(name) > 63 {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		alnum := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !alnum && (i == 0 || c != '_' && c != '-') {
			return false
		}
	}
	return true
}

// checkNames refuses names that would lead out of the root.
func checkNames(what string, names ...string) error {
	for _, name := range names {
		if !isName(name) {
			return managed.Errorf(managed.ClassInvalid, "", "%s: %q is not a name (letters, digits, - and _, at most 63)", what, name)
		}
	}
	return nil
}

// folderName of a namespace, cluster or pool. Capitals are spelled "+a", so
// that "Sim" and "sim" stay apart where the file system does not tell them apart.
func folderName(name string) string {
	b := make([]byte, 0, len(name)+4)
	for i := 0; i < len(name); i++ {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			b = append(b, '+', c+'a'-'A')
			continue
		}
		b = append(b, c)
	}
	return string(b)
}

// nameOfFolder is the reverse of folderName; it is false for other folders.
func nameOfFolder(folder string) (string, bool) {
	b := make([]byte, 0, len(folder))
	for i := 0; i < len(folder); i++ {
		c := folder[i]
		if c == '+' && i+1 < len(folder) && 'a' <= folder[i+1] && folder[i+1] <= 'z' {
			i++
			c = folder[i] - 'a' + 'A'
		}
		b = append(b, c)
	}
	name := string(b)
	return name, isName(name) && folderName(name) == folder
}
