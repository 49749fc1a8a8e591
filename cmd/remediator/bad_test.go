package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// refused BODY STATUS: the webhook answers that status, with a problem document
// that says the same and why. BODY may be alerts:N, bytes:N, label:N, utf-8, deep:N.
func refusedCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	status, text, err := s.post(ctx, []byte(badBody(args[0])))
	if err != nil {
		return err
	}
	if err := answered(ts, status, text, args[1]); err != nil {
		return err
	}
	var problem struct {
		Status        int
		Title, Detail string
	}
	if err := json.Unmarshal([]byte(text), &problem); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	if problem.Status != status || problem.Title == "" || problem.Detail == "" || len(text) > 2000 {
		return errors.New("no good problem document: " + text)
	}
	return nil
}

func badBody(what string) string {
	kind, number, _ := strings.Cut(what, ":")
	n, err := strconv.Atoi(number)
	if err != nil {
		n = 1
	}
	one := func(labels string) string {
		return `{"status":"firing","labels":{"alertname":"X"` + labels + `},"annotations":{},"startsAt":"2026-01-02T03:04:05Z","endsAt":"0001-01-01T00:00:00Z"}`
	}
	whole := func(alerts string) string {
		return `{"version":"4","groupKey":"{}","status":"firing","receiver":"r","alerts":[` + alerts + `]}`
	}
	switch kind {
	case "alerts":
		var list []string
		for i := range n {
			list = append(list, one(fmt.Sprintf(`,"n":"%d"`, i)))
		}
		return whole(strings.Join(list, ","))
	case "bytes":
		return whole(one(`,"x":"` + strings.Repeat("x", n) + `"`))
	case "label":
		return whole(one(`,"x":"` + strings.Repeat("x", n) + `"`))
	case "utf-8":
		return whole(one(`,"x":"` + "\xff\xfe" + `"`))
	case "deep":
		return `{"version":"4","alerts":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	return what
}
