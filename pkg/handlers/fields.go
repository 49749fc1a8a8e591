package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// maxReason is how many characters a person may give as a reason: each is recorded.
const maxReason = 1000

var plainField = regexp.MustCompile(`^[a-z_]+$`)

// checkFields refuses what encoding/json lets pass in the JSON object of a control
// request: null, which is the same as nothing there, and keys in another case or
// twice, of which the last one wins. Those of named must not be empty.
func checkFields(body []byte, named []string) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return invalid("the body is no JSON object: leave it out, or send {}")
	}
	seen := map[string]bool{}
	for d.More() {
		var value json.RawMessage
		key, err := d.Token()
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return malformed(err)
		}
		name, _ := key.(string)
		switch {
		case !plainField.MatchString(name):
			return invalid("unknown field %q: fields are written in lower case", clip(name))
		case seen[name]:
			return invalid("%s is given twice", name)
		}
		seen[name] = true
		if err := checkField(name, value, slices.Contains(named, name)); err != nil {
			return err
		}
	}
	return nil
}

func checkField(name string, value json.RawMessage, named bool) error {
	var text string
	isText := json.Unmarshal(value, &text) == nil
	switch null := string(value) == "null"; {
	case named && (null || isText && text == ""):
		return invalid("%s is empty: name a policy or a target, or leave both out", name)
	case null:
		return invalid("%s is null: leave it out", name)
	case name == "reason" && utf8.RuneCountInString(text) > maxReason:
		return invalid("reason has %d characters, at most %d", utf8.RuneCountInString(text), maxReason)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return problem.New(http.StatusBadRequest, "invalid_request", format, args...)
}
