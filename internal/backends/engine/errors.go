// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Classify turns an error of the client into a [managed.Error] that says what
// was attempted and, where that is known, what to do. nil stays nil.
func (e *Engine) Classify(err error, doing string) error {
	if err == nil {
		return nil
	}
	var classed *managed.Error
	switch {
	case errors.As(err, &classed):
		return managed.Errorf(classed.Class, classed.Attribute, "%s: %w", doing, classed)
	case errors.Is(err, context.Canceled):
		return managed.Errorf(managed.ClassCanceled, "", "%s: %w", doing, err)
	case errors.Is(err, context.DeadlineExceeded) && !client.IsErrConnectionFailed(err):
		return managed.Errorf(managed.ClassDeadline, "", "%s: %w", doing, err)
	case client.IsErrConnectionFailed(err):
		return e.notConnected(err, doing)
	case isBroken(err):
		return managed.Errorf(managed.ClassTransient, "", "%s: the connection to the engine at %s broke: %w", doing, e.address, err)
	}
	if strings.Contains(err.Error(), "HTTP request to an HTTPS server") {
		return managed.Errorf(managed.ClassInvalid, "", "%s: the engine at %s (from %s) cannot be used: %s", doing, e.address, e.address.Source, speaksTLS)
	}
	return managed.Errorf(e.classOf(err), "", "%s: %w", doing, err)
}

const speaksTLS = "it speaks TLS: give docker.tls, or set DOCKER_TLS_VERIFY"

// classOf an answer of the engine.
func (e *Engine) classOf(err error) managed.Class {
	text := strings.ToLower(err.Error())
	has := func(parts ...string) bool { return ContainsAny(text, parts...) }
	switch {
	case has("no space left on device", "address pool", "cannot allocate memory", "resource temporarily unavailable"):
		return managed.ClassCapacity
	case has("toomanyrequests", "too many requests"):
		return managed.ClassThrottled
	case has("is too new. maximum supported api version") && os.Getenv("DOCKER_API_VERSION") == "":
		// The client could not ask for the engine's version, said nothing of it,
		// and took its own.
		return managed.ClassTransient
	case has("is shutting down", "daemon is restarting", "context deadline exceeded", "transport is closing", "connection reset by peer", "broken pipe"):
		return managed.ClassTransient
	case errdefs.IsNotFound(err):
		return managed.ClassNotFound
	case has("no such container"):
		// Podman lost one while it put together an answer about many.
		return managed.ClassTransient
	case errdefs.IsConflict(err), errdefs.IsAlreadyExists(err):
		return managed.ClassConflict
	case errdefs.IsInvalidArgument(err):
		return managed.ClassInvalid
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return managed.ClassPermission
	case errdefs.IsUnavailable(err):
		return managed.ClassTransient
	case errdefs.IsResourceExhausted(err):
		return managed.ClassThrottled
	}
	return managed.ClassUnknown
}

// notConnected is about an engine that could not be reached. Once it has
// worked, that may pass: an engine is restarted within seconds.
func (e *Engine) notConnected(err error, doing string) error {
	e.link.mu.Lock()
	worked, last := e.link.worked, e.link.last
	e.link.mu.Unlock()
	cause := err
	if last != nil {
		cause = last // the client leaves this out
	}
	// What the SSH connection says is about its own host, and complete.
	var inner *managed.Error
	if errors.As(cause, &inner) {
		class := inner.Class
		if worked && class == managed.ClassUnavailable {
			class = managed.ClassTransient
		}
		return managed.Errorf(class, inner.Attribute, "%s: %w", doing, inner)
	}
	class := managed.ClassUnavailable
	if worked || isBroken(err) && last == nil {
		class = managed.ClassTransient
	}
	advice := "is it running, and is this its address?"
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	text := cause.Error() + " " + err.Error()
	switch {
	case errors.Is(cause, fs.ErrPermission) || strings.Contains(text, "permission denied"):
		class = managed.ClassPermission
		advice = "the user that runs Terraform may not use its socket: add that user to the group docker (which makes it root there), or use a rootless engine"
	case errors.Is(cause, fs.ErrNotExist):
		advice = "there is no such socket: start the engine (systemctl start docker, or Docker Desktop), or say where it is with the provider's docker.host, DOCKER_HOST or a Docker context"
	case errors.Is(cause, syscall.ECONNREFUSED):
		advice = "nothing listens there: start the engine (systemctl start docker), or say where it is with the provider's docker.host, DOCKER_HOST or a Docker context"
	case errors.As(cause, &dns):
		advice = "its host name cannot be resolved from here"
	case errors.As(err, &authority):
		class, advice = managed.ClassPermission, "its certificate is signed by nobody trusted: give the right CA in docker.tls"
	case errors.As(err, &hostname):
		class, advice = managed.ClassPermission, "its certificate is for another name: set docker.tls.server_name, or use that name in docker.host"
	case strings.Contains(text, "malformed HTTP response"):
		class, advice = managed.ClassInvalid, speaksTLS
	case errors.As(err, &record) || strings.Contains(text, "server gave HTTP response to HTTPS client"):
		class, advice = managed.ClassInvalid, "it does not speak TLS"
	case strings.Contains(text, "handshake failure") || strings.Contains(text, "bad certificate") || strings.Contains(text, "certificate required") ||
		strings.Contains(text, "remote error") && strings.Contains(text, "unknown certificate authority"):
		class, advice = managed.ClassPermission, "it does not accept our client certificate: give docker.tls.cert and docker.tls.key that its CA has signed"
	case errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, os.ErrDeadlineExceeded) || errors.Is(cause, syscall.ETIMEDOUT):
		advice = "it does not answer: is there a firewall between?"
	}
	return managed.Errorf(class, "", "%s: cannot reach the engine at %s (from %s): %w; %s", doing, e.address, e.address.Source, brief(cause), advice)
}

// ContainsAny tells whether a text has one of the parts. Much of what an engine
// answers can be told apart by its words only.
func ContainsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(text, p) })
}

// brief leaves the URL out of an error, which says nothing to people.
func brief(err error) error {
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return certificate
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%s %s: %w", op.Op, op.Net, op.Err)
	}
	return err
}

// isBroken tells a connection that ended in mid-call.
func isBroken(err error) bool {
	for _, target := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, target) {
			return true
		}
	}
	text := err.Error()
	return strings.Contains(text, "EOF") || strings.Contains(text, "connection reset") || strings.Contains(text, "server closed idle connection")
}
