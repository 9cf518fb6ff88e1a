// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// maxLabelValue is the longest label value that all backends take.
const maxLabelValue = 256

var (
	namePattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
	clusterPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(@[a-z0-9]{1,32})?$`)
	ownerPattern    = regexp.MustCompile(`^[A-Za-z0-9_./@:+=-]{1,128}$`)
	labelKeyPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	hostPattern     = regexp.MustCompile(`^[A-Za-z0-9:][A-Za-z0-9.:%_-]{0,252}$`)
	imagePattern    = regexp.MustCompile(`^[^\s\x00]{1,512}$`)
	sharePattern    = regexp.MustCompile(`^([0-9]{1,6}|[0-9]{1,3}%)$`)
)

func isName() validator.String {
	return stringvalidator.RegexMatches(namePattern, "must be 1 to 63 letters, digits, \"-\" and \"_\", and begin with a letter or a digit")
}

func isClusterID() validator.String {
	return stringvalidator.RegexMatches(clusterPattern, "must be the id or the name of a cluster: write dockerparallel_cluster.<name>.id, or the name that the cluster has in another configuration")
}

func isOwner() validator.String {
	return stringvalidator.RegexMatches(ownerPattern, "must be 1 to 128 letters, digits and any of _ . / @ : + = -, without spaces")
}

func isHost() validator.String {
	return stringvalidator.RegexMatches(hostPattern, "must be an IP address or a host name, without scheme or port")
}

func isImage() validator.String {
	return stringvalidator.RegexMatches(imagePattern, "must be the name of an image, without spaces")
}

func isVariable() validator.String {
	return stringvalidator.RegexMatches(variablePattern, "must be the name of an environment variable: letters, digits and \"_\", not a digit first")
}

// stringCheck is a validator of one string that is known.
type stringCheck struct {
	what  string
	check func(s string) (problem string)
}

var _ validator.String = stringCheck{}

// Description implements validator.String.
func (v stringCheck) Description(context.Context) string { return v.what }

// MarkdownDescription implements validator.String.
func (v stringCheck) MarkdownDescription(context.Context) string { return v.what }

// ValidateString implements validator.String.
func (v stringCheck) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if problem := v.check(req.ConfigValue.ValueString()); problem != "" {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Attribute Value", problem)
	}
}

// isLabelKey refuses the labels that are reserved for the provider.
func isLabelKey() validator.String {
	return stringCheck{"a label's name, not one that begins with " + managed.LabelPrefix, func(s string) string {
		switch {
		case strings.HasPrefix(s, managed.LabelPrefix):
			return fmt.Sprintf("The label %q begins with %q: those labels are the provider's own. Choose another name.", s, managed.LabelPrefix)
		case !labelKeyPattern.MatchString(s):
			return fmt.Sprintf("%q cannot be the name of a label: it must be 1 to 128 letters, digits and any of . _ / -, with a letter or a digit at both ends.", s)
		}
		return ""
	}}
}

func isFolder() validator.String {
	return stringCheck{"a folder", func(s string) string {
		switch {
		case s == "":
			return "The folder's name is empty. Leave the attribute out for the default."
		case strings.HasPrefix(s, "~"):
			return "Terraform does not expand \"~\" by itself: write pathexpand(\"" + s + "\")."
		}
		return ""
	}}
}

// isEngineAddress accepts where a Docker Engine can be. Its form is checked
// further when it is opened.
func isEngineAddress() validator.String {
	return stringCheck{"an engine's address", func(s string) string {
		for _, scheme := range []string{"unix:///", "tcp://", "ssh://", "npipe://", "http://", "https://"} {
			if rest, ok := strings.CutPrefix(s, scheme); ok && rest != "" {
				return ""
			}
		}
		return fmt.Sprintf("%q is no address of an engine: write unix:///path/to/socket, tcp://host:2376 or ssh://user@host.", s)
	}}
}

// isRegistry accepts a registry as it is in the names of images.
func isRegistry() validator.String {
	return stringCheck{"a registry", func(s string) string {
		if s == "" || strings.Contains(s, "://") || strings.ContainsAny(s, "/ @") {
			return fmt.Sprintf("%q is no registry: write it as in the names of its images, such as registry.example.com:5000, without https:// and without a path.", s)
		}
		return ""
	}}
}

func isAbsolute() validator.String {
	return stringCheck{"an absolute path", func(s string) string {
		if !filepath.IsAbs(s) {
			return fmt.Sprintf("%q has to be an absolute path; abspath(\"%s\") makes one.", s, s)
		}
		return ""
	}}
}

// isDuration accepts time spans of at least least.
func isDuration(least time.Duration) validator.String {
	return stringCheck{"a time span such as 30s, 5m or 1h30m", func(s string) string {
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			return fmt.Sprintf("%q is not a time span: write a number with a unit (s, m, h), such as \"30s\", \"5m\" or \"1h30m\".", s)
		case d < least:
			return fmt.Sprintf("%q is too short: it must be at least %s.", s, least)
		}
		return ""
	}}
}

// isShare accepts a number of workers or a percentage.
func isShare() validator.String {
	return stringCheck{"a number of workers, or a percentage of them such as 25%", func(s string) string {
		if !sharePattern.MatchString(s) {
			return fmt.Sprintf("%q is neither a number of workers (\"2\") nor a percentage (\"25%%\").", s)
		}
		if p, percent := strings.CutSuffix(s, "%"); percent {
			if n, err := strconv.Atoi(p); err != nil || n > 100 {
				return fmt.Sprintf("%q is more than 100%%.", s)
			}
		}
		return ""
	}}
}

// isPassword accepts what can be handed over in an environment variable.
func isPassword() validator.String {
	return stringCheck{"a password", func(s string) string {
		switch {
		case s == "":
			return "The password is empty. Leave the attribute out to have one generated."
		case len(s) > 1024:
			return "The password is longer than 1024 bytes."
		case strings.ContainsAny(s, "\x00\n\r"):
			return "The password may not hold line breaks or zero bytes."
		}
		return ""
	}}
}

// needsAddress wants at least one pair of address and port.
type needsAddress struct{}

var _ validator.Object = needsAddress{}

// Description implements validator.Object.
func (needsAddress) Description(context.Context) string {
	return "an address and a port, public or private or both"
}

// MarkdownDescription implements validator.Object.
func (v needsAddress) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

// ValidateObject implements validator.Object.
func (v needsAddress) ValidateObject(ctx context.Context, req validator.ObjectRequest, resp *validator.ObjectResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	in := input{req.ConfigValue}
	if in.str("public_ip").IsNull() && in.str("private_ip").IsNull() && in.int("public_port").IsNull() && in.int("private_port").IsNull() {
		resp.Diagnostics.AddAttributeError(req.Path, "Missing Server Address", "The server has no address: it needs "+v.Description(ctx)+".")
	}
}

// sibling is another attribute of the same object.
func sibling(name string) path.Expression {
	return path.MatchRelative().AtParent().AtName(name)
}
