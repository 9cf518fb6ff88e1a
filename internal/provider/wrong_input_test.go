// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"maps"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
)

// Wrong input gives one clear diagnostic at the attribute concerned, before
// anything is changed.

func long(n int) string { return strings.Repeat("x", n) }

func TestWrongProviderInput(t *testing.T) {
	for name, c := range map[string]struct {
		config attrs
		at     string
		says   []string
	}{
		"namespace with space": {attrs{"namespace": "a b", "process": attrs{}}, "namespace", []string{"letters, digits"}},
		"namespace too long":   {attrs{"namespace": long(64), "process": attrs{}}, "namespace", []string{"1 to 63"}},
		"empty namespace":      {attrs{"namespace": "", "process": attrs{}}, "namespace", []string{"1 to 63"}},
		"owner with space":     {attrs{"owner": "me too", "process": attrs{}}, "owner", []string{"without spaces"}},
		"reserved label":       {attrs{"default_labels": attrs{"dockerparallel.owner": "x"}, "process": attrs{}}, `default_labels.["dockerparallel.owner"]`, []string{"the provider's own"}},
		"empty label name":     {attrs{"default_labels": attrs{"": "x"}, "process": attrs{}}, `default_labels.[""]`, []string{"cannot be the name of a label"}},
		"null label":           {attrs{"default_labels": attrs{"a": nil}, "process": attrs{}}, "default_labels", []string{"null"}},
		"long label":           {attrs{"default_labels": attrs{"a": long(257)}, "process": attrs{}}, `default_labels.["a"]`, []string{"256"}},
		"tilde in root":        {attrs{"process": attrs{"root": "~/x"}}, "process.root", []string{"pathexpand"}},
		"empty root":           {attrs{"process": attrs{"root": ""}}, "process.root", []string{"empty"}},
		"two backends":         {attrs{"docker": attrs{}, "process": attrs{}}, "process", []string{"More Than One Backend", "docker and process", "alias"}},
		"path as host":         {attrs{"docker": attrs{"host": "/var/run/docker.sock"}}, "docker.host", []string{"unix:///"}},
		"host and context":     {attrs{"docker": attrs{"host": "tcp://h:1", "context": "x"}}, "docker.host", []string{"docker.context"}},
		"ca twice":             {attrs{"docker": attrs{"tls": attrs{"ca": "x", "ca_file": "y"}}}, "docker.tls.ca", []string{"docker.tls.ca_file"}},
		"key twice":            {attrs{"docker": attrs{"ssh": attrs{"private_key": "x", "private_key_file": "y"}}}, "docker.ssh.private_key", []string{"private_key_file"}},
		"registry with scheme": {attrs{"docker": attrs{"registries": []any{attrs{"address": "https://r", "username": "u", "password": "p"}}}}, "docker.registries.[0].address", []string{"without https://"}},
		"gpu twice":            {attrs{"docker": attrs{"gpus": []any{"0", "0"}}}, "docker.gpus", []string{"duplicate"}},
		"no concurrency":       {attrs{"docker": attrs{"concurrency": 0}}, "docker.concurrency", []string{"between 1 and 256"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, newHost(t, New("test")()).validateProvider(c.config), c.at, c.says...)
		})
	}
	t.Run("unknown backend waits", func(t *testing.T) {
		noErrors(t, newHost(t, New("test")()).validateProvider(attrs{"process": unknown{}}))
		noErrors(t, newHost(t, New("test")()).validateProvider(attrs{"process": attrs{"root": unknown{}}, "owner": unknown{}, "namespace": unknown{}, "default_labels": unknown{}}))
	})
}

