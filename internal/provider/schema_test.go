// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

func TestSchemasAreValid(t *testing.T) {
	ctx := context.Background()
	p := New("test")()
	var ps provider.SchemaResponse
	p.Schema(ctx, provider.SchemaRequest{}, &ps)
	if diags := ps.Schema.ValidateImplementation(ctx); diags.HasError() {
		t.Error(diags)
	}
	for _, construct := range p.Resources(ctx) {
		r := construct()
		var meta resource.MetadataResponse
		r.Metadata(ctx, resource.MetadataRequest{ProviderTypeName: "dockerparallel"}, &meta)
		var rs resource.SchemaResponse
		r.Schema(ctx, resource.SchemaRequest{}, &rs)
		if diags := rs.Schema.ValidateImplementation(ctx); diags.HasError() {
			t.Errorf("%s: %v", meta.TypeName, diags)
		}
	}
}

// Descriptions become the documentation: full sentences for every attribute.
func TestEveryAttributeIsDescribed(t *testing.T) {
	h := newHost(t, New("test")())
	schemas := map[string]*tfprotov6.Schema{"provider": h.schemas.Provider}
	for name, s := range h.schemas.ResourceSchemas {
		schemas[name] = s
	}
	for name, s := range h.schemas.DataSourceSchemas {
		schemas["data."+name] = s
	}
	for name, s := range h.schemas.EphemeralResourceSchemas {
		schemas["ephemeral."+name] = s
	}
	if len(schemas) < 3 {
		t.Fatalf("only %d schemas", len(schemas))
	}
	for name, s := range schemas {
		wantDescription(t, name, s.Block.Description, s.Block.DescriptionKind)
		wantDescriptions(t, name, s.Block.Attributes)
	}
}

func wantDescriptions(t *testing.T, in string, attributes []*tfprotov6.SchemaAttribute) {
	t.Helper()
	for _, a := range attributes {
		wantDescription(t, in+"."+a.Name, a.Description, a.DescriptionKind)
		if a.NestedType != nil {
			wantDescriptions(t, in+"."+a.Name, a.NestedType.Attributes)
		}
	}
}

func wantDescription(t *testing.T, name, text string, kind tfprotov6.StringKind) {
	t.Helper()
	if text == "" || kind != tfprotov6.StringKindMarkdown {
		t.Errorf("%s has no MarkdownDescription", name)
		return
	}
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, ".)") {
		t.Errorf("%s: the description is not a sentence: %q", name, text)
	}
}

// The provider is told apart from others by what it promises about secrets.
func TestPasswordsAreWriteOnly(t *testing.T) {
	h := newHost(t, New("test")())
	for name, s := range h.schemas.ResourceSchemas {
		checkPasswords(t, name, s.Block.Attributes)
	}
}

func checkPasswords(t *testing.T, in string, attributes []*tfprotov6.SchemaAttribute) {
	t.Helper()
	for _, a := range attributes {
		if strings.Contains(a.Name, "password") && !strings.HasSuffix(a.Name, "_version") && (!a.WriteOnly || !a.Sensitive) {
			t.Errorf("%s.%s is not write-only and sensitive", in, a.Name)
		}
		if a.NestedType != nil {
			checkPasswords(t, in+"."+a.Name, a.NestedType.Attributes)
		}
	}
}
