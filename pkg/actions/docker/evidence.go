package docker

import (
	"context"
	"time"
)

// Tail is the end of the logs of every container of a declared service, by the
// container's name, for evidence. What was had before an error is given with it.
func (e *Engines) Tail(ctx context.Context, service string, since time.Time, lines int) (map[string]string, error) {
	list, err := e.containersOf(ctx, service)
	if err != nil {
		return nil, err
	}
	en := e.of(service)
	out := map[string]string{}
	for _, c := range list {
		text, _, err := en.reader.Logs(ctx, c, since, lines)
		if err != nil {
			return out, err
		}
		out[c.Name] = text
	}
	return out, nil
}

// Describe is the state of every container of a declared service, for evidence.
func (e *Engines) Describe(ctx context.Context, service string) ([]string, error) {
	list, err := e.containersOf(ctx, service)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return []string{service + " has no container"}, nil
	}
	var out []string
	for _, c := range list {
		out = append(out, describe(c))
	}
	return out, nil
}
