// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"
	"golang.org/x/crypto/ssh"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// maxJumps is far more than anybody chains.
const maxJumps = 8

// userConfig is the user's ssh configuration and the system's.
type userConfig struct {
	files []*ssh_config.Config
	home  string
}

// readUserConfig leaves out a file that cannot be read, with a word in the log:
// the ssh program knows more directives than we do.
func readUserConfig(log *slog.Logger) userConfig {
	var c userConfig
	c.home, _ = os.UserHomeDir()
	for _, path := range []string{filepath.Join(c.home, ".ssh", "config"), "/etc/ssh/ssh_config"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		hosts, left := withoutMatch(string(text))
		if left {
			log.Warn("the Match sections of the ssh configuration are not used", "file", path)
		}
		parsed, err := ssh_config.DecodeBytes([]byte(hosts))
		if err != nil {
			log.Warn("the ssh configuration is not used, because it cannot be read", "file", path, "error", err)
			continue
		}
		c.files = append(c.files, parsed)
	}
	return c
}

// withoutMatch leaves out what the parser does not know: sections that begin
// with Match, up to the next Host.
func withoutMatch(text string) (rest string, left bool) {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		keyword, _, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "=", " ")), " ")
		switch strings.ToLower(keyword) {
		case "match":
			inside, left = true, true
		case "host":
			inside = false
		}
		if !inside {
			b.WriteString(line)
		}
	}
	return b.String(), left
}

// all values of a keyword for a host; the first file that has it counts.
func (c userConfig) all(host, keyword string) []string {
	for _, f := range c.files {
		if v, err := f.GetAll(host, keyword); err == nil && len(v) > 0 {
			return v
		}
	}
	return nil
}

func (c userConfig) get(host, keyword string) string {
	if v := c.all(host, keyword); len(v) > 0 {
		return v[0]
	}
	return ""
}

// resolveHops finds the way to a host: the hosts to jump over, and itself.
func resolveHops(cfg SSH, a Address, log *slog.Logger) ([]hop, error) {
	r := hopResolver{cfg: cfg, user: readUserConfig(log)}
	var err error
	if r.key, err = cfg.configuredKey(); err != nil {
		return nil, err
	}
	if cfg.KnownHostsFile != "" && !exists(expandHome(cfg.KnownHostsFile)) {
		return nil, managed.Errorf(managed.ClassInvalid, "docker.ssh.known_hosts_file", "there is no file %s", cfg.KnownHostsFile)
	}
	return r.resolve(a.Host, a.User, a.Port, 0)
}

type hopResolver struct {
	cfg  SSH
	user userConfig
	key  ssh.Signer
}

func (r *hopResolver) resolve(alias, login string, port, depth int) ([]hop, error) {
	if depth > maxJumps {
		return nil, managed.Errorf(managed.ClassInvalid, "docker.host", "the ssh configuration jumps over more than %d hosts to reach %s", maxJumps, alias)
	}
	if p := r.user.get(alias, "ProxyCommand"); p != "" && !strings.EqualFold(p, "none") {
		return nil, managed.Errorf(managed.ClassInvalid, "docker.host", "the ssh configuration of %s has a ProxyCommand, which is not run; use ProxyJump, or forward the engine's socket yourself "+
			"(ssh -N -L /tmp/docker.sock:/var/run/docker.sock %s) and write unix:///tmp/docker.sock", alias, alias)
	}
	var hops []hop
	if jump := r.user.get(alias, "ProxyJump"); jump != "" && !strings.EqualFold(jump, "none") {
		for part := range strings.SplitSeq(jump, ",") {
			login, host, port, err := splitJump(strings.TrimSpace(part))
			if err != nil {
				return nil, err
			}
			more, err := r.resolve(host, login, port, depth+1)
			if err != nil {
				return nil, err
			}
			hops = append(hops, more...)
		}
	}
	return append(hops, r.hop(alias, login, port)), nil
}

// splitJump reads [user@]host[:port].
func splitJump(s string) (login, host string, port int, err error) {
	s = strings.TrimPrefix(s, "ssh://")
	if before, after, ok := strings.Cut(s, "@"); ok {
		login, s = before, after
	}
	host = s
	if h, p, err := net.SplitHostPort(s); err == nil {
		if port, err = strconv.Atoi(p); err != nil {
			return "", "", 0, managed.Errorf(managed.ClassInvalid, "docker.host", "the ssh configuration's ProxyJump %q has no valid port", s)
		}
		host = h
	}
	return login, host, port, nil
}

func (r *hopResolver) hop(alias, login string, port int) hop {
	name := alias
	if v := r.user.get(alias, "HostName"); v != "" {
		name = strings.ReplaceAll(v, "%h", alias)
	}
	if login == "" {
		login = r.user.get(alias, "User")
	}
	if login == "" {
		if u, err := user.Current(); err == nil {
			login = u.Username
		}
	}
	if port == 0 {
		port, _ = strconv.Atoi(r.user.get(alias, "Port")) // absent is 0
	}
	h := hop{address: net.JoinHostPort(name, portOr(port, 22)), user: login}
	tokens := strings.NewReplacer("%d", r.user.home, "%h", name, "%r", login, "%u", login, "%%", "%")
	expand := func(path string) string { return expandHome(tokens.Replace(strings.Trim(path, `"`))) }
	if r.key != nil {
		h.auth = func() ([]ssh.Signer, []string, error) {
			return []ssh.Signer{r.key}, []string{"the configured key " + ssh.FingerprintSHA256(r.key.PublicKey())}, nil
		}
	} else {
		var files []string
		for _, f := range r.user.all(alias, "IdentityFile") {
			files = append(files, expand(f))
		}
		onlyFiles := len(files) > 0 && strings.EqualFold(r.user.get(alias, "IdentitiesOnly"), "yes")
		if len(files) == 0 {
			for _, f := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
				files = append(files, filepath.Join(r.user.home, ".ssh", f))
			}
		}
		h.auth = userKeys(files, r.cfg.Passphrase, onlyFiles)
	}
	h.hosts = hostKeys{lines: r.cfg.KnownHosts}
	switch {
	case r.cfg.KnownHostsFile != "":
		h.hosts.files = []string{expandHome(r.cfg.KnownHostsFile)}
	case r.cfg.KnownHosts == "":
		for _, f := range r.user.all(alias, "UserKnownHostsFile") {
			for path := range strings.FieldsSeq(f) {
				h.hosts.files = append(h.hosts.files, expand(path))
			}
		}
		if len(h.hosts.files) == 0 {
			h.hosts.files = []string{filepath.Join(r.user.home, ".ssh", "known_hosts"), filepath.Join(r.user.home, ".ssh", "known_hosts2")}
		}
		h.hosts.files = append(h.hosts.files, "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
	}
	return h
}
