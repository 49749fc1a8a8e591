package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
)

const maxToken = 4096 // bytes

// readToken reads a token file, less one trailing newline. The errors never
// hold what was read.
func readToken(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken+2))
	if err != nil {
		return nil, err
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	switch {
	case len(b) == 0:
		return nil, fmt.Errorf("%s holds no token: it is empty", path)
	case len(b) > maxToken:
		return nil, fmt.Errorf("%s: the token is longer than %d bytes", path, maxToken)
	case bytes.ContainsFunc(b, func(r rune) bool { return unprintable(r) || r > 0x7e }):
		return nil, fmt.Errorf("%s: the token holds a space, a line break or a character that no header can carry: write it as one line", path)
	}
	return b, nil
}

// secret is a token as it is compared.
type secret struct {
	Token
	sum [sha256.Size]byte
}

// readTokens reads every file. Those that cannot be read are left out and
// reported in the error; the others are returned in any case.
func readTokens(tokens []Token) ([]secret, error) {
	var all []secret
	var faults []error
	for _, t := range tokens {
		b, err := readToken(t.File)
		if err != nil {
			faults = append(faults, fmt.Errorf("web.tokens %q: %w", t.Name, err))
			continue
		}
		all = append(all, secret{Token: t, sum: sha256.Sum256(b)})
	}
	return all, errors.Join(faults...)
}

// match finds the token presented among all. It compares hashes of one length,
// always all of them, so that the time tells nothing about any.
func match(all []secret, presented string) (Token, bool) {
	sum := sha256.Sum256([]byte(presented))
	found := -1
	for i := range all {
		same := subtle.ConstantTimeCompare(sum[:], all[i].sum[:])
		// The first match stays.
		found = subtle.ConstantTimeSelect(same&subtle.ConstantTimeEq(int32(found), -1), i, found)
	}
	if found < 0 {
		return Token{}, false
	}
	return all[found].Token, true
}

// distinct refuses one token under two names: the actor in the records would
// be a guess.
func distinct(all []secret) error {
	seen := map[[sha256.Size]byte]string{}
	for _, s := range all {
		if other, ok := seen[s.sum]; ok {
			return fmt.Errorf("web.tokens %q and %q are the same token: make one of them anew", other, s.Name)
		}
		seen[s.sum] = s.Name
	}
	return nil
}