func TestWrongClusterInput(t *testing.T) {
	server := func(more attrs) attrs {
		s := attrs{"container": attrs{"command": []any{"serve"}}, "port": 6000}
		maps.Copy(s, more)
		return attrs{"server": s}
	}
	container := func(more attrs) attrs {
		c := attrs{"command": []any{"serve"}}
		maps.Copy(c, more)
		return server(attrs{"container": c})
	}
	for name, c := range map[string]struct {
		config attrs
		at     string
		says   []string
	}{
		"bad name":                  {attrs{"name": "-sim"}, "name", []string{"begin with a letter or a digit"}},
		"name with slash":           {attrs{"name": "a/b"}, "name", []string{"letters, digits"}},
		"name too long":             {attrs{"name": long(64)}, "name", []string{"1 to 63"}},
		"unknown framework":         {attrs{"framework": "condor"}, "framework", []string{"custom", "redis"}},
		"port too high":             {server(attrs{"port": 65536}), "server.port", []string{"between 0 and 65535"}},
		"negative port":             {server(attrs{"port": -1}), "server.port", []string{"between 0 and 65535"}},
		"publish port too high":     {server(attrs{"publish": attrs{"port": 70000}}), "server.publish.port", []string{"between 0 and 65535"}},
		"published port too high":   {server(attrs{"publish": attrs{"ports": attrs{"dashboard": 70000}}}), "server.publish.ports.[\"dashboard\"]", []string{"between 0 and 65535"}},
		"publish address with port": {server(attrs{"publish": attrs{"address": "http://x"}}), "server.publish.address", []string{"IP address or a host name"}},
		"custom without port":       {attrs{"server": attrs{"container": attrs{"command": []any{"serve"}}}}, "server.port", []string{"Missing Server Port", "custom"}},
		"nothing at all":            {attrs{"server": nil}, "server.port", []string{"Missing Server Port"}},
		"no cpu":                    {server(attrs{"hardware": attrs{"cpu": 0}}), "server.hardware.cpu", []string{"between 1 and"}},
		"no memory":                 {server(attrs{"hardware": attrs{"memory": 0}}), "server.hardware.memory", []string{"between 1 and"}},
		"negative gpus":             {server(attrs{"hardware": attrs{"gpus": -1}}), "server.hardware.gpus", []string{"between 0 and"}},
		"far too much memory":       {server(attrs{"hardware": attrs{"memory": 1 << 40}}), "server.hardware.memory", []string{"between 1 and"}},
		"image with space":          {container(attrs{"image": "redis 7"}), "server.container.image", []string{"without spaces"}},
		"null in command":           {container(attrs{"command": []any{"a", nil}}), "server.container.command", []string{"null"}},
		"null in environment":       {container(attrs{"environment": attrs{"A": nil}}), "server.container.environment", []string{"null"}},
		"reserved variable":         {container(attrs{"environment": attrs{"DOCKERPARALLEL_FOO": "x"}}), "server.container.environment", []string{"DOCKERPARALLEL_FOO", "reserved"}},
		"variable with equals":      {container(attrs{"environment": attrs{"A=B": "x"}}), "server.container.environment", []string{"may not contain"}},
		"password in the command":   {container(attrs{"command": []any{"serve", "--pass=$(DOCKERPARALLEL_SERVER_PASSWORD)"}}), "server.container.command", []string{"process list"}},
		"password in entrypoint":    {container(attrs{"entrypoint": []any{"x", "$(DOCKERPARALLEL_SERVER_URL)"}}), "server.container.entrypoint", []string{"process list"}},
		"clash with the framework":  {attrs{"framework": "redis", "server": attrs{"container": attrs{"environment": attrs{"REDISCLI_AUTH": "x"}}}}, "server.container.environment", []string{"REDISCLI_AUTH", "set by the framework"}},
		"both servers":              {attrs{"external_server": attrs{"public_ip": "h", "public_port": 1}}, "external_server", []string{"cannot be specified when"}},
		"half a pair":               {attrs{"server": nil, "external_server": attrs{"public_ip": "10.0.0.1"}}, "external_server.public_ip", []string{"public_port"}},
		"the other half":            {attrs{"server": nil, "external_server": attrs{"private_port": 1}}, "external_server.private_port", []string{"private_ip"}},
		"no address":                {attrs{"server": nil, "external_server": attrs{}}, "external_server", []string{"Missing Server Address"}},
		"external port 0":           {attrs{"server": nil, "external_server": attrs{"public_ip": "h", "public_port": 0}}, "external_server.public_port", []string{"between 1 and 65535"}},
		"address with scheme":       {attrs{"server": nil, "external_server": attrs{"public_ip": "tcp://h", "public_port": 1}}, "external_server.public_ip", []string{"without scheme"}},
		"empty password":            {attrs{"password_wo": "", "password_wo_version": 1}, "password_wo", []string{"generated"}},
		"password of two lines":     {attrs{"password_wo": "a\nb", "password_wo_version": 1}, "password_wo", []string{"line breaks"}},
		"negative version":          {attrs{"password_wo_version": -1}, "password_wo_version", []string{"at least 0"}},
		"bad on_existing":           {attrs{"on_existing": "maybe"}, "on_existing", []string{"adopt"}},
		"reserved label":            {attrs{"labels": attrs{"dockerparallel.x": "y"}}, `labels.["dockerparallel.x"]`, []string{"the provider's own"}},
		"label with space":          {attrs{"labels": attrs{"a b": "y"}}, `labels.["a b"]`, []string{"cannot be the name of a label"}},
		"bad timeout":               {attrs{"timeouts": attrs{"create": "10"}}, "timeouts.create", []string{"is not a time span"}},
		"timeout of zero":           {attrs{"timeouts": attrs{"delete": "0s"}}, "timeouts.delete", []string{"too short"}},
		"negative timeout":          {attrs{"timeouts": attrs{"update": "-5m"}}, "timeouts.update", []string{"too short"}},
		"relative folder":           {server(attrs{"process": attrs{"working_directory": "here"}}), "server.process.working_directory", []string{"absolute", "abspath"}},
		"bad inherited variable":    {server(attrs{"process": attrs{"inherit_environment": []any{"A-B"}}}), "server.process.inherit_environment.[0]", []string{"name of an environment variable"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := clusterConfig(c.config)
			wantError(t, memoryHost(t, newMemory()).resource("cluster").validate(config), c.at, c.says...)
		})
	}
}

