package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stellarescrow/remediator/test/lab"
)

var commandsByName = map[string]scriptCommand{
	"service":      serviceCommand,
	"each":         eachCommand,
	"restarts":     restartsCommand,
	"daemon":       daemonCommand,
	"alertmanager": alertmanagerCommand,
	"post":         postCommand,
	"http":         httpCommand,
	"await":        awaitCommand,
	"trail":        trailCommand,
	"proxy":        proxyCommand,
	"tamper":       tamperCommand,
	"payload":      payloadCommand,
	"head":         headCommand,
	"spacing":      spacingCommand,
	"distinct":     distinctCommand,
	"tmpfs":        tmpfsCommand,
	"tmpfs-fill":   tmpfsFillCommand,
	"tmpfs-free":   tmpfsFreeCommand,
	"post-until":   postUntilCommand,
	"refused":      refusedCommand,
	"one-by-one":   oneByOneCommand,
	"exits":        exitsCommand,
	"container":    containerCommand,
	"accept":       acceptCommand,
	"json":         jsonCommand,
	"keys":         keysCommand,
	"certificates": certificatesCommand,
	"statuspage":   statuspageCommand,
	"postgres":     postgresCommand,
	"crash":        crashCommand,
	"before":       beforeCommand,
	"lag":          lagCommand,
}

// service NAME [replicas=N] [depends=A,B] [needs=A,B:PORT] [stubborn=1]: starts it,
// healthy.
func serviceCommand(ctx context.Context, s *scene, _ *testscript.TestScript, args []string) error {
	words, values := options(args)
	if err := unknown(values, "replicas", "depends", "needs", "stubborn"); err != nil {
		return err
	}
	replicas, err := count(values, "replicas", 1)
	if err != nil || len(words) != 1 {
		return errors.Join(err, errors.New("usage: service NAME [replicas=N] [depends=A,B] [needs=A,B:PORT] [stubborn=1]"))
	}
	spec := lab.ServiceSpec{Name: words[0], Replicas: replicas, IgnoreTerm: values["stubborn"] != ""}
	if d := values["depends"]; d != "" {
		spec.DependsOn = strings.Split(d, ",")
	}
	if n := values["needs"]; n != "" {
		spec.Needs = strings.Split(n, ",")
	}
	return s.lab.Service(ctx, spec)
}

// each VERB SERVICE: wedge, wedge-for-good, break, heal, healthy, unhealthy,
// exited, stop, start, remove, recreate.
func eachCommand(ctx context.Context, s *scene, _ *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: each VERB SERVICE")
	}
	verbs := map[string]func(context.Context, string) error{
		"wedge": s.lab.Wedge, "heal": s.lab.Heal, "healthy": s.lab.WaitHealthy, "unhealthy": s.lab.WaitUnhealthy, "exited": s.lab.WaitExited,
		"stop": s.lab.Stop, "start": s.lab.StartService, "remove": s.lab.Remove, "recreate": s.lab.Recreate,
		"wedge-for-good": func(ctx context.Context, name string) error { return s.lab.WedgeFor(ctx, name, -1) },
		"break":          func(ctx context.Context, name string) error { return s.lab.Break(ctx, name, 0) },
	}
	verb := verbs[args[0]]
	if verb == nil {
		return fmt.Errorf("unknown verb %s", args[0])
	}
	return verb(ctx, args[1])
}

// restarts SERVICE N: the engine has restarted its containers N times.
func restartsCommand(ctx context.Context, s *scene, _ *testscript.TestScript, args []string) error {
	n, err := s.lab.Restarts(ctx, args[0])
	if err == nil && fmt.Sprint(n) != args[1] {
		err = fmt.Errorf("%s was restarted %d times", args[0], n)
	}
	return err
}

// daemon reserve | start [NAME=VALUE…] [ARG…] | start-at ADDRESS [ARG…] |
// stop | kill | signal HUP | ended CODE | log TEXT.
func daemonCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	switch args[0] {
	case "start", "start-at":
		words, values := options(args[1:])
		if args[0] == "start-at" {
			s.at, words = words[0], words[1:]
		}
		var env []string
		for name, value := range values {
			env = append(env, name+"="+value)
		}
		if err := s.serve(ctx, env, words...); err != nil {
			return err
		}
		ts.Setenv("ADDRESS", s.at)
		return nil
	case "reserve":
		err := s.reserve(ctx)
		ts.Setenv("ADDRESS", s.at)
		return err
	case "stop":
		return s.daemon.stop(ctx)
	case "kill":
		s.daemon.kill()
		return nil
	case "signal":
		return s.daemon.signal(map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}[args[1]])
	case "ended":
		state, err := s.daemon.wait(ctx)
		if err == nil && fmt.Sprint(state.ExitCode()) != args[1] {
			err = fmt.Errorf("the daemon ended with %s", state)
		}
		return err
	case "log":
		line, err := s.daemon.waitLog(ctx, args[1])
		fmt.Fprint(ts.Stdout(), line)
		return err
	}
	return fmt.Errorf("unknown: daemon %s", args[0])
}

