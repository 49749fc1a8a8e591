package alert

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode"
)

// maxDepth of objects and arrays. Alertmanager's own payload is four deep; the
// rest is room for fields that it may add.
const maxDepth = 32

const (
	maxKeys = 1024 // fields of the document
	maxKey  = 256  // bytes of a field name that might be one of ours
)

var alertsKey = fold("alerts")

// scan walks the bytes once, without allocating per value, and refuses what
// would be expensive or ambiguous to decode: deep nesting, more alerts than
// MaxAlerts, a second document, and a top-level field given twice (of which
// encoding/json silently takes the last). It does not validate JSON: whatever
// passes is decoded, and faults of syntax are reported there.
func scan(body []byte) *Error {
	s := scanner{body: body, seen: map[string]bool{}}
	for s.pos = 0; s.pos < len(body); s.pos++ {
		if err := s.step(body[s.pos]); err != nil {
			return err
		}
	}
	return nil
}

type scanner struct {
	body     []byte
	pos      int
	depth    int
	begun    bool            // the document has started
	ended    bool            // and is complete
	object   bool            // and is an object
	wantKey  bool            // the next string at depth 1 is a field name
	key      string          // the last field name at depth 1, folded
	inAlerts bool            // inside the top-level alerts array
	alerts   int             // commas seen in it
	seen     map[string]bool // top-level field names
}

func (s *scanner) step(c byte) *Error {
	switch c {
	case ' ', '\t', '\r', '\n':
		return nil
	}
	if s.ended {
		return refuse(http.StatusBadRequest, CodeTrailing, "data after the JSON document, at byte %d: a notification is one document", s.pos)
	}
	if !s.begun {
		s.begun = true
		s.object = c == '{'
	}
	switch c {
	case '{', '[':
		return s.open(c)
	case '}', ']':
		s.depth--
		s.inAlerts = s.inAlerts && s.depth > 1
		s.ended = s.depth <= 0
	case ',':
		return s.comma()
	case '"':
		return s.text()
	}
	return nil
}

func (s *scanner) open(c byte) *Error {
	s.depth++
	if s.depth > maxDepth {
		return refuse(http.StatusBadRequest, CodeDepth, "nested deeper than %d levels, at byte %d", maxDepth, s.pos)
	}
	switch {
	case s.depth == 1:
		s.wantKey = s.object
	case s.depth == 2 && c == '[' && s.key == alertsKey:
		s.inAlerts, s.alerts = true, 0
	}
	return nil
}

func (s *scanner) comma() *Error {
	switch {
	case s.depth == 1:
		s.wantKey = s.object
	case s.inAlerts && s.depth == 2:
		s.alerts++
		if s.alerts >= MaxAlerts {
			return refuse(http.StatusBadRequest, CodeTooMany, "more than %d alerts in one notification: group by more labels, or set max_alerts in Alertmanager's webhook_config", MaxAlerts)
		}
	}
	return nil
}

// text skips one string, and notes it when it is a field name of the document.
func (s *scanner) text() *Error {
	start := s.pos + 1
	for s.pos++; s.pos < len(s.body) && s.body[s.pos] != '"'; s.pos++ {
		if s.body[s.pos] == '\\' {
			s.pos++
		}
	}
	if s.depth != 1 || !s.wantKey || s.pos >= len(s.body) {
		return nil
	}
	s.wantKey = false
	raw := s.body[start:s.pos]
	if len(raw) > maxKey {
		s.key = "" // longer than any field that is decoded
		return nil
	}
	name := string(raw)
	if strings.ContainsRune(name, '\\') && json.Unmarshal(s.body[start-1:s.pos+1], &name) != nil {
		return nil //nolint:nilerr // the decoder will say what is wrong with it
	}
	s.key = fold(name)
	if s.seen[s.key] {
		return refuse(http.StatusBadRequest, CodeDuplicateKey, "field %s is given twice, again at byte %d", brief(name), start)
	}
	if len(s.seen) >= maxKeys {
		return refuse(http.StatusBadRequest, CodeMalformed, "more than %d fields in the notification", maxKeys)
	}
	s.seen[s.key] = true
	return nil
}

// fold is how encoding/json compares field names: by the smallest rune that
// differs in case only, so that no spelling of "alerts" escapes the count.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, s)
}
