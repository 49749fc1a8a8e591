package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // tamper opens the store past the program

	"github.com/stellarescrow/remediator/test/lab/dockerproxy"
	"github.com/stellarescrow/remediator/test/lab/payloads"
)

func recordedPayload(name string) []byte { return payloads.Get(name) }

// proxy read-only | refuse | allow | clear | violations N |
// stall METHOD PATH DURATION | fail METHOD PATH MESSAGE |
// cut METHOD PATH: the engine does it, the connection ends without an answer |
// remove METHOD PATH SERVICE: removes the service before the first such request.
func proxyCommand(ctx context.Context, s *scene, _ *testscript.TestScript, args []string) error {
	switch args[0] {
	case "read-only":
		s.proxy.ReadOnly(true)
	case "refuse":
		return s.proxy.Refuse()
	case "allow":
		return s.proxy.Allow(ctx)
	case "clear":
		s.proxy.ClearRules()
	case "violations":
		if got := s.proxy.Violations(); fmt.Sprint(len(got)) != args[1] {
			return fmt.Errorf("%d requests that change something: %v", len(got), got)
		}
		if len(s.proxy.Calls()) == 0 {
			return errors.New("nothing was asked at all: the proxy proves nothing")
		}
	case "await":
		return s.proxy.WaitCall(ctx, args[1], args[2], 1)
	case "stall":
		d, err := time.ParseDuration(args[3])
		s.proxy.AddRule(dockerproxy.Rule{Method: args[1], Path: args[2], Stall: d})
		return err
	case "fail":
		s.proxy.AddRule(dockerproxy.Rule{Method: args[1], Path: args[2], Status: 500, Message: args[3]})
	case "cut":
		s.proxy.AddRule(dockerproxy.Rule{Method: args[1], Path: args[2], Cut: true})
	case "remove":
		removed := func() { _ = s.lab.Remove(context.WithoutCancel(ctx), args[3]) }
		s.proxy.AddRule(dockerproxy.Rule{Method: args[1], Path: args[2], Times: 1, Before: removed})
	default:
		return fmt.Errorf("unknown: proxy %s", args[0])
	}
	return nil
}

// tamper byte TYPE | cut N: changes one byte of the first record of a type, one
// that is about docker.restart, or
// removes the last N records, past the program and its triggers.
func tamperCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "data", "remediator.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	if args[0] == "cut" {
		res, err := db.ExecContext(ctx, "delete from records where seq > (select max(seq) from records) - ?", args[1])
		return changed(res, err, args[1])
	}
	var seq int64
	var text string
	if err := db.QueryRowContext(ctx, "select seq, json from records where type = ? order by seq limit 1", args[1]).Scan(&seq, &text); err != nil {
		return err
	}
	ts.Setenv("TAMPERED", fmt.Sprint(seq))
	at := strings.Index(text, `"uses":"docker.restart"`)
	if at < 0 {
		return fmt.Errorf("no such place in %s", text)
	}
	at += len(`"uses":"docker.`)
	res, err := db.ExecContext(ctx, "update records set json = ? where seq = ?", text[:at]+"R"+text[at+1:], seq)
	return changed(res, err, "1")
}

func changed(res sql.Result, err error, want string) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && fmt.Sprint(n) != want {
		err = fmt.Errorf("%d records changed", n)
	}
	return err
}
