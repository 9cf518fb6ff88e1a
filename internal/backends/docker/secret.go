// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// An engine outside of a swarm has no place for secrets. A cluster's is a
// file, readable by root only, in a volume of its own: it shows in no inspect.
// Files get in and out of a volume through a container; ours is made of an
// empty image and never started. It stays as long as the secret does, so that
// a read is one call that changes nothing, and so that "docker volume prune"
// leaves the volume alone. If it is pruned itself, the next read makes it anew.
const (
	// HelperImage is that empty image, made where the engine does not have it.
	HelperImage = "dockerparallel.local/helper:1"
	secretDir   = "/secret"
	secretFile  = "value"
)

// maxSecret is far more than the core ever keeps.
const maxSecret = 1 << 20

// PutSecret implements [managed.SecretStore].
func (b *Backend) PutSecret(ctx context.Context, scope managed.Scope, value []byte, labels map[string]string) error {
	const doing = "keeping a cluster's secret"
	name := sharedName(scope, "secret")
	own := maps.Clone(labels)
	maps.Copy(own, sharedLabels(scope, kindSecret))
	if err := b.secretVolume(ctx, scope, name, own); err != nil {
		return err
	}
	content, err := packSecret(value)
	if err != nil {
		return managed.Errorf(managed.ClassUnknown, "", "%s: %w", doing, err)
	}
	holder, err := b.holder(ctx, scope, name)
	if err != nil {
		return err
	}
	if _, err := b.docker.CopyToContainer(ctx, holder, client.CopyToContainerOptions{DestinationPath: secretDir, Content: bytes.NewReader(content)}); err != nil {
		return b.engine.Classify(err, doing)
	}
	return nil
}

// secretVolume makes the volume. A volume's labels cannot be changed, so one
// of another owner is made anew.
func (b *Backend) secretVolume(ctx context.Context, scope managed.Scope, name string, labels map[string]string) error {
	const doing = "making a volume for a cluster's secret"
	answered, stop := managed.Outlast(ctx, answerTime)
	defer stop()
	res, err := b.docker.VolumeCreate(answered, client.VolumeCreateOptions{Name: name, Labels: labels})
	if err != nil {
		return b.engine.Classify(err, doing)
	}
	switch have := res.Volume.Labels; {
	case have[managed.LabelManagedBy] != managed.ManagedBy:
		return managed.Errorf(managed.ClassConflict, "", "%s: there is a volume %s that somebody else made; remove or rename it", doing, name)
	case have[managed.LabelOwner] == labels[managed.LabelOwner]:
		return nil
	}
	if err := b.removeHolders(ctx, scope); err != nil {
		return err
	}
	if err := b.removeVolume(ctx, name); err != nil {
		return err
	}
	if _, err := b.docker.VolumeCreate(answered, client.VolumeCreateOptions{Name: name, Labels: labels}); err != nil {
		return b.engine.Classify(err, doing)
	}
	return nil
}

// packSecret makes an archive of the value with its checksum before it: a
// reader may come while it is being written.
func packSecret(value []byte) ([]byte, error) {
	sum := sha256.Sum256(value)
	content := append([]byte(hex.EncodeToString(sum[:])+"\n"), value...)
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	err := w.WriteHeader(&tar.Header{Name: secretFile, Mode: 0o600, Size: int64(len(content)), ModTime: time.Now()})
	if err == nil {
		_, err = w.Write(content)
	}
	return buf.Bytes(), errors.Join(err, w.Close())
}

// errTorn is a secret that was read while it was written.
var errTorn = errors.New("its checksum is wrong")

// errNoFile is a volume without a secret in it.
var errNoFile = errors.New("there is none")

func unpackSecret(archive io.Reader) ([]byte, error) {
	r := tar.NewReader(archive)
	if _, err := r.Next(); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(r, maxSecret))
	if err != nil {
		return nil, err
	}
	sum, value, _ := bytes.Cut(content, []byte("\n"))
	if want := sha256.Sum256(value); string(sum) != hex.EncodeToString(want[:]) {
		return nil, errTorn
	}
	return value, nil
}

