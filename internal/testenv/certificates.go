// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificates are those of a server and of its clients, signed by one
// authority. All are PEM; the files are those that DOCKER_CERT_PATH has.
type Certificates struct {
	CA, Cert, Key string
	// Dir has ca.pem, cert.pem and key.pem of a client.
	Dir                           string
	CAFile                        string
	ServerCertFile, ServerKeyFile string
}

// NewCertificates makes them for a server of that name and of 127.0.0.1.
func NewCertificates(t testing.TB, name string) Certificates {
	t.Helper()
	ca, caKey, caPEM, _ := certificate(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	_, _, serverPEM, serverKey := certificate(t, &x509.Certificate{
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, caKey)
	_, _, clientPEM, clientKey := certificate(t, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca, caKey)
	dir := t.TempDir()
	c := Certificates{
		CA: caPEM, Cert: clientPEM, Key: clientKey, Dir: dir, CAFile: filepath.Join(dir, "ca.pem"),
		ServerCertFile: filepath.Join(dir, "server.pem"), ServerKeyFile: filepath.Join(dir, "server-key.pem"),
	}
	for path, text := range map[string]string{
		c.CAFile: caPEM, filepath.Join(dir, "cert.pem"): clientPEM, filepath.Join(dir, "key.pem"): clientKey,
		c.ServerCertFile: serverPEM, c.ServerKeyFile: serverKey,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func certificate(t testing.TB, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	check(err)
	template.Subject = pkix.Name{CommonName: "dockerparallel test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	check(err)
	cert, err := x509.ParseCertificate(der)
	check(err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	check(err)
	return cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
}
