// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/docker"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
)

// maxConcurrency is far beyond what any engine is served well by.
const maxConcurrency = 256

func dockerKind() backendKind {
	return backendKind{
		name: docker.Name, configuration: dockerConfiguration, options: dockerOptions,
		configure: configureDocker, decode: decodeDockerOptions,
	}
}

func dockerConfiguration() schema.Attribute {
	text := func(markdown string, sensitive bool, more ...validator.String) schema.Attribute {
		return schema.StringAttribute{Optional: true, Sensitive: sensitive, MarkdownDescription: markdown, Validators: append(more, stringvalidator.LengthAtLeast(1))}
	}
	notWith := func(name string) validator.String { return stringvalidator.ConflictsWith(sibling(name)) }
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Runs server and workers as containers of a Docker Engine or a Podman service, on this machine or far away. " +
			"This is the default: without any backend attribute, or with `docker = {}`, the engine is the one that the `docker` program " +
			"would use: `DOCKER_HOST` (with `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`), `DOCKER_CONTEXT`, the current Docker context, or " +
			"the first usual socket that exists (Docker, rootless Docker, Docker Desktop, Podman). Whoever may use an engine is root on its machine.",
		Attributes: map[string]schema.Attribute{
			"host": text("Where the engine is: `unix:///path/to/socket`, `tcp://host:2376` or `ssh://user@host` (with a path, if its socket "+
				"is not `/var/run/docker.sock`).", false, isEngineAddress(), notWith("context")),
			"context": text("The name of a Docker context of the user who runs Terraform.", false),
			"tls": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "TLS for `tcp://` addresses. Each part is given as PEM text or as the path of a PEM file. The engine's " +
					"certificate is always verified.",
				Attributes: map[string]schema.Attribute{
					"ca":          text("The certificate of the authority that signed the engine's certificate. Defaults to the system's authorities.", false, notWith("ca_file")),
					"ca_file":     text("The same as a file.", false),
					"cert":        text("The client's certificate, if the engine wants one (`--tlsverify`). Needs a key.", false, notWith("cert_file")),
					"cert_file":   text("The same as a file.", false),
					"key":         text("The client's private key.", true, notWith("key_file")),
					"key_file":    text("The same as a file.", false),
					"server_name": text("The name that the engine's certificate has to be for. Defaults to the host of the address.", false),
				},
			},
			"ssh": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "The login for `ssh://` addresses. All calls go through one SSH connection; no `ssh` program is needed. What is " +
					"left out comes from the user's SSH configuration (`HostName`, `User`, `Port`, `IdentityFile`, `ProxyJump`, ...), agent, keys and " +
					"known hosts. A host whose key is not known is refused.",
				Attributes: map[string]schema.Attribute{
					"private_key":      text("A private key in PEM or OpenSSH form; then no other key is tried.", true, notWith("private_key_file")),
					"private_key_file": text("The same as a file.", false),
					"passphrase":       text("Decrypts the private key.", true),
					"known_hosts":      text("Lines of a `known_hosts` file, such as `ssh-keyscan` prints; then no other known hosts are looked at.", false, notWith("known_hosts_file")),
					"known_hosts_file": text("The same as a file.", false),
				},
			},
			"registries": schema.ListNestedAttribute{
				Optional: true,
				MarkdownDescription: "Logins to registries that images are pulled from. For all others, those of the user's Docker configuration with " +
					"its credential helpers (`docker login`) are used, if there are any.",
				Validators: []validator.List{listvalidator.NoNullValues()},
				NestedObject: schema.NestedAttributeObject{
					Attributes: map[string]schema.Attribute{
						"address": schema.StringAttribute{
							Required:            true,
							MarkdownDescription: "The registry as in the names of its images: `registry.example.com:5000`; `docker.io` for Docker Hub.",
							Validators:          []validator.String{isRegistry()},
						},
						"username": schema.StringAttribute{Required: true, MarkdownDescription: "The user's name.", Validators: []validator.String{stringvalidator.LengthAtLeast(1)}},
						"password": schema.StringAttribute{Required: true, Sensitive: true, MarkdownDescription: "The password or token.", Validators: []validator.String{stringvalidator.LengthAtLeast(1)}},
					},
				},
			},
			"gpus": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "The ids of the engine's GPUs, as `nvidia-smi -L` shows them: numbers or UUIDs. A worker with `hardware.gpus` gets some " +
					"that no other container of this provider has. Defaults to those that the engine itself names (Docker 28.2 and later, by CDI).",
				Validators: []validator.List{listvalidator.NoNullValues(), listvalidator.UniqueValues(), listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
			},
			"concurrency": schema.Int64Attribute{
				Optional: true,
				MarkdownDescription: "How many containers are started or removed at once. Defaults to twice the engine's CPUs, which is the most that an " +
					"engine gains from; less spares it.",
				Validators: []validator.Int64{int64validator.Between(1, maxConcurrency)},
			},
		},
	}
}

func configureDocker(in input, into *backends.Config) {
	c := &docker.Config{GPUs: in.strings("gpus")}
	c.Host, c.Context = in.str("host").ValueString(), in.str("context").ValueString()
	c.Concurrency = int(in.int("concurrency").ValueInt64())
	if t := in.object("tls"); !t.IsNull() {
		c.TLS = &engine.TLS{
			CA: t.str("ca").ValueString(), CAFile: t.str("ca_file").ValueString(),
			Cert: t.str("cert").ValueString(), CertFile: t.str("cert_file").ValueString(),
			Key: t.str("key").ValueString(), KeyFile: t.str("key_file").ValueString(),
			ServerName: t.str("server_name").ValueString(),
		}
	}
	if s := in.object("ssh"); !s.IsNull() {
		c.SSH = &engine.SSH{
			PrivateKey: s.str("private_key").ValueString(), PrivateKeyFile: s.str("private_key_file").ValueString(),
			Passphrase: s.str("passphrase").ValueString(),
			KnownHosts: s.str("known_hosts").ValueString(), KnownHostsFile: s.str("known_hosts_file").ValueString(),
		}
	}
	for _, r := range in.objects("registries") {
		c.Registries = append(c.Registries, engine.Registry{
			Address: r.str("address").ValueString(), Username: r.str("username").ValueString(), Password: r.str("password").ValueString(),
		})
	}
	into.Docker = c
}
