// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"net/url"
	"strconv"
	"strings"
)

// percentEncode encodes everything that is not unreserved in a URL. url.UserPassword
// leaves some marks as they are ("+", "&", "="), which decoders written for
// forms or with a regular expression then read as something else.
func percentEncode(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// shellQuote makes a word of a POSIX shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// literalQuote makes a string literal of both Python and R.
func literalQuote(s string) string { return strconv.QuoteToASCII(s) }
