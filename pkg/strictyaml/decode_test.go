package strictyaml

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type inner struct {
	Service string            `yaml:"service"`
	Timeout Duration          `yaml:"timeout"`
	Labels  map[string]string `yaml:"labels"`
}

type sample struct {
	Name     string        `yaml:"name"`
	Count    int           `yaml:"count"`
	Port     uint16        `yaml:"port"`
	Ratio    float64       `yaml:"ratio"`
	On       *bool         `yaml:"on"`
	Wait     time.Duration `yaml:"wait"`
	Items    []inner       `yaml:"items"`
	Matchers Matchers      `yaml:"matchers"`
	Free     any           `yaml:"free"`
	Kept     *yaml.Node    `yaml:"kept"`
	Link     link          `yaml:"link"`
	Common   `yaml:",inline"`
	Later    any `yaml:"later" notyet:"true"`
}

// Common is inlined into sample.
type Common struct {
	Region string `yaml:"region"`
}

// NotYet names a key that is not built.
func (sample) NotYet() map[string]string { return map[string]string{"someday": "use count"} }

type link struct{ *url.URL }

// UnmarshalYAML reads an URL, with an error that is no Mistake.
func (l *link) UnmarshalYAML(n *yaml.Node) error {
	u, err := url.Parse(n.Value)
	l.URL = u
	return err
}

func document(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var n yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &n))
	return &n
}

func TestDecode_ReadsWhatItShould(t *testing.T) {
	got := sample{Count: 7}
	err := Decode(document(t, `
name: api
port: 80
ratio: 1
on: false
wait: 1h30m
items: &items
- {service: a, timeout: 10s, labels: {x: "1"}}
matchers: ['alertname="X"', job=~"a|b"]
free: {list: [1, two, null]}
kept: {any: thing}
link: http://x/y
region: eu
`), &got)
	require.NoError(t, err)
	require.Equal(t, "api", got.Name)
	require.Equal(t, 7, got.Count, "what is absent keeps its value")
	require.Equal(t, uint16(80), got.Port)
	require.InDelta(t, 1.0, got.Ratio, 0)
	require.False(t, *got.On)
	require.Equal(t, 90*time.Minute, got.Wait)
	require.Equal(t, []inner{{Service: "a", Timeout: Duration(10 * time.Second), Labels: map[string]string{"x": "1"}}}, got.Items)
	require.Len(t, got.Matchers, 2)
	require.Equal(t, map[string]any{"list": []any{1, "two", nil}}, got.Free)
	require.Equal(t, yaml.MappingNode, got.Kept.Kind)
	require.Equal(t, "eu", got.Region)
}

func TestDecode_ResolvesAliases(t *testing.T) {
	var got struct {
		A []inner `yaml:"a"`
		B []inner `yaml:"b"`
	}
	require.NoError(t, Decode(document(t, "a: &x [{service: s}]\nb: *x"), &got))
	require.Equal(t, got.A, got.B)
}

func TestDecode_OfNothingSetsNothing(t *testing.T) {
	got := sample{Name: "kept"}
	require.NoError(t, Decode(nil, &got))
	require.Equal(t, "kept", got.Name)
	require.ErrorContains(t, Decode(document(t, "name: x"), got), "pointer")
}

func TestDecode_CollectsMistakesWithPlaces(t *testing.T) {
	for text, want := range map[string]string{
		"nmae: x":                   `1:1: unknown key "nmae": did you mean "name"?`,
		"zzzzzzz: x":                `1:1: unknown key "zzzzzzz": known here: count, free, items, kept, link, matchers, name, on, port, ratio, region, wait`,
		"name: x\nname: y":          `2:1: key "name" is given twice, first on line 1: remove one of the two`,
		"name:":                     `1:6: name has no value: write a value or remove the key`,
		"name: [a]":                 `1:7: name must be text, not a list: write one value, without brackets or braces`,
		"count: two":                `1:8: count must be a whole number, not "two": write a number such as 3`,
		"count: '2'":                `1:8: count must be a whole number, not "2": write a number such as 3, without quotes`,
		"port: 70000":               `1:7: port must be a whole number of at least 0, not "70000": write a number such as 3`,
		"on: yes":                   `1:5: on must be true or false, not "yes": write true or false`,
		"items: {}":                 `1:8: items must be a list, not a mapping: ` + listFix,
		"items: [a]":                `1:9: items[0] must be a mapping of keys to values, not "a": ` + mappingFix,
		"items: [{servce: a}]":      `1:10: unknown key "servce" in items[0]: did you mean "service"?`,
		"items: [{timeout: 1.5h}]":  `1:19: items[0].timeout: "1.5h" has a fraction, and a duration cannot have one: ` + durationFix,
		"wait: -5m":                 `1:7: wait: "-5m" is negative, and a duration cannot be: ` + durationFix,
		"wait: 10":                  `1:7: wait: "10" has no unit: ` + durationFix,
		"wait: soon":                `1:7: wait: "soon" is not a duration: ` + durationFix,
		"later: 1":                  `1:1: later is not supported yet: remove it`,
		"someday: 1":                `1:1: someday is not supported yet: use count`,
		"<<: {name: x}":             `1:1: this has a merge key, which is not supported: write the keys out; aliases of whole values are fine`,
		"? [a]\n: b":                `1:3: this has a key that is a list: write a plain word`,
		"free: &a [*a]":             `1:11: alias *a contains itself: write the value out`,
		"matchers: 'a=\"b\"'":       `1:11: matchers: must be a list of matchers, not ` + "`a=\"b\"`" + `: write a list: ['alertname="ServiceDown"']`,
		"matchers: ['job==\"x\"']":  "1:17: matcher `job==\"x\"`" + `: unexpected =: expected label value: ` + matcherFix,
		"matchers: [\"a=\\\"b\"]":   "1:15: matcher `a=\"b`" + `: "b: missing end ": expected label value: ` + matcherFix,
		"matchers: [job=~\"(\"]":    "1:12: matcher `job=~\"(\"`: bad regular expression: missing closing ): `^(?:()$`: mend the expression; its syntax is RE2, and it is anchored at both ends",
		"[]":                        `1:1: this must be a mapping of keys to values, not a list: ` + mappingFix,
		"link: 'http://x:y/'":       `1:7: link: parse "http://x:y/": invalid port ":y" after host`,
		"count: two\nport: x\nz: 1": "1:8: count must be a whole number, not \"two\": write a number such as 3\n2:7: port must be a whole number of at least 0, not \"x\": write a number such as 3\n3:1: unknown key \"z\": known here: count, free, items, kept, link, matchers, name, on, port, ratio, region, wait",
	} {
		t.Run(text, func(t *testing.T) {
			var got sample
			err := Decode(document(t, text), &got)
			require.EqualError(t, err, want)
			require.ErrorAs(t, err, new(Mistakes))
		})
	}
}

