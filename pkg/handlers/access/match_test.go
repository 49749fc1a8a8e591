package access

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatch_FirstOfTheEqualOnes(t *testing.T) {
	var all []secret
	for _, s := range []string{"a", "bb", "ccc", "bb"} {
		all = append(all, secret{Token: Token{Name: s + string(rune('0'+len(all)))}, sum: sha256.Sum256([]byte(s))})
	}
	for presented, name := range map[string]string{"a": "a0", "bb": "bb1", "ccc": "ccc2"} {
		found, ok := match(all, presented)
		require.True(t, ok)
		require.Equal(t, name, found.Name)
	}
	for _, presented := range []string{"", "A", "b", "bbb", "a\n"} {
		_, ok := match(all, presented)
		require.False(t, ok, presented)
	}
	_, ok := match(nil, "")
	require.False(t, ok)
}
