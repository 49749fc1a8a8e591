package docker

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/services"
)

func TestWatched_WhatEndedWellIsCompletedWhereItMayEnd(t *testing.T) {
	now := time.Now()
	const started, healthy, completed = ":service_started:false", ":service_healthy:false", ":service_completed_successfully:false"
	for name, c := range map[string]struct {
		labels []string            // what each dependant says of init
		config map[string][]string // what the configuration says
		exit   int
		policy string
		killed bool
		forgot bool // the engine does not remember how it ended
		want   services.State
	}{
		"its end is waited for":               {labels: []string{completed}, want: services.Completed},
		"wanted started":                      {labels: []string{started}, want: services.Completed},
		"the short form":                      {labels: []string{""}, want: services.Completed},
		"by the configuration":                {config: map[string][]string{"web": {"init"}}, want: services.Completed},
		"by restart policy no":                {labels: []string{started}, policy: "no", want: services.Completed},
		"by restart policy on-failure":        {labels: []string{started}, policy: "on-failure", want: services.Completed},
		"how it ended is forgotten":           {labels: []string{started}, forgot: true, want: services.Completed},
		"it is to run":                        {labels: []string{started}, policy: "unless-stopped", want: services.Stopped},
		"it is always to run":                 {labels: []string{started, completed}, policy: "always", want: services.Stopped},
		"it failed":                           {labels: []string{started}, exit: 1, want: services.Stopped},
		"needed healthy":                      {labels: []string{healthy}, want: services.Stopped},
		"one needs it healthy, one started":   {labels: []string{started, healthy}, want: services.Stopped},
		"one needs it healthy, one completed": {labels: []string{healthy, completed}, want: services.Stopped},
		"healthy by label, and configured":    {labels: []string{healthy}, config: map[string][]string{"web": {"init"}}, want: services.Stopped},
		"one waits for its end":               {labels: []string{started, completed}, want: services.Completed},
		"nobody depends on it":                {want: services.Stopped},
		"a person ended it":                   {labels: []string{started}, killed: true, want: services.Stopped},
		"a person ended what is waited for":   {labels: []string{completed}, killed: true, want: services.Completed},
	} {
		t.Run(name, func(t *testing.T) {
			en := newWatched(&engine{Config: Config{Name: "local", Services: []string{"init", "web"}, DependsOn: c.config}})
			list := []Container{{
				ID: "i", Name: "p-init-1", Status: statusExited, ExitCode: c.exit, Restarts: c.policy,
				StartedAt: now.Add(-time.Minute), FinishedAt: now, Labels: map[string]string{labelService: "init"},
			}}
			for i, condition := range c.labels {
				list = append(list, Container{ID: fmt.Sprint(i), Status: statusRunning, Labels: map[string]string{labelService: fmt.Sprint("by", i), labelDepends: "init" + condition}})
			}
			if !c.forgot {
				en.hear(Event{ID: "i", Action: "start", Time: now.Add(-time.Minute)})
				if c.killed {
					en.hear(Event{ID: "i", Action: "kill", Signal: "15", Time: now})
				}
				en.hear(Event{ID: "i", Action: "die", Time: now})
			}
			en.takeAll(list, now)
			for _, s := range en.services(nil, now) {
				if s.Name == "init" {
					require.Equal(t, c.want, s.State, s.Text)
					require.Len(t, s.Stops, 1)
				}
			}
		})
	}
}