func TestWrongPoolInput(t *testing.T) {
	for name, c := range map[string]struct {
		config attrs
		at     string
		says   []string
	}{
		"bad cluster":             {attrs{"cluster_id": "a b"}, "cluster_id", []string{"dockerparallel_cluster.<name>.id"}},
		"cluster as a pool's id":  {attrs{"cluster_id": "sim/default"}, "cluster_id", []string{"the id or the name of a cluster"}},
		"bad name":                {attrs{"name": "a.b"}, "name", []string{"letters, digits"}},
		"negative count":          {attrs{"worker_count": -1}, "worker_count", []string{"between 0 and 100000"}},
		"absurd count":            {attrs{"worker_count": 1_000_000}, "worker_count", []string{"between 0 and 100000"}},
		"negative minimum":        {attrs{"min_worker_count": -1}, "min_worker_count", []string{"between 0 and"}},
		"minimum above the count": {attrs{"min_worker_count": 3}, "min_worker_count", []string{"more than worker_count"}},
		"no workers in container": {attrs{"container": attrs{"command": []any{"w"}, "max_workers": 0}}, "container.max_workers", []string{"between 1 and"}},
		"no cpu":                  {attrs{"hardware": attrs{"cpu": 0}}, "hardware.cpu", []string{"between 1 and"}},
		"empty hardware id":       {attrs{"hardware": attrs{"id": ""}}, "hardware.id", []string{"between 1 and 128"}},
		"bad gang style":          {attrs{"gang_style": "firm"}, "gang_style", []string{"soft", "hard"}},
		"bad wait_for":            {attrs{"wait_for": "ready"}, "wait_for", []string{"registered"}},
		"bad scale_in":            {attrs{"scale_in": "random"}, "scale_in", []string{"newest", "oldest"}},
		"bad on_exit":             {attrs{"on_exit": "ignore"}, "on_exit", []string{"replace", "accept"}},
		"bad strategy":            {attrs{"update": attrs{"strategy": "big bang"}}, "update.strategy", []string{"rolling", "recreate", "on_replacement"}},
		"bad percentage":          {attrs{"update": attrs{"max_unavailable": "25 %"}}, "update.max_unavailable", []string{"neither a number of workers"}},
		"more than all":           {attrs{"update": attrs{"max_surge": "101%"}}, "update.max_surge", []string{"more than 100%"}},
		"negative share":          {attrs{"update": attrs{"max_surge": "-1"}}, "update.max_surge", []string{"neither a number of workers"}},
		"no room to update":       {attrs{"update": attrs{"max_unavailable": "0"}}, "update.max_unavailable", []string{"no worker could ever be replaced"}},
		"bad grace":               {attrs{"stop_grace_period": "soon"}, "stop_grace_period", []string{"is not a time span"}},
		"negative grace":          {attrs{"stop_grace_period": "-1s"}, "stop_grace_period", []string{"at least 0s"}},
		"server alone":            {attrs{"server": attrs{"public_ip": "h", "public_port": 1}}, "server", []string{"framework"}},
		"framework alone":         {attrs{"framework": "redis"}, "framework", []string{"server"}},
		"unknown framework":       {attrs{"framework": "condor", "server": attrs{"public_ip": "h", "public_port": 1}}, "framework", []string{"custom", "redis"}},
		"half a server":           {attrs{"framework": "redis", "server": attrs{"public_ip": "h"}}, "server.public_ip", []string{"public_port"}},
		"no address":              {attrs{"framework": "redis", "server": attrs{"same_lan": true}}, "server", []string{"Missing Server Address"}},
		"reserved variable":       {attrs{"container": attrs{"environment": attrs{"DOCKERPARALLEL_WORKERS": "9"}}}, "container.environment", []string{"DOCKERPARALLEL_WORKERS", "remove it here"}},
		"password in the command": {attrs{"container": attrs{"command": []any{"$(DOCKERPARALLEL_SERVER_PASSWORD)"}}}, "container.command", []string{"process list"}},
		"empty label name":        {attrs{"labels": attrs{"": "x"}}, `labels.[""]`, []string{"cannot be the name of a label"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := attrs{"cluster_id": "sim", "worker_count": 2, "container": attrs{"command": []any{"work"}}}
			maps.Copy(config, c.config)
			wantError(t, memoryHost(t, newMemory()).resource("worker_pool").validate(config), c.at, c.says...)
		})
	}
}

