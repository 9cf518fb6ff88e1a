// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// ServerRequest asks for a cluster's server.
type ServerRequest struct {
	// Scope names the cluster; its Pool is empty.
	Scope     Scope
	Framework Framework
	Server    ServerSpec
	// External, if not nil, is the server: nothing is started.
	External *External
	// Password that the user gave. Empty: the one that is stored or, where
	// there is none or NewPassword is set, a new one.
	Password    Secret
	NewPassword bool
	// Create is true if the caller does not know of a server yet. What is
	// found then is adopted or refused, as OnExisting says; without Create
	// the server is started anew, whatever is found.
	Create     bool
	OnExisting OnExisting
	// KeepLaunch, if not empty, has the server come back under that launch, so
	// that workers which connect again by themselves need not restart. The
	// backend has to have stable server names, and the password, the port and
	// the framework must be those of that launch.
	KeepLaunch string
	// Known is the server's handle as the caller remembers it, for backends
	// that cannot list.
	Known Handle
}

// Server is a cluster's server as the world shows it.
type Server struct {
	// Found is false if there is no trace of a server; all else is then zero,
	// and Status is StatusStopped.
	Found bool
	// External is true for a server from elsewhere, which has no handle.
	External  bool
	Handle    Handle
	Launch    string
	Owner     string
	Framework string
	SpecHash  string
	Record    string
	Observation
	Endpoint Endpoint
	// Endpoints of all its ports by name, as far as the listing tells them.
	Endpoints map[string]Endpoint
	// Exports of the backend; see Container.
	Exports map[string]string
	// Notices of the operation that returned this.
	Notices []Notice
}

// RunServer makes sure that the cluster has exactly one server, of the wanted
// spec and answering, and returns it. On error nothing that it started is left.
//
// Errors: [ExistsError] if Create finds what it may not take; [FailedError] if
// the server ended instead of answering; [ErrLaunchLost] if the launch to keep
// cannot be kept.
func (m *Manager) RunServer(ctx context.Context, req ServerRequest) (Server, error) {
	if err := checkScope(req.Scope); err != nil {
		return Server{}, err
	}
	found, err := m.servers(ctx, req.Scope, req.Known)
	if err != nil {
		return Server{}, err
	}
	secret, err := m.getSecret(ctx, req.Scope)
	if err != nil {
		return Server{}, err
	}
	if req.Create {
		if err := m.checkServerExists(req, found, secret); err != nil {
			return Server{}, err
		}
	}
	if req.External != nil {
		return m.useExternal(ctx, req, found, secret)
	}
	if req.Create {
		if s, ok, err := m.adoptServer(ctx, req, found, secret); ok || err != nil {
			return s, err
		}
	}
	for try := 1; ; try++ {
		s, err := m.launchServer(ctx, req, found, secret)
		// A port that was free a moment ago can be somebody's by now.
		lost := req.Server.Port == 0 && ClassOf(err) == ClassConflict && AttributeOf(err) == "port"
		if !lost || try == portTries || ctx.Err() != nil {
			return s, err
		}
	}
}

// portTries is how many free ports are tried. A framework with several ports
// needs their neighbours, too.
const portTries = 10

// checkServerExists refuses what a create may not take over.
func (m *Manager) checkServerExists(req ServerRequest, found []Member, secret *clusterSecret) error {
	if req.OnExisting == OnExistingAdopt {
		return nil
	}
	var foreign []Member
	for _, c := range found {
		if c.Owner == "" || c.Owner != m.opts.Owner {
			foreign = append(foreign, c)
		}
	}
	if len(foreign) > 0 {
		return &ExistsError{Scope: req.Scope, Role: RoleServer, Members: foreign}
	}
	if len(found) == 0 && secret != nil && secret.External != nil && (secret.Owner == "" || secret.Owner != m.opts.Owner) {
		return &ExistsError{Scope: req.Scope, Role: RoleServer, External: true, Owner: secret.Owner}
	}
	return nil
}

// useExternal records a server from elsewhere. Servers of ours in the scope
// are stopped: the cluster has one server.
func (m *Manager) useExternal(ctx context.Context, req ServerRequest, found []Member, old *clusterSecret) (Server, error) {
	s := clusterSecret{
		Owner: m.opts.Owner, Framework: req.Framework.Name(), Launch: newToken(), SameLAN: req.Server.SameLAN,
		Password: req.External.Password.Reveal(), External: &req.External.Endpoint,
		Record: req.Server.Record.String(), SpecHash: req.Server.Hash(),
	}
	if req.Create && old != nil && old.External != nil && *old.External == *s.External && old.Password == s.Password && old.SpecHash == s.SpecHash {
		s.Launch = old.Launch // an interrupted create, or an adopted cluster: the workers need not restart
	}
	if err := m.putSecret(ctx, req.Scope, s); err != nil {
		return Server{}, err
	}
	if err := m.kill(ctx, handlesOf(found)); err != nil {
		return Server{}, err
	}
	return externalServer(&s), nil
}

