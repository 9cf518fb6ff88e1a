// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// rRedis is R on a Redis server, with the images of the R package
// DockerParallel: as "doredis" a parallel backend of foreach (doRedis), as
// "redisparam" one of BiocParallel (RedisParam). The images' own entrypoints
// do the work; we give them the environment that they read, as their package
// RedisBaseContainer does.
//
// It is no [managed.WorkerLister]. doRedis only keeps a counter in redis, which
// a worker that is killed never lowers, and RedisParam names its workers by
// random ids: neither tells a worker's pool or container.
//
// They are not run in CI: no image can be pulled there.
type rRedis struct {
	configured
	name string
}

var (
	_ managed.Framework    = rRedis{}
	_ managed.ServerProber = rRedis{}
	_ managed.Configured   = rRedis{}
)

const (
	doRedis    = "doredis"
	redisParam = "redisparam"
)

// Images of the R package's containers. Both worker images have both doRedis
// and RedisParam. doRedis users need nothing of Bioconductor, whose image is
// several times as large; RedisParam is a part of it, and its users work with
// other parts.
const (
	rServerImage       = "docker.io/dockerparallel/redis-r-server:latest"
	rBaseImage         = "docker.io/dockerparallel/r-base-worker:latest"
	rBioconductorImage = "docker.io/dockerparallel/bioconductor-worker:latest"
)

// rMaxWorkers in a container, as in the R package.
const rMaxWorkers = 4

// rServerTimeout is the image's own default, in seconds.
const rServerTimeout = 60

// The variables that the images read. Where one may be empty, the images take
// that for absent.
const (
	rServerPort     = "serverPort"
	rServerPassword = "serverPassword"
	rSSHPublicKey   = "sshPubKey"
	rQueueName      = "queueName"
	rServerIP       = "serverIp"
	rWorkerNumber   = "workerNum"
	rPackages       = "RPackages"
	rSysPackages    = "sysPackages"
	rBackend        = "backend"
	rTimeout        = "serverTimeout"
)

// Options of rRedis.
const (
	rOptionPackages    = "r_packages"
	rOptionSysPackages = "system_packages"
	rOptionSSH         = "ssh_public_key"
	rOptionTimeout     = "server_timeout"
)

func rRedisOptions() []Option {
	return []Option{
		{
			Name: rOptionPackages, Type: Strings, Roles: ofWorker(), Check: checkRPackage,
			Description: "R packages that a container installs before its workers start, with `BiocManager::install`: names, or `owner/repository` for GitHub. " +
				"If one cannot be installed, the workers start without it: look into the container's log. The provider's function `r_packages` makes such a list. Default: none." + untested,
		},
		{
			Name: rOptionSysPackages, Type: Strings, Roles: ofWorker(), Check: checkSystemPackage,
			Description: "Debian packages that a container installs before the R packages, with `apt-get install`. " +
				"The provider's function `system_packages` makes such a list. Default: none." + untested,
		},
		{
			Name: rOptionSSH, Type: String, Roles: both(), Check: checkSSHPublicKey,
			Description: "A public key, as in a `.pub` file, with which root may log in by SSH at port 22 of the container. " +
				"Without one, workers start no SSH server, and the server's lets nobody in. Default: none." + untested,
		},
		{
			Name: rOptionTimeout, Type: Int, Roles: ofWorker(),
			Description: fmt.Sprintf("How many seconds a worker that starts tries to reach the server before it is started anew. Default: `%d`.", rServerTimeout) + untested,
			Check: func(value any) string {
				if n, _ := value.(int64); n < 1 || n > 86400 {
					return fmt.Sprintf("A worker cannot try for %d seconds: choose 1 to 86400.", n)
				}
				return ""
			},
		},
	}
}

// checkRPackage takes what CRAN and Bioconductor allow as a name, and what
// BiocManager takes for a repository at GitHub.
func checkRPackage(value any) string {
	const (
		name       = `[A-Za-z][A-Za-z0-9.]*[A-Za-z0-9]`
		repository = `[A-Za-z0-9][A-Za-z0-9-]*(/[A-Za-z0-9._-]+)+(@[A-Za-z0-9][A-Za-z0-9._/-]*)?`
	)
	s, _ := value.(string)
	if !regexp.MustCompile(`^(` + name + `|` + repository + `)$`).MatchString(s) {
		return fmt.Sprintf("%q cannot be an R package: write its name, such as \"data.table\", or a GitHub repository as \"owner/repository\".", s)
	}
	return ""
}

