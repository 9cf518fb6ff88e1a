// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// dockerHub is the registry of references that name none, hubKey what
// Docker's own configuration calls it.
const (
	dockerHub = "docker.io"
	hubKey    = "https://index.docker.io/v1/"
)

// login is how a registry is asked.
type login struct {
	header string // X-Registry-Auth
	// who says for people whose credentials these are, without a secret.
	who string
	// anonymous is true if there are none.
	anonymous bool
}

// login finds the credentials for an image's registry: those of the provider's
// configuration, then those of the user's Docker configuration with its
// helpers, then Podman's.
func (e *Engine) login(named reference.Named) (login, error) {
	host := reference.Domain(named)
	for _, r := range e.cfg.Registries {
		if registryHost(r.Address) == host {
			return newLogin(registry.AuthConfig{Username: r.Username, Password: r.Password, ServerAddress: host}, r.Username+" (from docker.registries)")
		}
	}
	key := host
	if host == dockerHub {
		key = hubKey
	}
	file, err := config.Load(config.Dir())
	if err != nil {
		e.log.Warn("the user's Docker configuration is not used, because it cannot be read", "error", err)
	} else {
		found, err := file.GetAuthConfig(key)
		if err != nil {
			return login{}, managed.Errorf(managed.ClassPermission, AttributeImage, "asking the credential helper of the user's Docker configuration (%s) for the registry %s: %w; "+
				"give the login in the provider's docker.registries instead", file.Filename, host, err)
		}
		if found.Username != "" || found.Auth != "" || found.IdentityToken != "" || found.RegistryToken != "" {
			return newLogin(registry.AuthConfig{
				Username: found.Username, Password: found.Password, Auth: found.Auth, ServerAddress: found.ServerAddress,
				IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
			}, fmt.Sprintf("%s (from %s)", found.Username, file.Filename))
		}
	}
	if found, from := podmanLogin(host); from != "" {
		return newLogin(found, fmt.Sprintf("%s (from %s)", found.Username, from))
	}
	return login{who: "nobody", anonymous: true}, nil
}

// registryHost is the name under which references know a registry.
func registryHost(address string) string {
	switch host := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://"), "/"); host {
	case "", "index.docker.io", "index.docker.io/v1", "registry-1.docker.io":
		return dockerHub
	default:
		return host
	}
}

func newLogin(auth registry.AuthConfig, who string) (login, error) {
	header, err := authconfig.Encode(auth)
	if err != nil {
		return login{}, managed.Errorf(managed.ClassInvalid, AttributeImage, "the login of %s cannot be encoded", who)
	}
	return login{header: header, who: who}, nil
}

// podmanLogin reads the file in which "podman login" keeps its logins.
func podmanLogin(host string) (auth registry.AuthConfig, from string) {
	files := []string{os.Getenv("REGISTRY_AUTH_FILE")}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		files = append(files, filepath.Join(dir, "containers", "auth.json"))
	}
	for _, name := range files {
		if name == "" {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		parsed, err := config.LoadFromReader(io.LimitReader(f, 1<<20))
		_ = f.Close()
		if err != nil {
			continue
		}
		if a, ok := parsed.AuthConfigs[host]; ok && a.Username != "" {
			return registry.AuthConfig{Username: a.Username, Password: a.Password, ServerAddress: host}, name
		}
	}
	return registry.AuthConfig{}, ""
}