func externalServer(s *clusterSecret) Server {
	return Server{
		Found: true, External: true, Launch: s.Launch, Owner: s.Owner, Framework: s.Framework, SpecHash: s.SpecHash,
		Record: s.Record, Endpoint: *s.External, Observation: Observation{Status: StatusRunning, Known: true},
	}
}

// adoptServer takes over a server that fits, if there is one.
func (m *Manager) adoptServer(ctx context.Context, req ServerRequest, found []Member, secret *clusterSecret) (Server, bool, error) {
	if secret == nil || (req.Password != "" && req.Password.Reveal() != secret.Password) {
		return Server{}, false, nil
	}
	want := req.Server.Hash()
	for _, c := range found {
		if !c.alive() || c.SpecHash != want || c.Launch != secret.Launch || secret.Framework != req.Framework.Name() {
			continue
		}
		m.opts.Log.InfoContext(ctx, "taking over the server that is there", "cluster", req.Scope.Cluster, "handle", c.Handle)
		s, err := m.awaitServer(ctx, req, c, Secret(secret.Password))
		if err != nil {
			if ClassOf(err) == ClassUnavailable || ctx.Err() != nil {
				return Server{}, false, err
			}
			return Server{}, false, nil // it does not answer: launch anew
		}
		others := slices.DeleteFunc(slices.Clone(found), func(o Member) bool { return o.Handle == c.Handle })
		return s, true, m.kill(ctx, handlesOf(others))
	}
	return Server{}, false, nil
}

// launchServer starts a server under a new launch, in place of what was found.
func (m *Manager) launchServer(ctx context.Context, req ServerRequest, found []Member, secret *clusterSecret) (server Server, err error) {
	password := req.Password
	if password == "" && secret != nil && !req.NewPassword {
		password = Secret(secret.Password)
	}
	if password == "" && req.Framework.HasPassword() {
		password = Secret(newToken() + newToken())
	}
	port, err := m.serverPort(ctx, req.Server.Port)
	if err != nil {
		return Server{}, err
	}
	launch, token := newToken(), newToken()
	if req.KeepLaunch != "" {
		if !m.props.StableServerName || secret == nil || secret.Launch != req.KeepLaunch || secret.Password != password.Reveal() {
			return Server{}, Errorf(ClassNotFound, "", "starting the server of cluster %q again: %w", req.Scope.Cluster, ErrLaunchLost)
		}
		launch = req.KeepLaunch
	}
	labels := Labels{
		Namespace: req.Scope.Namespace, Owner: m.opts.Owner, Cluster: req.Scope.Cluster, Role: RoleServer,
		Framework: req.Framework.Name(), Launch: launch, SpecHash: req.Server.Hash(), Token: token,
		Record: req.Server.Record.String(), User: req.Server.Labels,
	}
	others := portNumbers(req.Framework.Defaults(RoleServer), port)
	facts := Facts{
		Namespace: req.Scope.Namespace, Cluster: req.Scope.Cluster, Host: m.props.ListenAddress, Port: port, Ports: others,
		Password: password, Hardware: req.Server.Hardware,
	}
	run := RunRequest{Scope: clusterScope(req.Scope), Role: RoleServer, Count: 1, Token: token}
	run.Spec = containerSpec(req.Framework, RoleServer, req.Server.Template, facts)
	run.Spec.Ports = ServerPorts(req.Framework, port, req.Server.Publish)
	run.Spec.Labels = labels.Map()
	if err := m.checkLabels(run.Spec.Labels); err != nil {
		return Server{}, err
	}
	// All that can be refused is refused before the old server is touched.
	if m.can.Preflighter != nil {
		if err := m.can.Preflighter.Preflight(ctx, run, handlesOf(found)); err != nil {
			return Server{}, wrap(err, "checking the server of cluster "+req.Scope.Cluster)
		}
	}
	if m.can.Preparer != nil {
		if err := m.can.Preparer.Prepare(ctx, run.Scope, req.Server.Options); err != nil {
			return Server{}, wrap(err, "preparing for cluster "+req.Scope.Cluster)
		}
	}
	if err := m.kill(ctx, handlesOf(found)); err != nil {
		return Server{}, err
	}
	// The secret comes before the server: what runs can always be reached.
	kept := clusterSecret{Owner: m.opts.Owner, Framework: req.Framework.Name(), Launch: launch, Password: password.Reveal(), SameLAN: req.Server.SameLAN}
	if err := m.putSecret(ctx, req.Scope, kept); err != nil {
		return Server{}, err
	}
	m.opts.Log.InfoContext(ctx, "starting the server", "cluster", req.Scope.Cluster, "launch", launch, "port", port)
	handles, runErr := m.backend.Run(ctx, run)
	defer func() {
		if err != nil {
			err = m.withdrawServer(ctx, req, handles, launch, err)
		}
	}()
	if runErr != nil {
		return Server{}, wrap(runErr, "starting the server of cluster "+req.Scope.Cluster)
	}
	if len(handles) != 1 || handles[0] == "" {
		return Server{}, Errorf(ClassUnknown, "", "starting the server of cluster %q: the backend %q answered with %d handles instead of 1", req.Scope.Cluster, m.props.Name, len(handles))
	}
	if m.can.Lister == nil {
		kept.Handle = handles[0]
		if err := m.putSecret(ctx, req.Scope, kept); err != nil {
			return Server{}, err
		}
	}
	if server, err = m.awaitServer(ctx, req, Member{Handle: handles[0], Labels: labels}, password); err != nil {
		return Server{}, err
	}
	// A second look: the cluster has one server. What is there beside it was
	// killed without effect, or started by a Run whose answer was lost.
	rest, err := m.servers(ctx, req.Scope, "")
	if err != nil {
		return Server{}, err
	}
	// Two processes may do this at once. The server that counts is the one the
	// secret is for. As each keeps its secret before it runs its server, and
	// reads it after the list that says what to kill, the last one to keep a
	// secret wins, and no other kills its server.
	if latest, err := m.getSecret(ctx, req.Scope); err != nil {
		return Server{}, err
	} else if latest == nil || latest.Launch != launch {
		return Server{}, Errorf(ClassConflict, "", "the server of cluster %q was started or removed by somebody else at the same time: apply again when they are done", req.Scope.Cluster)
	}
	rest = slices.DeleteFunc(rest, func(c Member) bool {
		if c.Handle == server.Handle {
			server.Exports, server.Endpoints = c.Exports, c.Endpoints
		}
		return c.Handle == server.Handle
	})
	return server, m.kill(ctx, handlesOf(rest))
}

