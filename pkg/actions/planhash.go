package actions

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/gowebpki/jcs"
)

// hashed is what of a plan a person consents to.
type hashed struct {
	Uses    string         `json:"uses"`
	Targets []string       `json:"targets"`
	Objects []hashedObject `json:"objects"`
	Args    map[string]any `json:"args"`
}

type hashedObject struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Hash identifies what plans would do: lower-case hex SHA-256 of the canonical
// JSON (RFC 8785) of each plan's uses, targets, object kinds, ids and names, and
// arguments, in order. Sentences, details (ages, sizes, states) and whether a plan
// is conditional are no part of it. Nil and empty are the same.
//
// Arguments that are no JSON are hashed by their Go form, so that two different
// ones never share a hash for want of an encoding.
func Hash(plans []Plan) string {
	out := make([]hashed, len(plans))
	for i, p := range plans {
		h := hashed{Uses: p.Uses, Targets: []string{}, Objects: []hashedObject{}, Args: map[string]any{}}
		h.Targets = append(h.Targets, p.Targets...)
		for _, o := range p.Objects {
			h.Objects = append(h.Objects, hashedObject{Kind: o.Kind, ID: o.ID, Name: o.Name})
		}
		maps.Copy(h.Args, p.Args)
		out[i] = h
	}
	sum := sha256.Sum256(canonical(out))
	return hex.EncodeToString(sum[:])
}

func canonical(v any) []byte {
	raw, err := json.Marshal(v)
	if err == nil {
		if c, err := jcs.Transform(raw); err == nil {
			return c
		}
	}
	return fmt.Appendf(raw, "%#v", v)
}
