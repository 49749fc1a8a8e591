package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/statuspage"
)

// statuspage operational | STATUS [impact=I] [components=NAME] [ago=30m] |
// maintenance STATUS | fault NAME: what the page answers from now on. ago is how long
// it has been so by the page's word.
func statuspageCommand(_ context.Context, s *scene, _ *testscript.TestScript, args []string) error {
	words, values := options(args)
	if err := unknown(values, "impact", "components", "ago"); err != nil {
		return err
	}
	if s.page == nil || len(words) == 0 {
		return errors.New("usage: statuspage STATUS, with @PAGE@ in the configuration")
	}
	var sc statuspage.Scene
	switch words[0] {
	case "operational":
	case "maintenance":
		sc.Maintenance = words[1]
	case "fault":
		sc.Fault = words[1]
	default:
		sc.Incident, sc.Impact = words[0], values["impact"]
	}
	if c := values["components"]; c != "" {
		sc.Components = []string{c}
	}
	var ago time.Duration
	if v := values["ago"]; v != "" {
		var err error
		if ago, err = time.ParseDuration(v); err != nil {
			return err
		}
	}
	s.page.Show(sc, time.Now().Add(-ago))
	return nil
}

// postgres: a real one, as service postgres, healthy.
func postgresCommand(ctx context.Context, s *scene, _ *testscript.TestScript, _ []string) error {
	_, err := s.lab.Postgres(ctx, lab.PostgresSpec{})
	return err
}

// crash SERVICE: its programs end from inside, as by a fault of their own.
func crashCommand(ctx context.Context, s *scene, _ *testscript.TestScript, args []string) error {
	if args[0] == "postgres" {
		return s.lab.CrashPostgres(ctx, "postgres")
	}
	if err := s.lab.ExitInside(ctx, args[0], 1); err != nil {
		return err
	}
	return s.lab.WaitExited(ctx, args[0])
}

// before SERVICE ACTION N SERVICE ACTION N: the engine saw both, in this order. N is
// which of the service's events of that action is meant.
func beforeCommand(ctx context.Context, s *scene, _ *testscript.TestScript, args []string) error {
	if len(args) != 6 {
		return errors.New("usage: before SERVICE ACTION N SERVICE ACTION N")
	}
	first, err := s.event(ctx, args[0], args[1], args[2])
	if err != nil {
		return err
	}
	second, err := s.event(ctx, args[3], args[4], args[5])
	if err == nil && !first.Time.Before(second.Time) {
		err = fmt.Errorf("%s came %s after %s", args[:3], first.Time.Sub(second.Time), args[3:])
	}
	return err
}

func (s *scene) event(ctx context.Context, service, action, nth string) (lab.Event, error) {
	n, err := strconv.Atoi(nth)
	if err != nil {
		return lab.Event{}, err
	}
	all, err := s.lab.Events(ctx, service)
	if err != nil {
		return lab.Event{}, err
	}
	own := slices.DeleteFunc(all, func(e lab.Event) bool { return e.Action != action })
	if len(own) < n {
		return lab.Event{}, fmt.Errorf("%s had %d times %q, not %d", service, len(own), action, n)
	}
	return own[n-1], nil
}

// lag TYPE CODE WAIT POLICY VERDICT MOST: from the first record of TYPE with reason
// CODE plus WAIT, when a guard lifted, to the policy's next decision to VERDICT it
// took no longer than MOST, and was not before. It prints how long.
func lagCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	if len(args) != 6 {
		return errors.New("usage: lag TYPE CODE WAIT POLICY VERDICT MOST")
	}
	wait, err := time.ParseDuration(args[2])
	most, merr := time.ParseDuration(args[5])
	all, rerr := s.records(ctx)
	if err := errors.Join(err, merr, rerr); err != nil {
		return err
	}
	var lifted, decided time.Time // the first each
	for _, r := range all {
		at, err := time.Parse(time.RFC3339Nano, r.get("time"))
		switch {
		case err != nil:
			return err
		case r.get("type") == args[0] && r.get("reason.code") == args[1] && lifted.IsZero():
			lifted = at.Add(wait)
		case r.get("type") == "remediation.decided" && r.get("policy") == args[3] && r.get("verdict") == args[4] && !lifted.IsZero() && decided.IsZero():
			decided = at
		}
	}
	if lifted.IsZero() || decided.IsZero() {
		return fmt.Errorf("no %s %s with a decision about %s after it", args[0], args[1], args[3])
	}
	took := decided.Sub(lifted)
	fmt.Fprintf(ts.Stdout(), "decided %s after the guard lifted\n", took.Round(time.Millisecond))
	ts.Logf("decided %s after the guard lifted", took.Round(time.Millisecond))
	if took < 0 || took > most {
		return fmt.Errorf("decided %s after the guard lifted", took)
	}
	return nil
}
