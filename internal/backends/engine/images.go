// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/singleflight"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// AttributeImage is the attribute that errors about an image are about.
const AttributeImage = "container.image"

// Image is what an engine has under a reference.
type Image struct {
	// Reference as it was requested.
	Reference string
	// ID of the image on the engine, "sha256:...".
	ID string
	// Digest is what the reference was resolved to, name@sha256:...; "" for an
	// image that came from no registry.
	Digest string
	// Platform is os/architecture[/variant].
	Platform string
	// Entrypoint and Cmd of the image.
	Entrypoint, Cmd []string
}

// CheckReference refuses what can be no reference to an image. It makes no call.
func CheckReference(ref string) error {
	if isID(ref) {
		return nil
	}
	_, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return managed.Errorf(managed.ClassInvalid, AttributeImage, "%q is no reference to an image: %w; it looks like name, name:tag or registry.example.com/name:tag", ref, err)
	}
	return nil
}

// isID tells an image's id, which no registry knows, from a name.
func isID(ref string) bool {
	if _, err := reference.ParseAnyReference(ref); err != nil {
		return false
	}
	hex, ok := strings.CutPrefix(ref, "sha256:")
	return ok && len(hex) == 64 || len(ref) == 64 && strings.Trim(ref, "0123456789abcdef") == ""
}

// Image makes sure that the engine has an image, as the policy says, and tells
// what it is. Platform is os/architecture[/variant], or "" for the engine's own.
func (e *Engine) Image(ctx context.Context, ref string, policy PullPolicy, platform string) (Image, error) {
	if err := CheckReference(ref); err != nil {
		return Image{}, err
	}
	if isID(ref) {
		policy = PullNever
	}
	if policy != PullAlways {
		img, err := e.present(ctx, ref, platform)
		if err == nil || managed.ClassOf(err) != managed.ClassNotFound {
			return img, err
		}
		if policy == PullNever {
			return Image{}, managed.Errorf(managed.ClassInvalid, AttributeImage, "the engine at %s does not have the image %s%s, and its pull policy is \"never\": bring it there with docker load, docker build or docker pull",
				e.address, ref, ofPlatform(platform))
		}
	}
	if err := e.pull(ctx, ref, policy, platform); err != nil {
		return Image{}, err
	}
	img, err := e.present(ctx, ref, platform)
	if managed.ClassOf(err) == managed.ClassNotFound {
		return Image{}, managed.Errorf(managed.ClassInvalid, AttributeImage, "the image %s was pulled, but there is none%s", ref, ofPlatform(platform))
	}
	return img, err
}

func ofPlatform(platform string) string {
	if platform == "" {
		return ""
	}
	return " for " + platform
}

// present is an error of ClassNotFound if the engine does not have the image
// for the platform.
func (e *Engine) present(ctx context.Context, ref, platform string) (Image, error) {
	wanted, err := platformOf(platform)
	if err != nil {
		return Image{}, err
	}
	res, err := e.inspectImage(ctx, ref, wanted)
	if errdefs.IsNotFound(err) {
		return Image{}, managed.Errorf(managed.ClassNotFound, AttributeImage, "the engine does not have the image %s", ref)
	}
	if err != nil {
		return Image{}, e.Classify(err, "asking for the image "+ref)
	}
	img := Image{Reference: ref, ID: res.ID, Digest: digestOf(ref, res.InspectResponse), Platform: res.Os + "/" + res.Architecture}
	if res.Variant != "" {
		img.Platform += "/" + res.Variant
	}
	if res.Config != nil {
		img.Entrypoint, img.Cmd = res.Config.Entrypoint, res.Config.Cmd
	}
	has := platforms.Normalize(ocispec.Platform{OS: res.Os, Architecture: res.Architecture, Variant: res.Variant})
	if wanted != nil && !platforms.NewMatcher(*wanted).Match(has) {
		return Image{}, managed.Errorf(managed.ClassNotFound, AttributeImage, "the engine has the image %s for %s only", ref, img.Platform)
	}
	return img, nil
}

// inspectImage asks for the image of a platform. Engines that keep images for
// several tell of their own one unless asked; older ones keep one, and cannot
// be asked.
func (e *Engine) inspectImage(ctx context.Context, ref string, wanted *ocispec.Platform) (client.ImageInspectResult, error) {
	if wanted != nil {
		res, err := e.docker.ImageInspect(ctx, ref, client.ImageInspectWithPlatform(wanted))
		if err == nil || !strings.Contains(err.Error(), "API version") {
			return res, err
		}
	}
	return e.docker.ImageInspect(ctx, ref)
}

// platformOf is nil for "".
func platformOf(platform string) (*ocispec.Platform, error) {
	if platform == "" {
		return nil, nil
	}
	p, err := platforms.Parse(platform)
	if err != nil {
		return nil, managed.Errorf(managed.ClassInvalid, "docker.platform", "%q is no platform: %w", platform, err)
	}
	return &p, nil
}

// digestOf is the digest of the repository that the reference names.
func digestOf(ref string, res image.InspectResponse) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	for _, d := range res.RepoDigests {
		if have, err := reference.ParseNormalizedNamed(d); err == nil && have.Name() == named.Name() {
			return d
		}
	}
	return ""
}

// pulls keeps pulls of the same image from running side by side.
type pulls struct {
	group singleflight.Group
}

// pullTime bounds a pull whose callers have all given up.
const pullTime = time.Hour

// pull is shared by all who want the same image; one who gives up does not
// stop it for the others.
func (e *Engine) pull(ctx context.Context, ref string, policy PullPolicy, platform string) error {
	done := e.pulls.group.DoChan(string(policy)+" "+ref+" "+platform, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pullTime)
		defer cancel()
		if policy == PullMissing {
			// Another pull may have ended since this caller looked.
			if _, err := e.present(ctx, ref, platform); err == nil {
				return nil, nil
			}
		}
		return nil, e.pullNow(ctx, ref, platform)
	})
	select {
	case res := <-done:
		return res.Err
	case <-ctx.Done():
		return e.Classify(context.Cause(ctx), "pulling the image "+ref)
	}
}

func (e *Engine) pullNow(ctx context.Context, ref, platform string) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return CheckReference(ref)
	}
	login, err := e.login(named)
	if err != nil {
		return err
	}
	options := client.ImagePullOptions{RegistryAuth: login.header}
	wanted, err := platformOf(platform)
	if err != nil {
		return err
	}
	if wanted != nil {
		options.Platforms = []ocispec.Platform{*wanted}
	}
	begun := time.Now()
	e.log.InfoContext(ctx, "pulling an image", "image", ref, "as", login.who)
	// Podman takes a short name for one of several registries; the whole one means the same to both.
	stream, err := e.docker.ImagePull(ctx, reference.TagNameOnly(named).String(), options)
	if err != nil {
		return e.noPull(err, named, login)
	}
	defer func() { _ = stream.Close() }()
	p := progress{log: e.log, image: ref, layers: map[string]layer{}}
	for message, err := range stream.JSONMessages(ctx) {
		if err == nil && message.Error != nil {
			err = message.Error
		}
		if err != nil {
			return e.noPull(err, named, login)
		}
		p.note(ctx, message.ID, message.Status, message.Progress)
	}
	e.log.InfoContext(ctx, "pulled an image", "image", ref, "seconds", int(time.Since(begun).Seconds()), "megabytes", p.megabytes())
	return nil
}