// checkSystemPackage takes what Debian allows as a name, with an architecture
// and a version. The image's shell splits the list into words, so that
// anything else could be options of apt-get.
func checkSystemPackage(value any) string {
	s, _ := value.(string)
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?(=[A-Za-z0-9][A-Za-z0-9.+:~-]*)?$`).MatchString(s) {
		return fmt.Sprintf("%q cannot be a Debian package: write its name in small letters, such as \"libxml2-dev\".", s)
	}
	return ""
}

// checkSSHPublicKey does not repeat the value: it could be a private key.
func checkSSHPublicKey(value any) string {
	s, _ := value.(string)
	_, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(s))
	if err != nil || len(options) > 0 || strings.TrimSpace(string(rest)) != "" {
		return "This is not one public key: give the one line of a .pub file, such as \"ssh-ed25519 AAAA... you@host\"."
	}
	return ""
}

// RPackages and SystemPackages make lists for the options of these names:
// blanks around names and repeated ones are dropped, and what cannot be a
// package is an error.
func RPackages(names []string) ([]string, error) { return packageList(names, checkRPackage) }

// SystemPackages is like [RPackages].
func SystemPackages(names []string) ([]string, error) { return packageList(names, checkSystemPackage) }

func packageList(names []string, check func(any) string) ([]string, error) {
	list := make([]string, 0, len(names))
	for _, name := range names {
		name = strings.TrimSpace(name)
		if wrong := check(name); wrong != "" {
			return nil, managed.Errorf(managed.ClassInvalid, "", "%s", strings.TrimSuffix(wrong, "."))
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list, nil
}

// Name implements managed.Framework.
func (r rRedis) Name() string { return r.name }

// Defaults implements managed.Framework. Entrypoint and command stay the
// images' own.
//
// There is no grace: the first process of these images hands no signal on, so
// that nothing would end but when the time is over, and workers would even
// begin new tasks. Tasks of a lost worker are given to others by doRedis and
// RedisParam.
func (r rRedis) Defaults(role managed.Role) managed.Defaults {
	d := managed.Defaults{
		Image:      rServerImage,
		Port:       6379,
		Hardware:   hardware(role),
		MaxWorkers: 1,
		StopSignal: stopSignal,
	}
	if role == managed.RoleWorker {
		d.Image = rBaseImage
		if r.name == redisParam {
			d.Image = rBioconductorImage
		}
		d.Port = 0
		d.MaxWorkers = rMaxWorkers
	}
	return d
}

// HasPassword implements managed.Framework.
func (rRedis) HasPassword() bool { return true }

// URL implements managed.Framework.
func (rRedis) URL(host string, port int, password managed.Secret) string {
	return redisQueue{}.URL(host, port, password)
}

// ProbeServer implements managed.ServerProber with a PING: the container goes
// on when its redis dies.
func (rRedis) ProbeServer(ctx context.Context, dial managed.DialFunc, f managed.Facts) error {
	return redisQueue{}.ProbeServer(ctx, dial, f)
}

// Environment implements managed.Framework.
//
// Address and port are those at which workers reach the server, whoever has
// started it. R packages are encoded one by one, because the image decodes
// them with URLdecode. System packages are not, whatever the image's README
// says: its script hands them to apt-get as they are, where "g%2B%2B" would be
// unknown.
func (r rRedis) Environment(role managed.Role, f managed.Facts) managed.Environment {
	env := managed.Environment{
		Plain: map[string]string{
			rServerPort: strconv.Itoa(f.Port),
			// The image has the shell split it into words: it is one line.
			rSSHPublicKey: strings.TrimSpace(r.values.str(rOptionSSH)),
		},
		Secret: map[string]managed.Secret{rServerPassword: f.Password},
	}
	if role == managed.RoleServer {
		return env
	}
	var packages []string
	for _, p := range r.values.strings(rOptionPackages) {
		packages = append(packages, percentEncode(p))
	}
	timeout := rServerTimeout
	if r.values.has(rOptionTimeout) {
		timeout = r.values.integer(rOptionTimeout)
	}
	env.Plain[rQueueName] = f.Cluster
	env.Plain[rServerIP] = f.Host
	env.Plain[rWorkerNumber] = strconv.Itoa(max(1, f.Workers))
	env.Plain[rPackages] = strings.Join(packages, ",")
	env.Plain[rSysPackages] = strings.Join(r.values.strings(rOptionSysPackages), ",")
	env.Plain[rTimeout] = strconv.Itoa(timeout)
	env.Plain[rBackend] = "doRedis"
	if r.name == redisParam {
		env.Plain[rBackend] = "RedisParam"
	}
	return env
}

// Client implements managed.Framework. There is only R. The PING comes first,
// because it is an error where the server cannot be reached or does not know
// the password, whatever a release of doRedis or RedisParam makes of that.
func (r rRedis) Client(f managed.ClientFacts) managed.Client {
	register := `  doRedis::registerDoRedis(queue, host = host, port = port, password = password)`
	deregister := `  # The queue stays: doRedis::removeQueue(queue) would end all workers.
  foreach::registerDoSEQ()`
	if r.name == redisParam {
		register = `  BiocParallel::register(RedisParam::RedisParam(
    jobname = queue, manager.hostname = host, manager.port = port,
    manager.password = password, is.worker = FALSE
  ))`
		deregister = `  BiocParallel::register(BiocParallel::SerialParam())`
	}
	return managed.Client{
		URL: r.URL(f.Host, f.Port, ""),
		R: tunnelNote(f) + fmt.Sprintf(`# Cluster %[1]s: its name is also the name of its job queue.
local({
  queue <- %[2]s
  host <- %[3]s
  port <- %[4]dL
  password <- Sys.getenv(%[5]s)
  if (!nzchar(password)) stop("%[6]s is not set")
  redux::hiredis(host = host, port = port, password = password)$PING()
%[7]s
})

# When the work is done: dockerparallel_deregister()
dockerparallel_deregister <- function() {
%[8]s
  invisible(NULL)
}
`, f.Cluster, literalQuote(f.Cluster), literalQuote(f.Host), f.Port, literalQuote(managed.PasswordVariable), managed.PasswordVariable, register, deregister),
	}
}
