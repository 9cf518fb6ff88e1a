// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func FuzzRedisURL(f *testing.F) {
	for _, s := range []string{"", "a", nastyPassword, "+", "%41", "a b", "\x00\xff", "x@y:1/2?3#4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, password string) {
		facts := managed.Facts{Host: "host", Port: 6379, Password: managed.Secret(password)}
		for _, c := range []struct{ url, user string }{
			{redisQueue{}.URL("host", 6379, managed.Secret(password)), "default"},
			{redisQueue{}.Environment(managed.RoleWorker, facts).Secret[redisURL].Reveal(), ""},
		} {
			u, err := url.Parse(c.url)
			if err != nil {
				t.Fatal(err)
			}
			if password == "" {
				c.user = "" // nobody to log in
			}
			got, _ := u.User.Password()
			if got != password || u.User.Username() != c.user || u.Host != "host:6379" || u.Path != "/0" {
				t.Errorf("password %q comes back as %q of %q in %q", password, got, u.User.Username(), u)
			}
		}
	})
}

// FuzzRedisQuote reads the quoted form as redis does (the subset of its rules
// that redisQuote uses); TestRedisServer asks redis itself.
func FuzzRedisQuote(f *testing.F) {
	for _, s := range []string{"", "a", nastyPassword, "\x00\n\r\t\xff", `\x41`, `"`, "#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted := redisQuote(s)
		inner := strings.TrimSuffix(strings.TrimPrefix(quoted, `"`), `"`)
		if len(inner) != 4*len(s) || len(quoted) != len(inner)+2 {
			t.Fatalf("%q is quoted as %s", s, quoted)
		}
		for i := range len(s) {
			n, err := strconv.ParseUint(strings.TrimPrefix(inner[4*i:4*i+4], `\x`), 16, 8)
			if err != nil || byte(n) != s[i] {
				t.Fatalf("%q is quoted as %s", s, quoted)
			}
		}
	})
}

func FuzzShellQuote(f *testing.F) {
	for _, s := range []string{"", "a", nastyPassword, "'", "''", `\'`, "a\nb", "$(false)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "\x00") || len(s) > 10_000 {
			t.Skip("cannot be an argument")
		}
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q comes back as %q, %v", s, out, err)
		}
	})
}
