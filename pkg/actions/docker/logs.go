package docker

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// maxLines bounds the lines that docker.logs gives back.
const maxLines = 50

// logsConfig is the `with` of docker.logs.
type logsConfig struct {
	ServiceTarget `yaml:",inline"`
	Since         strictyaml.Duration `yaml:"since"`
	Tail          int                 `yaml:"tail"`
	Match         string              `yaml:"match"`
}

// logs looks for a pattern in a service's logs; ok means that it is not there.
type logs struct {
	selector
	since time.Duration
	tail  int
	match *regexp.Regexp
}

var _ actions.Check = (*logs)(nil)

func (e *Engines) kindLogs() actions.Kind {
	return actions.Kind{
		Name: "docker.logs", Class: actions.Reads, Timeout: 30 * time.Second,
		Outputs: map[string]any{"service": "", "matches": 0, "lines": []string{}},
		Decode: func(with *yaml.Node) (actions.Step, error) {
			c := logsConfig{Since: strictyaml.Duration(30 * time.Minute), Tail: 1000}
			if err := strictyaml.Decode(with, &c); err != nil {
				return nil, err
			}
			if c.Tail < 1 || c.Tail > 100_000 {
				return nil, strictyaml.At(strictyaml.Child(with, "tail"), "write a number of lines from 1 to 100000", "bad tail %d", c.Tail)
			}
			if c.Match == "" {
				return nil, strictyaml.At(with, "add match: a regular expression (RE2)", "match is missing: docker.logs says whether a pattern is in the logs")
			}
			re, err := regexp.Compile(c.Match)
			if err != nil {
				return nil, strictyaml.At(strictyaml.Child(with, "match"), "write a regular expression as in RE2", "bad match: %s", err)
			}
			sel, err := e.choose(with, c.ServiceTarget)
			if err != nil {
				return nil, err
			}
			return &logs{sel, c.Since.Std(), c.Tail, re}, nil
		},
	}
}

// Check searches the newest lines of every container.
func (l *logs) Check(ctx context.Context, s actions.Scope) actions.Result {
	service, list, err := l.containers(ctx, s)
	if err != nil {
		return unanswered(err)
	}
	var found []string
	matches, read := 0, 0
	for _, c := range list {
		text, cut, err := l.engine.reader.Logs(ctx, c, s.Now.Add(-l.since), l.tail)
		if err != nil {
			return actions.Result{Unknown: true, Text: fmt.Sprintf("logs of %s: %s", c.Name, err)}
		}
		for line := range strings.Lines(text) {
			read++
			if l.match.MatchString(strings.TrimRight(line, "\r\n")) {
				matches++
				if len(found) < maxLines {
					found = append(found, actions.Cap(c.Name+": "+strings.TrimRight(line, "\r\n"), 2000))
				}
			}
		}
		if cut && matches == 0 { // what was not read may hold it
			return actions.Result{Unknown: true, Text: fmt.Sprintf("the logs of %s are too long to search: lower tail or since", c.Name)}
		}
	}
	res := actions.Result{OK: matches == 0, Outputs: map[string]any{"service": service, "matches": matches, "lines": append([]string{}, found...)}}
	res.Text = fmt.Sprintf("%d of %d lines of %s match %q", matches, read, service, l.match)
	return res
}
