// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// table prints columns that line up. It is not text/tabwriter's, which leaves
// blanks at the end of lines whose last cell is empty.
type table struct {
	w    io.Writer
	rows [][]string
}

func newTable(w io.Writer, header ...string) *table { return &table{w: w, rows: [][]string{header}} }

func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = printable(c)
		if c == "" {
			cells[i] = "-" // so that columns can be cut at blanks
		}
	}
	t.rows = append(t.rows, cells)
}

func (t *table) flush() error {
	width := make([]int, len(t.rows[0]))
	for _, r := range t.rows {
		for i, c := range r {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for _, r := range t.rows {
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-len([]rune(c))+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(t.w, b.String())
	return err
}

// printable takes out what would upset a terminal: labels and reasons come
// from elsewhere.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// ageOf is how long ago a time is, in one unit.
func ageOf(at *time.Time) string {
	if at == nil {
		return ""
	}
	d := max(0, time.Since(*at))
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