// withdrawServer takes back a server that did not come up. It lists once more:
// a Run whose answer was lost may have started one. If the secret is of this
// launch no other server can be reached with it, so none is left to look sound.
func (m *Manager) withdrawServer(ctx context.Context, req ServerRequest, handles []Handle, launch string, cause error) error {
	ctx, cancel := m.detached(ctx)
	defer cancel()
	found, err := m.servers(ctx, req.Scope, "")
	secret, secretErr := m.getSecret(ctx, req.Scope) // after the list: see launchServer
	ours := secretErr == nil && secret != nil && secret.Launch == launch
	if err == nil {
		for _, c := range found {
			if ours || c.Launch == launch {
				handles = append(handles, c.Handle)
			}
		}
	}
	if err := m.kill(ctx, handles); err != nil {
		cause = fmt.Errorf("%w (and taking it back failed: %w)", cause, err)
	} else if req.Create && ours {
		// Nothing is left, so nothing may be remembered either.
		err := m.forget(ctx, req.Scope)
		if err != nil {
			cause = fmt.Errorf("%w (and cleaning up failed: %w)", cause, err)
		}
	}
	return cause
}

// forget removes the secret and the shared things of a cluster in which
// nothing runs any more. With workers left, of another owner say, it keeps them.
func (m *Manager) forget(ctx context.Context, scope Scope) error {
	left, err := m.Containers(ctx, Selector{Namespace: scope.Namespace, Cluster: scope.Cluster})
	if err != nil || len(left) > 0 {
		return err
	}
	if m.can.SecretStore != nil {
		if err := m.can.SecretStore.DeleteSecret(ctx, clusterScope(scope)); err != nil {
			return wrap(err, "removing the secret of cluster "+scope.Cluster)
		}
	}
	_, err = m.cleanup(ctx, clusterScope(scope), false)
	return err
}

func (m *Manager) serverPort(ctx context.Context, port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	if m.can.PortPicker == nil {
		return 0, Errorf(ClassInvalid, "port", "the backend %q cannot pick a free port: set one", m.props.Name)
	}
	port, err := m.can.PortPicker.FreePort(ctx)
	return port, wrap(err, "looking for a free port")
}

