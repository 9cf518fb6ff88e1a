// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"html"
	"strings"
)

// The plot's measures, in pixels.
const (
	panelWidth  = 440
	panelTop    = 26 // of a panel's title
	barHeight   = 15
	barGap      = 5
	panelBottom = 14
	nameWidth   = 190
	numberWidth = 60
	plotTop     = 34
	plotMargin  = 10
)

// plot draws the seconds at the largest N: a column of panels for each
// network, with a panel for each operation and a bar for each contestant.
func (f *figures) plot() string {
	field := f.shown()
	panelHeight := panelTop + len(field)*(barHeight+barGap) + panelBottom
	width := 2*plotMargin + panelWidth*len(f.set.networks)
	height := plotTop + panelHeight*len(dockerOperations()) + plotMargin
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%[1]d\" height=\"%[2]d\" viewBox=\"0 0 %[1]d %[2]d\" font-family=\"sans-serif\" font-size=\"11\">\n", width, height)
	// A ground of its own, because the page's may be dark.
	fmt.Fprintf(&b, "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width, height)
	text(&b, plotMargin, 20, "start", 14, "bold", fmt.Sprintf("Seconds with N = %d workers, medians of %d rounds; shorter is better", f.large(), f.set.reps))
	for column, network := range f.set.networks {
		for row, op := range dockerOperations() {
			f.panel(&b, plotMargin+column*panelWidth, plotTop+row*panelHeight, field, network, op)
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// shown are the contestants that have taken part.
func (f *figures) shown() []*contestant {
	var field []*contestant
	for _, c := range contestants() {
		for _, network := range f.set.networks {
			if len(f.samples(c.key, network, f.large())) > 0 {
				field = append(field, c)
				break
			}
		}
	}
	return field
}

func (f *figures) panel(b *strings.Builder, x, y int, field []*contestant, network, op string) {
	longest := 0.0
	for _, c := range field {
		seconds, _ := f.seconds(c.key, network, f.large(), op)
		longest = max(longest, seconds)
	}
	text(b, x, y+16, "start", 12, "bold", fmt.Sprintf("%s, network \"%s\"", op, network))
	for i, c := range field {
		top := y + panelTop + i*(barHeight+barGap)
		text(b, x+nameWidth-6, top+barHeight-4, "end", 11, "normal", c.name)
		seconds, ok := f.seconds(c.key, network, f.large(), op)
		switch {
		case !c.takesPart(network):
			text(b, x+nameWidth, top+barHeight-4, "start", 11, "normal", "needs a network")
			continue
		case !ok || longest == 0:
			text(b, x+nameWidth, top+barHeight-4, "start", 11, "normal", "not measured")
			continue
		}
		long := seconds / longest * (panelWidth - nameWidth - numberWidth)
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", x+nameWidth, top, max(long, 1), barHeight, c.colour())
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", float64(x+nameWidth)+long+4, top+barHeight-4, digits(seconds))
	}
}

func text(b *strings.Builder, x, y int, anchor string, size int, weight, s string) {
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\" font-size=\"%d\" font-weight=\"%s\">%s</text>\n", x, y, anchor, size, weight, html.EscapeString(s))
}

// colour tells ours, what sets the pace, and all others apart, also for those
// who do not see colours.
func (c *contestant) colour() string {
	switch c.key {
	case keyRaw:
		return "#333333"
	case keyOurs, keyPacked, keyServer:
		return "#1f6fb4"
	}
	return "#b9c4ce"
}
