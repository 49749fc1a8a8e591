package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/dockerproxy"
	"github.com/stellarescrow/remediator/test/lab/statuspage"
)

// patience bounds each wait of an end-to-end test: it is not a pace, things are
// awaited by what announces them.
const patience = 60 * time.Second

// scene is what an end-to-end test plays in: a lab, a proxy before the engine and
// the daemon. Its configuration is config.yaml in dir, its store is in dir/data.
type scene struct {
	dir    string
	env    []string
	began  time.Time
	lab    *lab.Lab
	proxy  *dockerproxy.Proxy
	am     *lab.Alertmanager
	page   *statuspage.Page // nil unless the configuration has @PAGE@
	site   *httptest.Server // that serves page
	daemon *daemon
	at     string // the daemon's address, kept over restarts
}

func newScene(ctx context.Context, dir string, env []string, o lab.Options) (*scene, error) {
	l, err := lab.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &scene{dir: dir, env: env, began: time.Now(), lab: l}
	if s.proxy, err = dockerproxy.Start(ctx, ""); err != nil {
		return nil, errors.Join(err, l.Close(ctx))
	}
	return s, nil
}

// fill replaces @PROJECT@, @ENGINE@ and @PAGE@ in a file. (As ${env:…} they would
// count as secrets and be struck out of every record.)
func (s *scene) fill(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	filled := strings.NewReplacer("@PROJECT@", s.lab.Project, "@ENGINE@", s.proxy.Host()).Replace(string(text))
	if strings.Contains(filled, "@PAGE@") {
		filled = strings.ReplaceAll(filled, "@PAGE@", s.statusPage())
	}
	return os.WriteFile(file, []byte(filled), 0o600)
}

// statusPage serves one, on which all is operational at first, and answers its URL.
func (s *scene) statusPage() string {
	if s.page == nil {
		s.page = statuspage.New(s.began)
		s.site = httptest.NewServer(s.page)
	}
	return s.site.URL
}

// close ends everything; the daemon first, so that nothing acts on what goes away.
func (s *scene) close(ctx context.Context) error {
	if s.daemon != nil {
		s.daemon.kill()
	}
	if s.site != nil {
		s.site.CloseClientConnections() // one may hang by intention
		s.site.Close()
	}
	return errors.Join(s.proxy.Close(), s.lab.Close(ctx))
}

// serve starts the daemon, at the same address as before.
func (s *scene) serve(ctx context.Context, env []string, args ...string) error {
	d, err := startDaemon(ctx, s.dir, append(slices.Clip(s.env), env...), s.at, args...)
	if err != nil {
		return err
	}
	s.daemon, s.at = d, d.address
	return nil
}

// reserve chooses the daemon's address before it starts, for who must know it.
func (s *scene) reserve(ctx context.Context) error {
	if s.at != "" {
		return nil
	}
	port, err := s.lab.Port(ctx)
	s.at = fmt.Sprintf("127.0.0.1:%d", port)
	return err
}

// control is a client of the daemon's control socket: it works whatever access is
// asked for on the network.
func (s *scene) control() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, "data", "control.sock"))
		},
	}}
}

// record is an audit record, taken apart as JSON.
type record map[string]any

// get answers the value at a path such as reason.code, "" when it is not there.
func (r record) get(path string) string {
	var at any = map[string]any(r)
	for key := range strings.SplitSeq(path, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return ""
		}
		at = m[key]
	}
	if at == nil {
		return ""
	}
	return fmt.Sprint(at)
}

// want is what a record must be: a type and values at paths. A value between
// slashes is a regular expression.
type want struct {
	kind   string
	values map[string]string
}

func (w want) matches(r record) bool {
	if r.get("type") != w.kind {
		return false
	}
	for path, value := range w.values {
		got := r.get(path)
		if p, ok := strings.CutPrefix(value, "/"); ok {
			if ok, err := regexp.MatchString(strings.TrimSuffix(p, "/"), got); err != nil || !ok {
				return false
			}
		} else if got != value {
			return false
		}
	}
	return true
}