func TestDecode_NeverShowsAnExpandedValue(t *testing.T) {
	for _, key := range []string{"count", "on", "wait", "items", "link", "ratio", "free", "matchers"} {
		n := document(t, key+": x")
		val := n.Content[0].Content[1]
		val.Value, val.Style = "http://hunter2:hunter2%zz/", val.Style|Expanded
		var got struct {
			sample `yaml:",inline"`
		}
		err := Decode(n, &got.sample)
		if key == "free" {
			require.NoError(t, err)
			continue
		}
		require.Error(t, err, key)
		require.NotContains(t, err.Error(), "hunter2")
		if key != "items" && key != "matchers" {
			require.Contains(t, err.Error(), "withheld", key)
		}
	}
}

func TestDecode_TakesNumbersOutOfExpansions(t *testing.T) {
	n := document(t, "count: x\nname: y")
	m := n.Content[0]
	for i, v := range map[int]string{1: "42", 3: ""} {
		m.Content[i].Value, m.Content[i].Tag = v, ""
		m.Content[i].Style |= Expanded
	}
	got := sample{Name: "gone"}
	require.NoError(t, Decode(n, &got))
	require.Equal(t, 42, got.Count)
	require.Empty(t, got.Name, "an empty expansion is empty text, not null")
}

func TestDecode_StaysStrictInsidePrometheusTypes(t *testing.T) {
	var got promconfig.HTTPClientConfig
	err := Decode(document(t, "basic_auth: {username: u, pasword: p}\ntls_config: {ca_fle: x}"), &got)
	require.EqualError(t, err, "1:27: unknown key \"pasword\" in basic_auth: did you mean \"password\"?\n"+
		"2:14: unknown key \"ca_fle\" in tls_config: did you mean \"ca_file\"?")
	require.NoError(t, Decode(document(t, "authorization: {credentials_file: f}\nproxy_url: http://p:1"), &got))
	require.Equal(t, "Bearer", got.Authorization.Type)
	require.True(t, got.FollowRedirects)
}

func TestDecode_BoundsAliases(t *testing.T) {
	text := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'i'; c++ {
		text += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+", ", 10), ", ") + "]\n"
	}
	var got map[string]any
	require.ErrorContains(t, Decode(document(t, text), &got), "more than 200000 values")
}

func TestFrom_KeepsPlaces(t *testing.T) {
	n := &yaml.Node{Line: 3, Column: 4}
	require.Equal(t, Mistakes{{Line: 1, Message: "m"}}, From(Mistake{Line: 1, Message: "m"}, n))
	require.Equal(t, Mistakes{{Line: 3, Column: 4, Width: 1, Message: "x"}}, From(errors.New("x"), n))
	require.Equal(t, Mistakes{{Line: 3, Column: 4, Width: 1, Message: "m"}}, From(At(nil, "", "m"), n), "without a place of its own")
	require.Nil(t, From(nil, n))
}

func FuzzDecode(f *testing.F) {
	f.Add("name: x\nitems: [{service: a}]")
	f.Add("items: &a [*a]")
	f.Add("? [a]\n: b")
	f.Fuzz(func(t *testing.T, text string) {
		var n yaml.Node
		if yaml.Unmarshal([]byte(text), &n) != nil {
			return
		}
		var got sample
		_ = Decode(&n, &got)
	})
}