func (m *Manager) checkLabels(labels map[string]string) error {
	if m.props.MaxLabelValue == 0 {
		return nil
	}
	for k, v := range labels {
		if len(v) > m.props.MaxLabelValue {
			return Errorf(ClassInvalid, "", "the label %s would have %d bytes, more than the %d that the backend %q allows: make the environment or the command shorter", k, len(v), m.props.MaxLabelValue, m.props.Name)
		}
	}
	return nil
}

// awaitServer waits until a server that was started answers.
func (m *Manager) awaitServer(ctx context.Context, req ServerRequest, c Member, password Secret) (Server, error) {
	started := time.Now()
	var lastProbe error
	for p := m.newPause(); ; {
		seen, err := m.backend.Status(ctx, []Handle{c.Handle})
		if err != nil {
			return Server{}, wrap(err, "asking after the server of cluster "+req.Scope.Cluster)
		}
		o := m.timely(seen[c.Handle], time.Now())
		switch {
		case !o.Known && time.Since(started) > m.props.VisibilityLag, o.Known && o.Status == StatusStopped:
			return Server{}, m.failed(ctx, req.Scope, c.Handle, o, password)
		case o.Known && o.Status == StatusRunning && o.Ready != nil && !*o.Ready:
			lastProbe = Errorf(ClassTransient, "", "its health check does not pass: %s", cmp.Or(o.Reason, "not yet"))
		case o.Known && o.Status == StatusRunning:
			c.Observation = o
			e, err := m.endpoint(ctx, c)
			if err != nil {
				return Server{}, m.whyNoEndpoint(ctx, req.Scope, c.Handle, password, err)
			}
			lastProbe = m.probeServer(ctx, req, c, e, password)
			if lastProbe == nil {
				return serverOf(c, e), nil
			}
			if cl := ClassOf(lastProbe); cl == ClassPermission || cl == ClassInvalid {
				return Server{}, wrap(lastProbe, "probing the server of cluster "+req.Scope.Cluster)
			}
		}
		if err := p.wait(ctx); err != nil {
			return Server{}, m.notReady(ctx, req.Scope, c.Handle, password, lastProbe, err)
		}
	}
}

// whyNoEndpoint: a server that ended between two looks has no address, but
// how it ended is what helps a person.
func (m *Manager) whyNoEndpoint(ctx context.Context, scope Scope, h Handle, password Secret, err error) error {
	if seen, again := m.backend.Status(ctx, []Handle{h}); again == nil && seen[h].Known && seen[h].Status == StatusStopped {
		return m.failed(ctx, scope, h, seen[h], password)
	}
	return err
}

// probeTime bounds one probe of a server: it has to stand a connection through
// several hops.
const probeTime = 10 * time.Second

// probeServer asks the server whether it answers: by the framework's own
// means, or else by opening a connection to its port. Where neither can reach
// it, its own health check or else a listening port has to do.
func (m *Manager) probeServer(ctx context.Context, req ServerRequest, c Member, e Endpoint, password Secret) error {
	if m.can.Prober == nil {
		return nil // the backend's word that it runs is all there is
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	routed := true // a framework need not hand the dialler's error on as it is
	dial := func(ctx context.Context, port string) (net.Conn, error) {
		conn, err := m.can.Prober.Dial(ctx, c.Handle, port)
		routed = !errors.Is(err, ErrNoRoute)
		return conn, err
	}
	err := m.askServer(ctx, dial, req, e, password)
	switch {
	case err == nil || routed:
		return err
	case c.Ready != nil: // and it is true, or nobody would have asked
		return nil
	}
	return m.can.Prober.Listens(ctx, c.Handle, PortMain)
}

func (m *Manager) askServer(ctx context.Context, dial DialFunc, req ServerRequest, e Endpoint, password Secret) error {
	if fw, ok := req.Framework.(ServerProber); ok {
		return fw.ProbeServer(ctx, dial, Facts{
			Namespace: req.Scope.Namespace, Cluster: req.Scope.Cluster, Host: e.PrivateIP, Port: e.PrivatePort,
			Ports: portNumbers(req.Framework.Defaults(RoleServer), e.PrivatePort), Password: password,
		})
	}
	conn, err := dial(ctx, PortMain)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (m *Manager) endpoint(ctx context.Context, c Member) (Endpoint, error) {
	if e, ok := c.Endpoints[PortMain]; ok {
		return e, nil
	}
	if m.can.Endpointer == nil {
		return Endpoint{}, nil
	}
	e, err := m.can.Endpointer.Endpoint(ctx, c.Handle, PortMain)
	return e, wrap(err, "asking for the server's address")
}