// await follows the audit log from its beginning until the n-th record is as
// wanted, and answers it.
func (s *scene) await(ctx context.Context, n int, w want) (record, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://daemon/api/v1/audit?follow=1&type="+w.kind, nil)
	if err != nil {
		return nil, err
	}
	res, err := s.control().Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, s.daemon.lastWords())
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<24)
	var seen []string
	for lines.Scan() {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%w: %s", err, lines.Text())
		}
		if w.matches(r) {
			if n--; n <= 0 {
				return r, nil
			}
		}
		seen = append(seen, lines.Text())
	}
	return nil, fmt.Errorf("no %s with %v came (%s, %w); of that type there were:\n%s\nthe daemon:\n%s",
		w.kind, w.values, res.Status, errors.Join(lines.Err(), ctx.Err()), strings.Join(seen[max(0, len(seen)-20):], "\n"), s.daemon.lastWords())
}

// records exports the audit log with the program, whether the daemon runs or not.
func (s *scene) records(ctx context.Context, args ...string) ([]record, error) {
	out, err := s.program(ctx, append([]string{"audit", "export"}, args...)...)
	if err != nil {
		return nil, err
	}
	var all []record
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var r record
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
}

// program runs remediator and answers its standard output; a failure carries its
// standard error.
func (s *scene) program(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "remediator", args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("remediator %s: %w: %s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), nil
}

// summary is a record in a line: its type and the words that say what it was.
func summary(r record) string {
	words := []string{r.get("type")}
	for _, path := range []string{"verdict", "outcome", "effect", "uses", "reason.code"} {
		if v := r.get(path); v != "" && (path != "reason.code" || r.get("outcome") == "") {
			words = append(words, v)
		}
	}
	if strings.HasSuffix(r.get("type"), ".finished") {
		words = append(words, map[string]string{"true": "ok", "false": "failed", "": "lost"}[r.get("result.ok")])
	}
	return strings.Join(words, " ")
}

// post sends a webhook body.
func (s *scene) post(ctx context.Context, body []byte) (int, string, error) {
	return request(ctx, http.DefaultClient, http.MethodPost, "http://"+s.at+"/webhook", body, nil)
}

// request sends one, over the client's kept connections.
func request(ctx context.Context, c *http.Client, method, url string, body []byte, header http.Header) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, header)
	res, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

var timeMark = regexp.MustCompile(`@NOW([+-][0-9a-z.]+)?@`)

// stamped replaces @NOW@, @NOW-90s@ and the like by times.
func stamped(text []byte, now time.Time) []byte {
	return timeMark.ReplaceAllFunc(text, func(mark []byte) []byte {
		at := now
		if d := timeMark.FindSubmatch(mark)[1]; len(d) > 0 {
			by, err := time.ParseDuration(string(d))
			if err != nil {
				panic(err) // a test's mistake
			}
			at = now.Add(by)
		}
		return []byte(at.UTC().Format(time.RFC3339Nano))
	})
}

// notification is a webhook body as Alertmanager sends it. Fingerprints are left
// out: they are computed from the labels.
func notification(alerts ...webhookAlert) []byte {
	group := "resolved"
	var list []any
	for _, a := range alerts {
		labels := lab.ServiceDown(a.job, "critical").Labels
		maps.Copy(labels, a.labels)
		one := map[string]any{
			"status": "resolved", "labels": labels, "annotations": map[string]string{},
			"startsAt": a.startsAt, "endsAt": a.startsAt.Add(time.Second), "generatorURL": "",
		}
		if !a.resolved {
			group = "firing"
			one["status"], one["endsAt"] = "firing", "0001-01-01T00:00:00Z"
		}
		list = append(list, one)
	}
	body, err := json.Marshal(map[string]any{
		"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": group, "receiver": "remediator",
		"groupLabels": map[string]string{}, "commonLabels": map[string]string{}, "commonAnnotations": map[string]string{},
		"externalURL": "http://alertmanager.lab:9093", "alerts": list,
	})
	if err != nil {
		panic(err)
	}
	return body
}

type webhookAlert struct {
	job      string
	labels   map[string]string
	startsAt time.Time
	resolved bool
}

func (s *scene) write(name, text string) error {
	return os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600)
}
