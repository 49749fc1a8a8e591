package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
)

func TestIntake_IsUnavailableWhileNotReady(t *testing.T) {
	r, why := &reader{}, "remediator is stopping"
	require.NoError(t, r.Ready(t.Context()))
	r.ready.Store(&why)
	require.EqualError(t, r.Ready(t.Context()), why)
	err := intake{reader: r}.Accept(t.Context(), &alert.Notification{}, nil, "")
	require.ErrorIs(t, err, audit.ErrUnavailable)
	require.ErrorContains(t, err, why)
}
