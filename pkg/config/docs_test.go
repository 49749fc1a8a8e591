package config_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/timeinterval"
	promconfig "github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

const reference = "../../docs/configuration.md"

// sections of the reference by the struct whose keys they explain.
var sections = map[string]reflect.Type{
	"## Top level":                        reflect.TypeFor[config.Config](),
	"### storage":                         reflect.TypeFor[config.Storage](),
	"### audit":                           reflect.TypeFor[config.Audit](),
	"### web":                             reflect.TypeFor[access.Config](),
	"### docker":                          reflect.TypeFor[config.Docker](),
	"### http":                            reflect.TypeFor[config.HTTP](),
	"### alertmanager":                    reflect.TypeFor[promconfig.HTTPClientConfig](),
	"### upstreams":                       reflect.TypeFor[config.Upstream](),
	"### time_intervals":                  reflect.TypeFor[timeinterval.TimeInterval](),
	"### flap":                            reflect.TypeFor[config.Flap](),
	"### storm":                           reflect.TypeFor[config.Storm](),
	"### guardrails":                      reflect.TypeFor[config.Guardrail](),
	"### receivers":                       reflect.TypeFor[config.Receiver](),
	"### defaults, and a policy's guards": reflect.TypeFor[config.PolicyGuards](),
	"### blast_radius":                    reflect.TypeFor[config.BlastRadius](),
	"## policies":                         reflect.TypeFor[config.Policy](),
	"### Steps":                           reflect.TypeFor[config.Step](),
}

func TestReference_ExplainsEveryKeyInItsSection(t *testing.T) {
	data, err := os.ReadFile(reference)
	require.NoError(t, err)
	for heading, typ := range sections {
		_, text, found := strings.Cut(string(data), "\n"+heading+"\n")
		require.True(t, found, "no section %q", heading)
		text, _, _ = strings.Cut(text, "\n#")
		for _, key := range strictyaml.Keys(typ) {
			require.Contains(t, text, "`"+key+"`", "%s does not explain %s", heading, key)
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[config.Limit](), reflect.TypeFor[access.Token](), reflect.TypeFor[config.SuppressWhile](), reflect.TypeFor[config.TimeInterval](),
	} {
		for _, key := range strictyaml.Keys(typ) {
			require.Contains(t, string(data), "`"+key+"`", "%s is not explained", key)
		}
	}
}

func TestReference_ExamplesLoad(t *testing.T) {
	data, err := os.ReadFile(reference)
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(data), -1)
	require.Len(t, blocks, 2)
	text := strings.Replace(blocks[0][1], "policies: []\n", blocks[1][1], 1)
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.Mkdir("secrets", 0o700))
	for _, f := range []string{"config.yaml", "secrets/audit.key", "secrets/alertmanager.token"} {
		require.NoError(t, os.WriteFile(f, []byte(text), 0o600))
	}
	_, err = config.Load("config.yaml", config.Options{Env: func(string) (string, bool) { return "set-for-test", true }})
	require.NoError(t, err)
}