// What the backend's tables say is known in the plan.
func TestWrongInputForTheBackend(t *testing.T) {
	h := newHost(t, New("test")())
	h.configure(attrs{"process": attrs{"root": t.TempDir()}})
	for name, c := range map[string]struct {
		resource string
		config   attrs
		at       string
		says     []string
	}{
		"server without command": {"cluster", attrs{"name": "sim", "server": attrs{"port": 6000}}, "server.container.command", []string{"needs a command"}},
		"gpus on a process":      {"cluster", clusterConfig(attrs{"server": attrs{"container": attrs{"command": []any{"s"}}, "port": 1, "hardware": attrs{"gpus": 1}}}), "server.hardware.gpus", []string{"cannot assign GPUs"}},
		"variable with a dot":    {"cluster", clusterConfig(attrs{"server": attrs{"container": attrs{"command": []any{"s"}, "environment": attrs{"a.b": "c"}}, "port": 1}}), "server.container.environment", []string{"a.b"}},
		"worker without command": {"worker_pool", attrs{
			"cluster_id": "sim", "worker_count": 1, "framework": "custom", "server": attrs{"private_ip": "10.0.0.1", "private_port": 1},
		}, "container.command", []string{"needs a command"}},
		"worker with gpus": {"worker_pool", attrs{"cluster_id": "sim", "worker_count": 1, "container": attrs{"command": []any{"w"}}, "hardware": attrs{"gpus": 2}}, "hardware.gpus", []string{"cannot assign GPUs"}},
		"registered, uncounted": {"worker_pool", attrs{
			"cluster_id": "sim", "worker_count": 1, "container": attrs{"command": []any{"w"}}, "wait_for": "registered",
			"framework": "custom", "server": attrs{"private_ip": "10.0.0.1", "private_port": 1},
		}, "wait_for", []string{"cannot count"}},
		"idle, untold": {"worker_pool", attrs{
			"cluster_id": "sim", "worker_count": 1, "container": attrs{"command": []any{"w"}}, "scale_in": "idle",
			"framework": "custom", "server": attrs{"private_ip": "10.0.0.1", "private_port": 1},
		}, "scale_in", []string{"cannot tell which workers are idle"}},
		"options of another framework, of a pool": {"worker_pool", attrs{
			"cluster_id": "sim", "worker_count": 1, "rq": attrs{"burst": true}, "framework": "redis",
			"server": attrs{"private_ip": "10.0.0.1", "private_port": 1},
		}, "rq", []string{"framework is \"redis\"", "remove them"}},
		"options of another framework, of a cluster": {"cluster", attrs{
			"name": "sim", "framework": "redis", "dask": attrs{"idle_timeout": "5m"},
		}, "dask", []string{"framework is \"redis\"", "remove them"}},
		"options of another framework, beside a server from elsewhere": {"cluster", attrs{
			"name": "sim", "framework": "redis", "dask": attrs{"idle_timeout": "5m"}, "external_server": attrs{"private_ip": "10.0.0.1", "private_port": 1},
		}, "dask", []string{"framework is \"redis\"", "remove them"}},
		"missing option": {"worker_pool", attrs{
			"cluster_id": "sim", "worker_count": 1, "framework": "celery", "server": attrs{"private_ip": "10.0.0.1", "private_port": 1},
		}, "celery", []string{"needs celery.app"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.resource(c.resource)
			noErrors(t, r.validate(c.config))
			wantError(t, r.plan(c.config).diags, c.at, c.says...)
		})
	}
	t.Run("publish has no effect", func(t *testing.T) {
		config := clusterConfig(attrs{"server": attrs{"container": attrs{"command": []any{"s"}}, "port": 1, "publish": attrs{}}})
		wantWarning(t, h.resource("cluster").plan(config).diags, "server.publish", "no effect")
	})
}

