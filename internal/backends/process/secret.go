// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// secret is what a secret file holds. There is at most one for a cluster and
// one for each of its pools, all in the cluster's folder.
type secret struct {
	Labels map[string]string `json:"labels"`
	Value  []byte            `json:"value"`
}

const (
	secretPrefix = "secret"
	secretSuffix = ".json"
)

// secretName of a scope; '@' is in no name of a folder.
func secretName(pool string) string {
	if pool == "" {
		return secretPrefix + secretSuffix
	}
	return secretPrefix + "@" + folderName(pool) + secretSuffix
}

// poolOfSecret is the reverse of secretName; it is false for other files.
func poolOfSecret(name string) (pool string, ok bool) {
	middle, ok := strings.CutPrefix(name, secretPrefix)
	if !ok {
		return "", false
	}
	if middle, ok = strings.CutSuffix(middle, secretSuffix); !ok || middle == "" {
		return "", ok
	}
	if middle, ok = strings.CutPrefix(middle, "@"); !ok {
		return "", false
	}
	return nameOfFolder(middle)
}

func (b *Backend) secretPath(scope managed.Scope) string {
	return filepath.Join(b.clusterFolder(scope.Namespace, scope.Cluster), secretName(scope.Pool))
}

// secrets are the scopes of a cluster that have one.
func (b *Backend) secrets(cluster managed.Scope) ([]managed.Scope, error) {
	names, err := folderNames(b.clusterFolder(cluster.Namespace, cluster.Cluster))
	if err != nil {
		return nil, err
	}
	var scopes []managed.Scope
	for _, name := range names {
		if pool, ok := poolOfSecret(name); ok {
			scopes = append(scopes, managed.Scope{Namespace: cluster.Namespace, Cluster: cluster.Cluster, Pool: pool})
		}
	}
	return scopes, nil
}

// PutSecret implements [managed.SecretStore].
func (b *Backend) PutSecret(ctx context.Context, scope managed.Scope, value []byte, labels map[string]string) error {
	const doing = "writing a cluster's secret"
	if err := ended(ctx, doing); err != nil {
		return err
	}
	if err := b.checkScope(scope); err != nil {
		return err
	}
	data, err := json.Marshal(secret{Labels: labels, Value: value})
	if err != nil {
		return managed.Errorf(managed.ClassInvalid, "", "%s: %w", doing, err)
	}
	path := b.secretPath(scope)
	for range attempts {
		if err = b.ensureRoot(); err != nil {
			return err
		}
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = replaceFile(path, data)
		}
		if !errors.Is(err, fs.ErrNotExist) { // else another operation has just removed the empty folder
			break
		}
	}
	return fileErrorOrNil(err, doing)
}

// replaceFile writes a file of mode 0600 in one step. It is on the disk
// before it takes the old one's place: a password that is lost stays lost.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), buildingPrefix)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// GetSecret implements [managed.SecretStore].
func (b *Backend) GetSecret(ctx context.Context, scope managed.Scope) ([]byte, error) {
	if err := ended(ctx, "reading a cluster's secret"); err != nil {
		return nil, err
	}
	if err := b.checkScope(scope); err != nil {
		return nil, err
	}
	if exists, err := b.checkRoot(); err != nil || !exists {
		return nil, err
	}
	s, _, err := b.readSecret(scope)
	if err != nil || s == nil {
		return nil, err
	}
	return s.Value, nil
}

// readSecret is nil if there is none.
func (b *Backend) readSecret(scope managed.Scope) (*secret, time.Time, error) {
	path := b.secretPath(scope)
	data, err := readWhole(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, fileError(err, "reading a cluster's secret")
	}
	s := &secret{}
	if err := json.Unmarshal(data, s); err != nil {
		// The text of the error could quote the secret.
		return nil, time.Time{}, managed.Errorf(managed.ClassUnknown, "", "the secret in %s cannot be read", path)
	}
	var at time.Time
	if info, err := os.Lstat(path); err == nil {
		at = info.ModTime()
	}
	return s, at, nil
}

// DeleteSecret implements [managed.SecretStore].
func (b *Backend) DeleteSecret(ctx context.Context, scope managed.Scope) error {
	const doing = "removing a cluster's secret"
	if err := ended(ctx, doing); err != nil {
		return err
	}
	if err := b.checkScope(scope); err != nil {
		return err
	}
	if exists, err := b.checkRoot(); err != nil || !exists {
		return err
	}
	if err := os.Remove(b.secretPath(scope)); !errors.Is(err, fs.ErrNotExist) {
		return fileErrorOrNil(err, doing)
	}
	return nil
}

func fileErrorOrNil(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fileError(err, doing)
}