// noPull says why an image could not be pulled.
func (e *Engine) noPull(err error, named reference.Named, l login) error {
	ref, host := reference.FamiliarString(named), reference.Domain(named)
	text := strings.ToLower(err.Error())
	has := func(parts ...string) bool { return ContainsAny(text, parts...) }
	switch {
	case has("toomanyrequests", "too many requests", "rate limit"):
		return managed.Errorf(managed.ClassThrottled, AttributeImage, "pulling the image %s: the registry %s limits how often it is asked: %w; a login (docker.registries) often has a higher limit", ref, host, err)
	case has("no space left on device"):
		return managed.Errorf(managed.ClassCapacity, AttributeImage, "pulling the image %s: the engine's disk is full: %w; docker system prune makes room", ref, err)
	case has("unauthorized", "authentication required", "no basic auth credentials", "access to the resource is denied", "denied:", "forbidden", "invalid username"):
		if l.anonymous {
			return managed.Errorf(managed.ClassPermission, AttributeImage, "pulling the image %s: the registry %s wants a login (or does not have the image), and none was found: %w; "+
				"give one in the provider's docker.registries, or run docker login %s", ref, host, err, host)
		}
		return managed.Errorf(managed.ClassPermission, AttributeImage, "pulling the image %s: the registry %s does not accept the login of %s: %w", ref, host, l.who, err)
	case errdefs.IsNotFound(err), has("manifest unknown", "not found", "name unknown", "repository does not exist"):
		return managed.Errorf(managed.ClassInvalid, AttributeImage, "pulling the image %s: the registry %s does not have it: %w; is name and tag right?", ref, host, err)
	case has("no matching manifest", "does not match the specified platform", "no image found in manifest list"):
		return managed.Errorf(managed.ClassInvalid, AttributeImage, "pulling the image %s: there is none for this kind of processor: %w", ref, err)
	case has("server gave http response to https client"):
		return managed.Errorf(managed.ClassInvalid, AttributeImage, "pulling the image %s: the registry %s does not speak TLS: %w; add it to insecure-registries of the engine's daemon.json", ref, host, err)
	case has("x509:", "certificate"):
		return managed.Errorf(managed.ClassInvalid, AttributeImage, "pulling the image %s: the engine does not trust the certificate of the registry %s: %w", ref, host, err)
	case has("connection refused", "no such host", "i/o timeout", "network is unreachable", "no route to host", "temporary failure in name resolution", "request canceled", "connection reset", "unexpected eof", ": eof",
		"unexpected http status: 5", "bad gateway", "service unavailable", "gateway timeout", "tls handshake timeout", "connection timed out"):
		return managed.Errorf(managed.ClassTransient, AttributeImage, "pulling the image %s: the engine cannot reach the registry %s: %w", ref, host, err)
	}
	var inside *jsonstream.Error
	if errors.As(err, &inside) {
		return managed.Errorf(managed.ClassUnknown, AttributeImage, "pulling the image %s: %w", ref, err)
	}
	return e.Classify(err, "pulling the image "+ref)
}

// layer is how far one part of an image has come, in bytes.
type layer struct {
	current, total int64
	done           bool
}

// progress puts a pull's many messages into a few lines of the log.
type progress struct {
	log    *slog.Logger
	image  string
	layers map[string]layer
	said   time.Time
}

// progressTime is the time between two lines about one pull.
const progressTime = 5 * time.Second

func (p *progress) note(ctx context.Context, id, status string, at *jsonstream.Progress) {
	if id == "" || strings.HasPrefix(status, "Pulling from") {
		return
	}
	l := p.layers[id]
	switch {
	case at != nil && at.Total > 0 && status == "Downloading":
		l.current, l.total = at.Current, at.Total
	case status == "Download complete":
		l.current = l.total
	case status == "Pull complete", status == "Already exists":
		l.current, l.done = l.total, true
	}
	p.layers[id] = l
	if p.said.IsZero() {
		p.said = time.Now()
	}
	if time.Since(p.said) < progressTime {
		return
	}
	p.said = time.Now()
	done := 0
	for _, l := range p.layers {
		if l.done {
			done++
		}
	}
	p.log.InfoContext(ctx, "pulling an image", "image", p.image, "layers", fmt.Sprintf("%d of %d", done, len(p.layers)), "megabytes", p.megabytes())
}

func (p *progress) megabytes() int64 {
	var n int64
	for _, l := range p.layers {
		n += l.current
	}
	return n >> 20
}
