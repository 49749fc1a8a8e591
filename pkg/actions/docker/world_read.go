package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// inspectTime bounds the look at one container of many, and inspectors how many
// are looked at side by side: one that hangs must not hide the others.
const (
	inspectTime = 3 * time.Second
	inspectors  = 4
)

// Project implements Reader.
func (e *engineClient) Project(ctx context.Context, project string) ([]Container, error) {
	list, err := e.c.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", labelProject+"="+project))})
	if err != nil {
		return nil, failure(err)
	}
	found, errs := make([]Container, len(list)), make([]error, len(list))
	slots := make(chan struct{}, inspectors)
	var all sync.WaitGroup
	for i, s := range list {
		if strings.EqualFold(s.Labels[labelOneOff], "true") || s.Labels[labelService] == "" {
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			look, cancel := context.WithTimeout(ctx, inspectTime)
			defer cancel()
			if found[i], errs[i] = e.Inspect(look, s.ID); errs[i] != nil {
				found[i] = Container{ID: s.ID, Name: strings.TrimPrefix(strings.Join(s.Names, ""), "/"), Labels: s.Labels, Error: errs[i].Error()}
			}
		})
	}
	all.Wait()
	var out []Container
	answers := 0
	for i, c := range found {
		switch {
		case c.ID == "" || errs[i] != nil && actions.CodeOf(errs[i]) == actions.CodeTargetNotFound: // gone meanwhile
		case errs[i] == nil:
			answers++
			fallthrough
		default:
			out = append(out, c)
		}
	}
	if len(out) > 0 && answers == 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// Past implements Reader.
func (e *engineClient) Past(ctx context.Context, project string, since, until time.Time) ([]Event, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, errs := e.c.Events(ctx, events.ListOptions{Since: engineTime(since), Until: engineTime(until), Filters: eventFilters(project)})
	var out []Event
	for {
		select {
		case m := <-messages:
			out = append(out, eventOf(m))
		case err := <-errs:
			if errors.Is(err, io.EOF) {
				return out, nil
			}
			return nil, failure(err)
		}
	}
}

func eventFilters(project string) filters.Args {
	return filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("label", labelProject+"="+project))
}

func eventOf(m events.Message) Event {
	a := m.Actor.Attributes
	return Event{
		ID: m.Actor.ID, Action: string(m.Action), Time: time.Unix(0, m.TimeNano),
		Service: a[labelService], OneOff: strings.EqualFold(a[labelOneOff], "true"), Signal: a["signal"],
	}
}

// engineTime is a time as the engine takes it, to the nanosecond.
func engineTime(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }
