// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/config"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// config makes a client's TLS out of PEM. The server is always verified.
func (t *TLS) config(host string) (*tls.Config, error) {
	c := serverTLS(host)
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	ca, err := pemOf(t.CA, t.CAFile, "docker.tls.ca")
	if err != nil {
		return nil, err
	}
	cert, err := pemOf(t.Cert, t.CertFile, "docker.tls.cert")
	if err != nil {
		return nil, err
	}
	key, err := pemOf(t.Key, t.KeyFile, "docker.tls.key")
	if err != nil {
		return nil, err
	}
	if ca != nil {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(ca) {
			return nil, managed.Errorf(managed.ClassInvalid, "docker.tls.ca", "the CA holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
		}
	}
	switch {
	case (cert == nil) != (key == nil):
		return nil, managed.Errorf(managed.ClassInvalid, "docker.tls", "a client's certificate and its key belong together: one of them is missing")
	case cert != nil:
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, managed.Errorf(managed.ClassInvalid, "docker.tls.cert", "reading the client's certificate and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// pemOf reads PEM from text or from a file; nil if there is neither.
func pemOf(text, file, attribute string) ([]byte, error) {
	switch {
	case text != "" && file != "":
		return nil, managed.Errorf(managed.ClassInvalid, attribute, "given twice, as text and as a file")
	case text != "":
		return []byte(text), nil
	case file == "":
		return nil, nil
	}
	b, err := os.ReadFile(expandHome(file))
	if err != nil {
		return nil, managed.Errorf(managed.ClassInvalid, attribute+"_file", "reading %s: %w", file, err)
	}
	return b, nil
}

// environmentTLS is what DOCKER_TLS_VERIFY, DOCKER_TLS and DOCKER_CERT_PATH
// mean to the docker program; nil for no TLS.
func environmentTLS() (*tls.Config, error) {
	verify := os.Getenv("DOCKER_TLS_VERIFY") != ""
	dir := os.Getenv("DOCKER_CERT_PATH")
	if !verify && os.Getenv("DOCKER_TLS") == "" {
		return nil, nil
	}
	if dir == "" {
		dir = config.Dir()
	}
	t := TLS{}
	for file, into := range map[string]*string{"ca.pem": &t.CAFile, "cert.pem": &t.CertFile, "key.pem": &t.KeyFile} {
		if path := filepath.Join(dir, file); exists(path) {
			*into = path
		}
	}
	if verify && t.CAFile == "" && os.Getenv("DOCKER_CERT_PATH") != "" {
		return nil, managed.Errorf(managed.ClassInvalid, "", "DOCKER_TLS_VERIFY is set, and DOCKER_CERT_PATH (%s) has no ca.pem", dir)
	}
	c, err := t.config("")
	if err != nil {
		return nil, err
	}
	c.InsecureSkipVerify = !verify //nolint:gosec // DOCKER_TLS without DOCKER_TLS_VERIFY says so
	return c, nil
}
