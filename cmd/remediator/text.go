package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
)

// printable takes out of a text what could move the cursor or fake a line: labels
// and the words of a status page come from outside.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shell quotes words so that the line can be copied into a shell.
func shell(words ...string) string {
	out := make([]string, len(words))
	for i, w := range words {
		if out[i] = w; !plainWord.MatchString(w) {
			out[i] = "'" + strings.ReplaceAll(printable(w), "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// near is how far away a time may be to be shown with its seconds.
const near = 10 * time.Minute

// clock is a time as a person reads it: the day only where it is not today, seconds
// only where it is near, and how far away it is.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	layout := "15:04 MST"
	if t.Sub(now).Abs() < near {
		layout = "15:04:05 MST"
	}
	if t.Format(time.DateOnly) != now.Format(time.DateOnly) {
		layout = "2006-01-02 " + layout
	}
	if d := t.Sub(now); d > 0 {
		return fmt.Sprintf("%s (in %s)", t.Format(layout), span(d))
	}
	return fmt.Sprintf("%s (%s ago)", t.Format(layout), span(now.Sub(t)))
}

// span is a duration to the minute, or to the second where it is a short one.
func span(d time.Duration) string {
	unit := time.Minute
	if d < 2*time.Minute {
		unit = time.Second
	}
	if d = d.Round(unit); d < time.Second {
		return "0s"
	}
	return model.Duration(d).String()
}
