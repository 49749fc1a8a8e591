package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/audit/audittest"
)

func openAt(ctx context.Context, path string) (audit.Driver, error) {
	return Open(ctx, Options{Path: path, ReserveBytes: 1 << 20})
}

func TestMain(m *testing.M) {
	audittest.Main(openAt)
	os.Exit(m.Run())
}

func TestStore_Conformance(t *testing.T) {
	audittest.Run(t, audittest.Suite{
		New:  func(t *testing.T) string { return filepath.Join(t.TempDir(), "data", "remediator.db") },
		Open: openAt,
	})
}
