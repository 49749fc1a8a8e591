package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"strings"

	"github.com/gowebpki/jcs"
)

// ZeroHash is what comes before the first record of a chain.
var ZeroHash = strings.Repeat("0", 2*sha256.Size)

// Key is the HMAC key in an audit key file: its bytes less one trailing newline.
func Key(file []byte) []byte { return bytes.TrimSuffix(file, []byte("\n")) }

// seal sets r.Hash and gives the record's canonical JSON with it: RFC 8785, so
// that anybody can recompute the hash from an exported line.
func seal(r *Record, key []byte) ([]byte, error) {
	r.Hash = ""
	plain, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", r.Type, err)
	}
	// An empty hash is written as "hash":""; what is hashed has no hash at all.
	plain, err = withoutHash(plain)
	if err != nil {
		return nil, err
	}
	r.Hash = sum(plain, key)
	out, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", r.Type, err)
	}
	return jcs.Transform(out)
}

// HashOf recomputes a record's hash from its JSON.
func HashOf(line, key []byte) (string, error) {
	plain, err := withoutHash(line)
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

// withoutHash is the canonical JSON of an object without its member "hash".
func withoutHash(line []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	delete(members, "hash")
	plain, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(plain)
}
