// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// operation is what a method of a resource or data source is about to do, for
// its diagnostics: the one place where errors of the core become messages.
type operation struct {
	// doing is "Create Cluster"; with "Unable to " before it it is the summary.
	doing string
	// timeout is the attribute that would give it more time, "" if none.
	timeout string
	// locate finds the attribute that an error is about; may be nil.
	locate func(attribute string) (path.Path, bool)
	// secrets must not be shown, whatever a program has printed.
	secrets []string
}

// failed reports an error of the core.
func (o operation) failed(diags *diag.Diagnostics, err error) {
	if err == nil {
		return
	}
	summary, detail := o.explain(err)
	detail = o.hush(detail)
	if attribute := managed.AttributeOf(err); attribute != "" && o.locate != nil {
		if at, ok := o.locate(attribute); ok {
			diags.AddAttributeError(at, summary, detail)
			return
		}
	}
	diags.AddError(summary, detail)
}

// notices reports what an operation has to tell although it succeeded.
func (o operation) notices(diags *diag.Diagnostics, notices []managed.Notice) {
	for _, n := range notices {
		diags.AddWarning(n.Summary, o.hush(n.Detail))
	}
}

// hush takes the secrets out that the provider knows: a container's log may
// hold them.
func (o operation) hush(s string) string {
	for _, secret := range o.secrets {
		s = managed.Secret(secret).Hide(s)
	}
	return s
}

func (o operation) explain(err error) (summary, detail string) {
	var exists *managed.ExistsError
	var foreign *managed.ForeignError
	var short *managed.ShortfallError
	var update *managed.UpdateError
	var failed *managed.FailedError
	switch {
	case errors.As(err, &exists):
		return existsText(exists)
	case errors.As(err, &foreign):
		return "Containers of Another Owner in the Cluster", sentence(foreign.Error()) + "\n\n" +
			"Nothing was removed. If they may go, set force_destroy = true on the cluster, apply, and destroy again. Otherwise have " +
			"their owner remove them; \"terraform-provider-dockerparallel list\" shows who that is."
	case errors.As(err, &short):
		return "Too Few Workers", sentence(short.Error()) + "\n\n" + shortfallHelp(short)
	case errors.As(err, &update):
		return "Update Not Finished", sentence(update.Error()) + "\n\nMend the new specification and apply again: the old workers are replaced then."
	case errors.As(err, &failed):
		return "Server Ended Instead of Working", sentence(err.Error()) + "\n\n" +
			"Nothing of this attempt is left. Check image, entrypoint and command of the server: it has to stay in the foreground and listen on its port."
	case errors.Is(err, errUnknownProvider):
		return "Unable to " + o.doing, sentence(err.Error()) + "\n\nApply what the provider's configuration depends on first, for example with -target."
	}
	detail = sentence(err.Error())
	if help := o.help(managed.ClassOf(err)); help != "" {
		detail += "\n\n" + help
	}
	return "Unable to " + o.doing, detail
}

// help says what to do next about an error of a class.
func (o operation) help(class managed.Class) string {
	switch class {
	case managed.ClassUnavailable:
		return "The backend could not be reached, so nothing is known to have changed. Once it answers, do the same again."
	case managed.ClassTransient:
		return "It was tried several times. What was reached is found again by the next apply."
	case managed.ClassThrottled, managed.ClassCapacity:
		return "The backend has no room, or takes no more calls, at the moment. What was reached is kept; the next apply goes on from there."
	case managed.ClassPermission:
		return "The backend refuses this. Give the user or the credentials that Terraform runs with the rights to do it, and do the same again."
	case managed.ClassDeadline:
		if o.timeout != "" {
			return "The time is over. What was reached is found again by the next apply. If it takes longer than that, raise timeouts." + o.timeout + "."
		}
		return "The time is over. The next run goes on from there."
	case managed.ClassCanceled:
		return "The operation was interrupted. The next apply goes on from there."
	case managed.ClassInvalid, managed.ClassConflict, managed.ClassNotFound, managed.ClassUnknown:
		// These say themselves what is wrong, or nobody knows.
	}
	return ""
}