// GetSecret implements [managed.SecretStore].
func (b *Backend) GetSecret(ctx context.Context, scope managed.Scope) ([]byte, error) {
	const doing = "reading a cluster's secret"
	name := sharedName(scope, "secret")
	for try := 0; ; try++ {
		value, err := b.readSecret(ctx, holderName(scope))
		switch {
		case errors.Is(err, errNoHolder) && try < 5:
			// There is no secret, or somebody has pruned containers. The volume
			// is asked for first, because the holder's creation would make it.
			if there, err := b.hasVolume(ctx, name); err != nil || !there {
				return nil, err
			}
			if _, err := b.holder(ctx, scope, name); err != nil {
				return nil, err
			}
		case errors.Is(err, errNoFile) && try == 0, errors.Is(err, errTorn) && try < 5:
			if err := wait(ctx, 50*time.Millisecond); err != nil {
				return nil, b.engine.Classify(err, doing)
			}
		case errors.Is(err, errNoFile):
			return nil, nil // its writer crashed between the two steps
		case errors.Is(err, errTorn):
			return nil, managed.Errorf(managed.ClassInvalid, "", "%s: the file in the volume %s is damaged; destroy the cluster and make it again", doing, name)
		case errors.Is(err, errNoHolder):
			return nil, managed.Errorf(managed.ClassTransient, "", "%s: somebody removes the container that holds it again and again", doing)
		default:
			return value, err
		}
	}
}

func (b *Backend) hasVolume(ctx context.Context, name string) (bool, error) {
	v, err := b.docker.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
	switch {
	case errdefs.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, b.engine.Classify(err, "looking for a cluster's secret")
	}
	return v.Volume.Labels[managed.LabelManagedBy] == managed.ManagedBy, nil
}

// errNoHolder is a secret whose container is not there.
var errNoHolder = errors.New("its container is not there")

func (b *Backend) readSecret(ctx context.Context, holder string) ([]byte, error) {
	const doing = "reading a cluster's secret"
	res, err := b.docker.CopyFromContainer(ctx, holder, client.CopyFromContainerOptions{SourcePath: secretDir + "/" + secretFile})
	switch {
	case isGone(err) && strings.Contains(strings.ToLower(err.Error()), "no such container"):
		return nil, errNoHolder
	case errdefs.IsNotFound(err):
		return nil, errNoFile
	case err != nil:
		return nil, b.engine.Classify(err, doing)
	}
	defer func() { _ = res.Content.Close() }()
	value, err := unpackSecret(res.Content)
	if err != nil && !errors.Is(err, errTorn) {
		return nil, b.engine.Classify(err, doing)
	}
	return value, err
}

// DeleteSecret implements [managed.SecretStore].
func (b *Backend) DeleteSecret(ctx context.Context, scope managed.Scope) error {
	if err := b.removeHolders(ctx, scope); err != nil {
		return err
	}
	return b.removeVolume(ctx, sharedName(scope, "secret"))
}

// removeHolders goes by labels: there is one, whatever it is called.
func (b *Backend) removeHolders(ctx context.Context, scope managed.Scope) error {
	sel := managed.Selector{Namespace: scope.Namespace, Cluster: scope.Cluster}
	filters := selects(sel)
	filters.Add("label", labelKind+"="+kindHelper)
	found, err := b.listed(ctx, filters)
	if err != nil {
		return err
	}
	for i := range found {
		if !matches(sel, kindHelper, found[i].Labels) {
			continue
		}
		if err := b.remove(ctx, managed.Handle(found[i].ID)); err != nil {
			return err
		}
	}
	return nil
}

// removeVolume waits a moment for those who read it.
func (b *Backend) removeVolume(ctx context.Context, name string) error {
	for try := 0; ; try++ {
		_, err := b.docker.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
		switch {
		case err == nil || errdefs.IsNotFound(err):
			return nil
		case !errdefs.IsConflict(err) && !isInUse(err) || try == 20:
			return b.engine.Classify(err, "removing the volume "+name)
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return b.engine.Classify(err, "removing the volume "+name)
		}
	}
}

