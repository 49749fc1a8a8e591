package statuspage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// keysOnce refuses JSON with an object that has one key twice. encoding/json takes
// keys whatever their case, and the last one wins: a second `INCIDENTS` would hide
// what the first one lists. body is valid JSON.
func keysOnce(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var open []*object // nil: an array
	for {
		tok, err := d.Token()
		if err != nil {
			return fmt.Errorf("its answer cannot be read: %w", err)
		}
		var in *object
		if len(open) > 0 {
			in = open[len(open)-1]
		}
		switch delim, isDelim := tok.(json.Delim); {
		case isDelim && (delim == '}' || delim == ']'):
			open = open[:len(open)-1]
		case in != nil && !in.value:
			key, _ := tok.(string)
			if in.keys[fold(key)] {
				return fmt.Errorf("its answer has %q twice in one object", clipped(key))
			}
			in.keys[fold(key)], in.value = true, true
			continue
		case isDelim && delim == '{':
			in.valued()
			open = append(open, &object{keys: map[string]bool{}})
		case isDelim:
			in.valued()
			open = append(open, nil)
		default:
			in.valued()
		}
		if len(open) == 0 {
			return nil
		}
	}
}

// object that is being read.
type object struct {
	keys  map[string]bool
	value bool // comes next, not a key
}

// valued: a value has begun; after it comes a key.
func (o *object) valued() {
	if o != nil {
		o.value = false
	}
}

// fold maps keys that encoding/json takes for the same to one.
func fold(key string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next // the smallest of those that differ in case alone
			}
			r = next
		}
	}, key)
}

func clipped(s string) string {
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText]) + "…"
	}
	return s
}
