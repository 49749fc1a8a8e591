package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/config/configtest"
)

func TestLoad_RefusesEveryMistakeWithItsPlaceAndFix(t *testing.T) {
	n := configtest.Mistakes(t, "testdata/mistakes", func(path string, env func(string) (string, bool)) error {
		_, err := config.Load(path, config.Options{Env: env})
		return err
	})
	require.GreaterOrEqual(t, n, 230)
}