// alertmanager start [token=F] [user=U password=P] [ca=F cert=F key=F] |
// post|resolve JOB [SEVERITY] | silence|unsilence JOB | log TEXT | restart.
func alertmanagerCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	words, values := options(args)
	switch words[0] {
	case "start":
		return startAlertmanager(ctx, s, ts, values)
	case "post", "resolve":
		severity := "critical"
		if len(words) > 2 {
			severity = words[2]
		}
		alert := lab.ServiceDown(words[1], severity)
		if words[0] == "post" {
			return s.am.Post(ctx, alert)
		}
		return s.am.Resolve(ctx, alert)
	case "silence":
		id, err := s.am.Silence(ctx, map[string]string{"job": words[1]}, time.Hour)
		ts.Setenv("SILENCE", id)
		return err
	case "unsilence":
		return s.am.Unsilence(ctx, ts.Getenv("SILENCE"))
	case "log":
		line, err := s.am.WaitLog(ctx, words[1])
		fmt.Fprint(ts.Stdout(), line)
		return err
	case "restart":
		return s.am.Restart(ctx)
	}
	return fmt.Errorf("unknown: alertmanager %s", words[0])
}

func startAlertmanager(ctx context.Context, s *scene, ts *testscript.TestScript, values map[string]string) error {
	if err := errors.Join(s.reserve(ctx), unknown(values, "token", "user", "password", "ca", "cert", "key")); err != nil {
		return err
	}
	spec := lab.AlertmanagerSpec{WebhookURL: "http://" + s.at + "/webhook", BasicUser: values["user"], BasicPassword: values["password"]}
	if f := values["token"]; f != "" {
		spec.BearerToken = strings.TrimSpace(ts.ReadFile(f))
	}
	if f := values["ca"]; f != "" {
		spec.WebhookURL = "https://" + s.at + "/webhook"
		spec.CAFile = ts.MkAbs(f)
	}
	if f := values["cert"]; f != "" {
		spec.CertFile, spec.KeyFile = ts.MkAbs(f), ts.MkAbs(values["key"])
	}
	var err error
	if s.am, err = s.lab.Alertmanager(ctx, spec); err != nil {
		return err
	}
	ts.Setenv("ALERTMANAGER", s.am.URL)
	s.env = append(s.env, "ALERTMANAGER="+s.am.URL)
	return nil
}

// post FILE [STATUS]: a webhook body; @NOW-90s@ in it becomes a time, counted from
// the start of the script, so that a body posted again is the same.
func postCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	status, text, err := s.post(ctx, stamped([]byte(ts.ReadFile(args[0])), s.began))
	if err != nil {
		return err
	}
	return answered(ts, status, text, append(args, "200")[1])
}

// http METHOD PATH [STATUS] [token=FILE] [body=FILE]; PATH may be a whole URL.
func httpCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	words, values := options(args)
	if err := unknown(values, "token", "body"); err != nil {
		return err
	}
	header, body := http.Header{}, []byte(nil)
	if f := values["token"]; f != "" {
		header.Set("Authorization", "Bearer "+strings.TrimSpace(ts.ReadFile(f)))
	}
	if f := values["body"]; f != "" {
		body = []byte(ts.ReadFile(f))
	}
	status, text, err := request(ctx, http.DefaultClient, words[0], "http://"+s.at+words[1], body, header)
	if err != nil {
		return err
	}
	return answered(ts, status, text, append(words, "200")[2])
}

func answered(ts *testscript.TestScript, status int, text, want string) error {
	fmt.Fprintln(ts.Stdout(), text)
	if fmt.Sprint(status) != want {
		return fmt.Errorf("answered %d, not %s: %s", status, want, text)
	}
	return nil
}

// await TYPE [N] [path=VALUE|path=/REGEXP/…]: the N-th such record is there. Sets
// REMEDIATION, and PLAN_HASH where it has one.
func awaitCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	words, values := options(args)
	n, err := count(map[string]string{"n": append(words, "1")[1]}, "n", 1)
	if err != nil {
		return err
	}
	r, err := s.await(ctx, n, want{words[0], values})
	if err != nil {
		return err
	}
	ts.Setenv("REMEDIATION", r.get("remediation"))
	if hash := r.get("plan_hash"); hash != "" {
		ts.Setenv("PLAN_HASH", hash)
	}
	fmt.Fprintln(ts.Stdout(), summary(r)+": "+r.get("reason.text")+" "+r.get("error"))
	return nil
}

// trail [FILTER…]: the audit log, a line a record, to compare as standard output;
// `nothing` when there is none.
func trailCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	all, err := s.records(ctx, args...)
	for _, r := range all {
		fmt.Fprintln(ts.Stdout(), summary(r))
	}
	if len(all) == 0 { // testscript would keep the output of the command before
		fmt.Fprintln(ts.Stdout(), "nothing")
	}
	return err
}

// payload NAME FILE: a recorded payload of test/lab/payloads.
func payloadCommand(_ context.Context, _ *scene, ts *testscript.TestScript, args []string) error {
	return os.WriteFile(ts.MkAbs(args[1]), recordedPayload(args[0]), 0o600)
}

// head: sets HEAD to the last record's SEQ:HASH.
func headCommand(ctx context.Context, s *scene, ts *testscript.TestScript, _ []string) error {
	all, err := s.records(ctx)
	if err != nil || len(all) == 0 {
		return errors.Join(err, errors.New("no records"))
	}
	last := all[len(all)-1]
	ts.Setenv("HEAD", fmt.Sprintf("%d:%s", len(all), last.get("hash")))
	return nil
}
