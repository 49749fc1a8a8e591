package handlers

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

func document(t *testing.T) map[string]any {
	t.Helper()
	var doc map[string]any
	require.NoError(t, yaml.Unmarshal(openAPIDocument, &doc))
	return doc
}

func TestOpenAPI_ListsExactlyTheRoutes(t *testing.T) {
	router, ok := (&api{Deps: Deps{Metrics: http.NotFoundHandler()}}).routes(peerGate{}).(chi.Routes)
	require.True(t, ok)
	var routes, listed []string
	require.NoError(t, chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routes = append(routes, method+" "+route)
		return nil
	}))
	for path, item := range document(t)["paths"].(map[string]any) {
		for key := range item.(map[string]any) {
			if key != "parameters" {
				listed = append(listed, strings.ToUpper(key)+" "+path)
			}
		}
	}
	slices.Sort(routes)
	slices.Sort(listed)
	require.Greater(t, len(routes), 20)
	require.Equal(t, routes, listed)
}

// refs visits every reference of the document.
func refs(node any, visit func(string)) {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			if ref, ok := value.(string); ok && key == "$ref" {
				visit(ref)
			}
			refs(value, visit)
		}
	case []any:
		for _, value := range node {
			refs(value, visit)
		}
	}
}

func TestOpenAPI_EveryReferenceLeadsSomewhereAndNothingIsLeftOver(t *testing.T) {
	doc := document(t)
	used := map[string]bool{}
	refs(doc, func(ref string) {
		path, ok := strings.CutPrefix(ref, "#/")
		require.True(t, ok, ref)
		var at any = doc
		for part := range strings.SplitSeq(path, "/") {
			next, ok := at.(map[string]any)[part]
			require.True(t, ok, "%s leads nowhere", ref)
			at = next
		}
		used[ref] = true
	})
	for kind, members := range doc["components"].(map[string]any) {
		for name := range members.(map[string]any) {
			if kind != "securitySchemes" {
				require.True(t, used["#/components/"+kind+"/"+name], "%s %s is used by nothing", kind, name)
			}
		}
	}
}

func TestOpenAPI_EveryAnswerHasASchema(t *testing.T) {
	doc := document(t)
	answers := doc["components"].(map[string]any)["responses"].(map[string]any)
	for path, item := range doc["paths"].(map[string]any) {
		for method, operation := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			responses := operation.(map[string]any)["responses"].(map[string]any)
			require.Contains(t, responses, "default", "%s %s", method, path)
			for status, one := range responses {
				response := one.(map[string]any)
				if ref, ok := response["$ref"].(string); ok {
					response = answers[ref[strings.LastIndex(ref, "/")+1:]].(map[string]any)
				}
				for kind, media := range response["content"].(map[string]any) {
					require.NotEmpty(t, media.(map[string]any)["schema"], "%s %s %s %s", method, path, status, kind)
				}
				require.NotEmpty(t, response["content"])
			}
		}
	}
}

// members are the names that a type is written with as JSON.
func members(of reflect.Type) []string {
	var out []string
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && name == "":
			out = append(out, members(field.Type)...)
		case name != "-" && field.IsExported():
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func TestOpenAPI_SchemasHaveTheMembersOfTheirTypes(t *testing.T) {
	schemas := document(t)["components"].(map[string]any)["schemas"].(map[string]any)
	for name, value := range map[string]any{
		"Status": Status{}, "Firing": Firing{}, "DockerLine": DockerLine{}, "ConfigStatus": ConfigStatus{}, "Head": audit.Head{}, "Pause": Pause{}, "PauseRequest": PauseRequest{},
		"ResumeRequest": ResumeRequest{}, "Active": Active{}, "Approval": Approval{}, "Awaiting": Awaiting{}, "Quarantine": Quarantine{},
		"Upstream": Upstream{}, "UpstreamLine": UpstreamLine{}, "Event": upstream.Event{}, "UpstreamPage": Page[Upstream]{},
		"Alert": Alert{}, "Decided": Decided{}, "Waiting": Waiting{}, "AlertPage": Page[Alert]{},
		"Policy": Policy{}, "Breaker": Breaker{}, "PolicyPage": Page[Policy]{},
		"Remediation": Remediation{}, "RemediationDetail": RemediationDetail{}, "RemediationPage": Page[Remediation]{},
		"RunRequest": RunRequest{}, "RunAnswer": RunAnswer{}, "Reason": audit.Reason{}, "Guard": audit.Guard{}, "Problem": problem.Problem{},
	} {
		require.Contains(t, schemas, name)
		require.Equal(t, members(reflect.TypeOf(value)), properties(schemas, name), name)
	}
}

func properties(schemas map[string]any, name string) []string {
	schema := schemas[name].(map[string]any)
	var out []string
	for property := range schema["properties"].(map[string]any) {
		out = append(out, property)
	}
	parts, _ := schema["allOf"].([]any)
	for _, part := range parts {
		ref := part.(map[string]any)["$ref"].(string)
		out = append(out, properties(schemas, ref[strings.LastIndex(ref, "/")+1:])...)
	}
	slices.Sort(out)
	return out
}