// existsText says how what is there can be taken over.
func existsText(e *managed.ExistsError) (summary, detail string) {
	summary, noun := "Cluster Exists Already", "cluster"
	if e.Role == managed.RoleWorker {
		summary, noun = "Worker Pool Exists Already", "pool"
	}
	var b strings.Builder
	b.WriteString(sentence(e.Error()))
	b.WriteString("\n\nNothing was changed. Either choose another name, or take over what is there by an import")
	b.WriteString(" (put your resource's own address in place of <name>):\n\n")
	for _, command := range importCommands(e) {
		b.WriteString("  " + command + "\n")
	}
	b.WriteString("\nor by setting on_existing = \"adopt\" on the resource. With an owner set on the provider, what an interrupted run of the ")
	b.WriteString("same owner has left of a " + noun + " is finished without asking.")
	return summary, b.String()
}

func importCommands(e *managed.ExistsError) []string {
	cluster, pools := e.Scope.Cluster, []string{}
	for _, m := range e.Members {
		if m.Role == managed.RoleWorker && m.Pool != "" && !slices.Contains(pools, m.Pool) {
			pools = append(pools, m.Pool)
		}
	}
	slices.Sort(pools)
	var commands []string
	if e.Role != managed.RoleWorker {
		commands = append(commands, "terraform import dockerparallel_cluster.<name> "+cluster)
	}
	for _, pool := range pools {
		commands = append(commands, "terraform import dockerparallel_worker_pool.<name> "+cluster+"/"+pool)
	}
	return commands
}

func shortfallHelp(e *managed.ShortfallError) string {
	if e.RolledBack {
		return "Mend what is said above and apply again."
	}
	return "The workers that run are kept. Mend what is said above and apply again: only what is missing is started. To accept fewer workers, lower min_worker_count."
}

// sentence makes an error's text one: with a capital and a full stop, unless
// it ends in a program's output.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.Contains(s, "\n") && !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

// problems reports the findings of a plan.
func (o operation) problems(diags *diag.Diagnostics, found []managed.Problem) {
	for _, p := range found {
		at, ok := path.Empty(), false
		if o.locate != nil {
			at, ok = o.locate(p.Attribute)
		}
		switch {
		case p.Warning && ok:
			diags.AddAttributeWarning(at, "Setting Without Effect", p.Detail)
		case p.Warning:
			diags.AddWarning("Setting Without Effect", p.Detail)
		case ok:
			diags.AddAttributeError(at, "Invalid Attribute Value", p.Detail)
		default:
			diags.AddError("Invalid Configuration", p.Detail)
		}
	}
}

// locator finds attributes of a schema. Names that the core and the backends
// use are relative to a role, which is an attribute (prefix) or the resource
// itself.
func locator(ctx context.Context, s schema.Schema, prefix string) func(string) (path.Path, bool) {
	return func(attribute string) (path.Path, bool) {
		var candidates []path.Path
		var steps []string
		if attribute != "" {
			steps = strings.Split(attribute, ".")
		}
		if prefix != "" {
			candidates = append(candidates, attributePath(prefix, steps...))
		}
		if len(steps) > 0 {
			candidates = append(candidates, attributePath(steps[0], steps[1:]...))
		}
		for _, p := range candidates {
			if _, diags := s.AttributeAtPath(ctx, p); !diags.HasError() {
				return p, true
			}
		}
		return path.Empty(), false
	}
}

// unexpected reports what can only be a fault of the provider.
func unexpected(diags *diag.Diagnostics, doing string, err error) {
	diags.AddError("Unexpected Error", fmt.Sprintf("%s: %v. This is a bug in the provider; please report it.", sentence(doing), err))
}