// What the engine would refuse is known in the plan, without asking it.
func TestWrongInputForDocker(t *testing.T) {
	h := newHost(t, New("test")())
	h.configure(attrs{"docker": attrs{"host": "unix:///no/such/engine.sock"}})
	server := func(more attrs) attrs {
		s := attrs{"container": attrs{"image": "a", "command": []any{"s"}}, "port": 1}
		maps.Copy(s, more)
		return clusterConfig(attrs{"server": s})
	}
	options := func(o attrs) attrs { return server(attrs{"docker": o}) }
	mount := func(m attrs) attrs { return options(attrs{"mounts": []any{m}}) }
	for name, c := range map[string]struct {
		config attrs
		at     string
		says   []string
	}{
		"no image":               {clusterConfig(attrs{"server": attrs{"container": attrs{"command": []any{"s"}}, "port": 1}}), "server.container.image", []string{"needs an image"}},
		"no such form of image":  {server(attrs{"container": attrs{"image": "some/Image"}}), "server.container.image", []string{"lowercase"}},
		"no port":                {server(attrs{"port": 0}), "server.port", []string{"cannot pick a free port"}},
		"too little memory":      {server(attrs{"hardware": attrs{"memory": 5}}), "server.hardware.memory", []string{"at least 6 MB"}},
		"too little cpu":         {server(attrs{"hardware": attrs{"cpu": 10}}), "server.hardware.cpu", []string{"at least 11"}},
		"a type of machine":      {server(attrs{"hardware": attrs{"id": "m5.large"}}), "server.hardware.id", []string{"leave hardware.id out"}},
		"server without network": {options(attrs{"network": "none"}), "server.docker.network", []string{"without a network"}},
		"host and another":       {options(attrs{"network": "host", "extra_networks": []any{"a"}}), "server.docker.extra_networks", []string{"no other one"}},
		"publish on host":        {server(attrs{"publish": attrs{}, "docker": attrs{"network": "host"}}), "server.publish", []string{"remove publish"}},
		"publish a wrong port":   {attrs{"name": "sim", "framework": "dask", "server": attrs{"container": attrs{"image": "a"}, "publish": attrs{"ports": attrs{"ui": 1}}}}, "server.publish.ports", []string{`no port "ui"`, "dashboard"}},
		"publish one number":     {attrs{"name": "sim", "framework": "dask", "server": attrs{"container": attrs{"image": "a"}, "publish": attrs{"port": 80, "ports": attrs{"dashboard": 80}}}}, "server.publish.ports", []string{"taken by server.publish.port"}},
		"publish what is not":    {server(attrs{"publish": attrs{"ports": attrs{"ui": 1}}}), "server.publish.ports", []string{"one port only"}},
		"publish at a name":      {server(attrs{"publish": attrs{"address": "db.example.com"}}), "server.publish.address", []string{"no IP address"}},
		"relative bind":          {mount(attrs{"type": "bind", "source": "data", "target": "/d"}), "server.docker.mounts", []string{"absolute path"}},
		"path as volume":         {mount(attrs{"type": "volume", "source": "/data", "target": "/d"}), "server.docker.mounts", []string{`"bind"`}},
		"tmpfs with source":      {mount(attrs{"type": "tmpfs", "source": "x", "target": "/d"}), "server.docker.mounts", []string{"no source"}},
		"mount over the root":    {mount(attrs{"type": "tmpfs", "target": "/"}), "server.docker.mounts", []string{"not its root"}},
		"unknown limit":          {options(attrs{"ulimits": attrs{"files": attrs{"soft": 1}}}), "server.docker.ulimits", []string{"nofile"}},
		"soft above hard":        {options(attrs{"ulimits": attrs{"nofile": attrs{"soft": 2, "hard": 1}}}), "server.docker.ulimits", []string{"above the hard"}},
		"restart sometimes":      {options(attrs{"restart_policy": "sometimes"}), "server.docker.restart_policy", []string{"on-failure"}},
		"platform":               {options(attrs{"platform": "arm64"}), "server.docker.platform", []string{"linux/amd64"}},
		"signal":                 {options(attrs{"stop_signal": "please"}), "server.docker.stop_signal", []string{"SIGTERM"}},
		"capability":             {options(attrs{"cap_add": []any{"ROOT"}}), "server.docker.cap_add", []string{"capabilities(7)"}},
		"privileged without":     {options(attrs{"privileged": true, "cap_drop": []any{"ALL"}}), "server.docker.cap_drop", []string{"all capabilities"}},
		"name server by name":    {options(attrs{"dns": []any{"ns1"}}), "server.docker.dns", []string{"no IP address"}},
		"host without address":   {options(attrs{"extra_hosts": attrs{"db": "other"}}), "server.docker.extra_hosts", []string{"host-gateway"}},
		"options for no driver":  {options(attrs{"log_options": attrs{"max-size": "1m"}}), "server.docker.log_options", []string{"log_driver"}},
		"interval":               {options(attrs{"health_check": attrs{"command": []any{"c"}, "interval": "10"}}), "server.docker.health_check", []string{"duration"}},
		"device":                 {options(attrs{"devices": []any{"fuse"}}), "server.docker.devices", []string{"/dev/fuse"}},
		"relative directory":     {options(attrs{"working_dir": "work"}), "server.docker.working_dir", []string{"absolute"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.resource("cluster")
			noErrors(t, r.validate(c.config))
			wantError(t, r.plan(c.config).diags, c.at, c.says...)
		})
	}
	pool := func(more attrs) attrs {
		p := attrs{"cluster_id": "sim", "worker_count": 1, "container": attrs{"image": "a", "command": []any{"w"}}}
		maps.Copy(p, more)
		return p
	}
	t.Run("ending and restarted", func(t *testing.T) {
		wantError(t, h.resource("worker_pool").plan(pool(attrs{"on_exit": "accept", "docker": attrs{"restart_policy": "always"}})).diags, "docker.restart_policy", "on_exit")
		noErrors(t, h.resource("worker_pool").plan(pool(attrs{"on_exit": "accept", "docker": attrs{"restart_policy": "no"}})).diags)
	})
	t.Run("options of two backends", func(t *testing.T) {
		diags := h.resource("worker_pool").validate(pool(attrs{"docker": attrs{"init": true}, "process": attrs{}}))
		if len(diags) == 0 {
			t.Error("no error")
		}
	})
	t.Run("options of another backend", func(t *testing.T) {
		wantWarning(t, h.resource("worker_pool").plan(pool(attrs{"process": attrs{"working_directory": "/"}})).diags, "process", "not used")
	})
}

