package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/gowebpki/jcs"
)

// ZeroHash is what comes before the first record of a chain.
var ZeroHash = strings.Repeat("0", 2*sha256.Size)

// Key is the HMAC key in an audit key file: its bytes less one trailing newline.
func Key(file []byte) []byte { return bytes.TrimSuffix(file, []byte("\n")) }

// fields has the members of a Record but not its methods.
type fields Record

// unsealed is a record without its hash: the outer member hides the inner one
// and is left out because it is empty.
type unsealed struct {
	*fields
	Hash string `json:"hash,omitempty"`
}

// seal sets r.Hash and gives the record's canonical JSON with it: RFC 8785, so
// that anybody can recompute the hash from an exported line. Numbers beyond the
// precision of a double are rounded by RFC 8785; ids are strings for that reason.
func seal(r *Record, key []byte) ([]byte, error) {
	raw, err := json.Marshal(unsealed{fields: (*fields)(r)})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Type, err)
	}
	plain, err := jcs.Transform(raw)
	if err != nil {
		// Raw parts may hold what JSON parsers take and RFC 8785 does not: the same
		// name twice, half a surrogate pair. What Go makes of it is recorded.
		if plain, err = normalised(raw); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Type, err)
		}
	}
	r.Hash = sum(plain, key)
	return withHash(plain, r.Hash)
}

// normalised is the canonical form of JSON that is only nearly I-JSON: the last
// of equal names counts, broken characters become U+FFFD.
func normalised(raw []byte) ([]byte, error) {
	in := json.NewDecoder(bytes.NewReader(raw))
	in.UseNumber() // an integer stays as written until RFC 8785 has a look at it
	var v any
	if err := in.Decode(&v); err != nil {
		return nil, err
	}
	again, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(again)
}

// HashOf recomputes a record's hash from its JSON.
func HashOf(line, key []byte) (string, error) {
	canonical, err := jcs.Transform(line)
	if err != nil {
		return "", err
	}
	plain, err := withoutHash(canonical)
	if err != nil {
		return "", err
	}
	return sum(plain, key), nil
}

func sum(plain, key []byte) string {
	var h hash.Hash
	if len(key) > 0 {
		h = hmac.New(sha256.New, key)
	} else {
		h = sha256.New()
	}
	h.Write(plain)
	return hex.EncodeToString(h.Sum(nil))
}

var hashName = []byte(`"hash"`)

// withoutHash is a canonical object less its member "hash".
func withoutHash(canonical []byte) ([]byte, error) {
	out := make([]byte, 0, len(canonical))
	out = append(out, '{')
	err := eachMember(canonical, func(name, member []byte) {
		if bytes.Equal(name, hashName) {
			return
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, member...)
	})
	return append(out, '}'), err
}

// withHash is a canonical object of a record with the member "hash" in its place.
func withHash(plain []byte, sum string) ([]byte, error) {
	at := len(plain) - 1
	found := false
	err := eachMember(plain, func(name, member []byte) {
		if !found && bytes.Compare(name, hashName) > 0 {
			// A member is a part of plain: its place is what is cut off before it.
			at, found = cap(plain)-cap(member), true
		}
	})
	if err != nil {
		return nil, err
	}
	member := `"hash":"` + sum + `"`
	switch {
	case found:
		member += ","
	case at > 1:
		member = "," + member
	}
	return slices.Concat(plain[:at], []byte(member), plain[at:]), nil
}

var errNoObject = errors.New("not a JSON object")

// eachMember calls fn for each member of a canonical object: its name with the
// quotes, and the whole member. Canonical JSON has no white space to think of.
func eachMember(b []byte, fn func(name, member []byte)) error {
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return errNoObject
	}
	for i := 1; i < len(b)-1; i++ { // past the comma
		end := i + stringEnd(b[i:])
		stop := end + 1 + valueEnd(b[end+1:])
		fn(b[i:end], b[i:stop])
		i = stop
	}
	return nil
}

// stringEnd is the length of the string that b begins with.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// valueEnd is the length of the value that b begins with.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}