// holderName is the same for all who use a cluster's secret.
func holderName(scope managed.Scope) string { return sharedName(scope, kindHelper) }

// holder makes the container that has the volume, unless it is there, and
// gives its name.
func (b *Backend) holder(ctx context.Context, scope managed.Scope, volume string) (string, error) {
	const doing = "making a container that holds a volume"
	options := client.ContainerCreateOptions{
		Name:   holderName(scope),
		Config: &container.Config{Image: HelperImage, Cmd: []string{"never started"}, Labels: sharedLabels(scope, kindHelper), NetworkDisabled: true},
		HostConfig: &container.HostConfig{
			NetworkMode: "none",
			Mounts:      []mount.Mount{{Type: mount.TypeVolume, Source: volume, Target: secretDir}},
		},
	}
	for try := 0; ; try++ {
		_, err := b.docker.ContainerCreate(ctx, options)
		switch {
		case err == nil:
			return options.Name, nil
		case isNameTaken(err):
			there, err := b.docker.ContainerInspect(ctx, options.Name, client.ContainerInspectOptions{})
			switch {
			case isGone(err) && try < 5: // it has just gone
			case err != nil:
				return "", b.engine.Classify(err, doing)
			case there.Container.Config == nil || there.Container.Config.Labels[labelKind] != kindHelper:
				return "", managed.Errorf(managed.ClassConflict, "", "%s: there is a container %s that somebody else made; remove or rename it", doing, options.Name)
			default:
				return options.Name, nil
			}
		case isMissingImage(err) && try < 5: // it may be removed again by another destroy
			if err := b.importHelper(ctx); err != nil {
				return "", err
			}
		default:
			if ctx.Err() != nil {
				b.takeBack(ctx, options.Name, func(labels map[string]string) bool { return labels[labelKind] == kindHelper })
			}
			return "", b.engine.Classify(err, doing)
		}
	}
}

// importHelper makes an image with nothing in it.
func (b *Backend) importHelper(ctx context.Context) error {
	const doing = "making an empty image"
	var empty bytes.Buffer
	if err := tar.NewWriter(&empty).Close(); err != nil {
		return managed.Errorf(managed.ClassUnknown, "", "%s: %w", doing, err)
	}
	res, err := b.docker.ImageImport(ctx, client.ImageImportSource{Source: &empty, SourceName: "-"}, HelperImage, client.ImageImportOptions{
		Message: "empty: dockerparallel reads and writes volumes through it",
		Changes: []string{fmt.Sprintf("LABEL %s=%s %s=%s", managed.LabelManagedBy, managed.ManagedBy, labelKind, kindHelper)},
	})
	if err != nil {
		return b.engine.Classify(err, doing)
	}
	defer func() { _ = res.Close() }()
	if _, err := io.Copy(io.Discard, res); err != nil {
		return b.engine.Classify(err, doing)
	}
	return nil
}

// removeHelperImage leaves nothing on an engine without clusters. The engine
// refuses while a container is made of it, and the next use makes it anew. Two
// imports at once leave an image without a name, so it goes by label.
func (b *Backend) removeHelperImage(ctx context.Context) {
	left, err := b.docker.VolumeList(ctx, client.VolumeListOptions{Filters: selects(managed.Selector{})})
	if err != nil || len(left.Items) > 0 {
		return // other clusters will want it
	}
	all, err := b.docker.ImageList(ctx, client.ImageListOptions{Filters: selects(managed.Selector{})})
	if err != nil {
		b.log.DebugContext(ctx, "the empty helper image stays", "error", err)
		return
	}
	for _, img := range all.Items {
		if img.Labels[labelKind] != kindHelper {
			continue // somebody has made it of one of our containers
		}
		if _, err := b.docker.ImageRemove(ctx, img.ID, client.ImageRemoveOptions{PruneChildren: true}); err != nil && !errdefs.IsNotFound(err) {
			b.log.DebugContext(ctx, "the empty helper image stays", "error", err)
		}
	}
}
