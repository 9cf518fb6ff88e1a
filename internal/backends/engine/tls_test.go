// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// tlsEngine answers pings, on a port with TLS that asks for a certificate.
func tlsEngine(t *testing.T, certs testenv.Certificates) (port string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
	}))
	pair, err := tls.LoadX509KeyPair(certs.ServerCertFile, certs.ServerKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(certs.CA))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err = net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// ping asks an engine whether it is there.
func ping(t *testing.T, cfg Config) error {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = e.Close() })
	_, err = e.Client().Ping(t.Context(), client.PingOptions{NegotiateAPIVersion: true})
	return e.Classify(err, "asking the engine")
}

func TestTLS(t *testing.T) {
	blank(t)
	certs, others := testenv.NewCertificates(t, "engine.test"), testenv.NewCertificates(t, "engine.test")
	port := tlsEngine(t, certs)
	host := "tcp://127.0.0.1:" + port
	works := func(name string, cfg Config) {
		t.Helper()
		if err := ping(t, cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	text := TLS{CA: certs.CA, Cert: certs.Cert, Key: certs.Key}
	files := TLS{CAFile: certs.CAFile, CertFile: filepath.Join(certs.Dir, "cert.pem"), KeyFile: filepath.Join(certs.Dir, "key.pem")}
	works("PEM", Config{Host: host, TLS: &text})
	works("files", Config{Host: host, TLS: &files})
	named := text
	named.ServerName = "engine.test"
	works("named", Config{Host: host, TLS: &named})

	t.Run("environment", func(t *testing.T) {
		t.Setenv("DOCKER_HOST", host)
		t.Setenv("DOCKER_TLS_VERIFY", "1")
		t.Setenv("DOCKER_CERT_PATH", certs.Dir)
		works("environment", Config{})
		works("the configured TLS before the environment's", Config{Host: host, TLS: &text})
	})
	t.Run("context", func(t *testing.T) {
		dockerContext(t, "far", `{"Host":"`+host+`","SkipTLSVerify":false}`)
		for _, name := range []string{"ca.pem", "cert.pem", "key.pem"} {
			b, err := os.ReadFile(filepath.Join(certs.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(os.Getenv("DOCKER_CONFIG"), "contexts", "tls", digest.FromString("far").Encoded(), "docker", name), string(b))
		}
		works("context", Config{Context: "far"})
	})

	fails := func(name string, cfg Config, class managed.Class, words ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) { testenv.WantError(t, ping(t, cfg), class, "", words...) })
	}
	wrongCA, wrongCert, wrongName, none := text, text, text, text
	wrongCA.CA = others.CA
	wrongCert.Cert, wrongCert.Key = others.Cert, others.Key
	wrongName.ServerName = "other.test"
	none.Cert, none.Key = "", ""
	fails("another authority", Config{Host: host, TLS: &wrongCA}, managed.ClassPermission, "docker.tls", "signed by nobody trusted")
	fails("another name", Config{Host: host, TLS: &wrongName}, managed.ClassPermission, "docker.tls.server_name")
	fails("a certificate of others", Config{Host: host, TLS: &wrongCert}, managed.ClassPermission, "docker.tls.cert")
	fails("no certificate", Config{Host: host, TLS: &none}, managed.ClassPermission, "docker.tls.cert")
	fails("no TLS", Config{Host: host}, managed.ClassInvalid, "speaks TLS", "docker.tls")
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	fails("TLS where there is none", Config{Host: "tcp://" + plain.Listener.Addr().String(), TLS: &text}, managed.ClassInvalid, "does not speak TLS")
}

// TestNoEngine: nothing is there, and the error says what to do.
func TestNoEngine(t *testing.T) {
	blank(t)
	testenv.WantError(t, ping(t, Config{Host: "unix://" + filepath.Join(t.TempDir(), "no.sock")}), managed.ClassUnavailable, "", "no such socket", "docker.host", "the provider's configuration")
	testenv.WantError(t, ping(t, Config{Host: "tcp://127.0.0.1:1"}), managed.ClassUnavailable, "", "nothing listens there")
	testenv.WantError(t, ping(t, Config{Host: "tcp://no-such-host.invalid:2375"}), managed.ClassUnavailable, "", "cannot be resolved")
	testenv.WantError(t, ping(t, Config{Host: "ssh://me@127.0.0.1:1"}), managed.ClassUnavailable, "", "SSH server at 127.0.0.1:1")
}
