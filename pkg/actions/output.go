package actions

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxOutput bounds one piece of output in a result, in bytes.
const MaxOutput = 64 << 10

// Cap shortens output to n bytes, keeping its end, where the news is, and says how
// much was cut. It cuts between words, so that no part of a secret is left that a
// Redactor, which looks for whole ones, would not find.
func Cap(s string, n int) string {
	if len(s) <= n {
		return s
	}
	tail := s[len(s)-n:]
	if !breaks(rune(s[len(s)-n-1])) {
		tail = tail[wordEnd(tail):]
	}
	return fmt.Sprintf("[%d bytes cut]…%s", len(s)-len(tail), tail)
}

// CapHead is Cap, keeping the beginning.
func CapHead(s string, n int) string {
	if len(s) <= n {
		return s
	}
	head := s[:n]
	if !breaks(rune(s[n])) {
		head = head[:wordStart(head)]
	}
	return fmt.Sprintf("%s…[%d bytes cut]", head, len(s)-len(head))
}

// breaks says whether a character ends a word: none of these is part of a token, a
// password as people make them, or a key.
func breaks(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsSpace(r) || strings.ContainsRune(`"',;(){}[]<>`, r))
}

// wordEnd is where the word that s begins in the middle of ends. A word without an
// end is given up whole: it is no text for people anyway.
func wordEnd(s string) int {
	if i := strings.IndexFunc(s, breaks); i >= 0 {
		return i
	}
	return len(s)
}

// wordStart is where the word that s ends in the middle of starts.
func wordStart(s string) int { return strings.LastIndexFunc(s, breaks) + 1 }

// Plan without secrets, for records and people. What is applied and hashed is the
// plan itself.
func (r *Redactor) Plan(p Plan) Plan {
	p.Text = r.Text(p.Text)
	if p.Args != nil {
		p.Args, _ = r.value(p.Args).(map[string]any)
	}
	objects := make([]Object, len(p.Objects))
	for i, o := range p.Objects {
		o.ID, o.Name = r.Text(o.ID), r.Text(o.Name)
		if o.Detail != nil {
			o.Detail, _ = r.value(o.Detail).(map[string]any)
		}
		objects[i] = o
	}
	if p.Objects != nil {
		p.Objects = objects
	}
	return p
}