// What only the apply can find out changes nothing, and says where it is.
func TestWrongInputFoundByTheApply(t *testing.T) {
	t.Run("command that does not exist", func(t *testing.T) {
		h := newHost(t, New("test")())
		h.configure(attrs{"process": attrs{"root": t.TempDir()}})
		c := h.resource("cluster")
		diags := c.try(clusterConfig(attrs{"server": attrs{"container": attrs{"command": []any{"/no/such/program"}}, "port": 0}}))
		wantError(t, diags, "server.container.command", "Unable to Create Cluster", "/no/such/program")
	})
	t.Run("root that is a file", func(t *testing.T) {
		h := newHost(t, New("test")())
		h.configure(attrs{"process": attrs{"root": "/dev/null"}})
		diags := h.resource("cluster").try(clusterConfig(attrs{"server": attrs{"container": attrs{"command": []any{"sleep", "1"}}, "port": 0}}))
		wantError(t, diags, "", "Unable to Create Cluster", "/dev/null")
	})
	t.Run("registered, uncounted", func(t *testing.T) {
		b := newMemory()
		c, p := twoResources(t, b, 1, nil)
		runs := started(b)
		wantError(t, p.h.resource("worker_pool").try(poolConfig(c, 1, attrs{"name": "other", "wait_for": "registered"})), "wait_for", "cannot count")
		if started(b) != runs {
			t.Error("workers were started all the same")
		}
	})
	t.Run("another framework than planned", func(t *testing.T) {
		b := newMemory()
		c, p := twoResources(t, b, 1, nil)
		config := poolConfig(c, 2, nil)
		s := p.mustPlan(config)
		for i := range b.Snapshot().Containers {
			b.Vanish(b.Snapshot().Containers[0].Handle)
			_ = i
		}
		external := c.h.resource("cluster")
		external.to(attrs{"name": "sim", "framework": "redis", "external_server": attrs{"private_ip": "10.0.0.1", "private_port": 1}})
		config["cluster_id"] = "sim"
		diags := p.apply(config, s)
		wantError(t, diags, "cluster_id", "apply again")
	})
}

func TestPasswordWithoutVersionIsWarnedOf(t *testing.T) {
	h := memoryHost(t, newMemory())
	wantWarning(t, h.resource("cluster").validate(clusterConfig(attrs{"password_wo": "x"})), "password_wo", "password_wo_version")
	wantWarning(t, h.resource("worker_pool").validate(attrs{
		"cluster_id": "sim", "worker_count": 1, "framework": "redis", "server": attrs{"public_ip": "h", "public_port": 1, "password_wo": "x"},
	}), "server.password_wo", "password_wo_version")
	noErrors(t, h.resource("cluster").validate(clusterConfig(attrs{"password_wo": unknown{}})))
}

func TestDefaultInheritEnvironmentHoldsNoSecrets(t *testing.T) {
	for _, name := range process.DefaultInheritEnvironment() {
		if strings.Contains(name, "TOKEN") || strings.Contains(name, "SECRET") || strings.HasPrefix(name, "AWS_") {
			t.Errorf("%s is inherited", name)
		}
	}
}
