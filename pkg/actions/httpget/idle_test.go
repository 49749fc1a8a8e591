package httpget

import (
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSilent_AConnectionClosedBeforeTheRequest(t *testing.T) {
	closed := errors.New("http: server closed idle connection")
	require.True(t, silent(&url.Error{Op: "Get", URL: "http://a", Err: closed}))
	require.True(t, silent(fmt.Errorf("get: %w", closed)))
	require.False(t, silent(errors.New("no such host")))
}
