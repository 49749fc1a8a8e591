package config

import (
	"errors"
	"regexp"
	_ "time/tzdata" // `location` must mean the same in an image that has no time zones

	"github.com/prometheus/alertmanager/timeinterval"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// TimeInterval is a named set of times, in Alertmanager's syntax.
type TimeInterval struct {
	Name  string                      `yaml:"name"`
	Times []timeinterval.TimeInterval `yaml:"time_intervals"`
}

// UnmarshalYAML reads an entry and adds to what Alertmanager's types refuse how it
// is written right.
func (t *TimeInterval) UnmarshalYAML(unmarshal func(any) error) error {
	type plain TimeInterval
	err := unmarshal((*plain)(t))
	var ms strictyaml.Mistakes
	if !errors.As(err, &ms) {
		return err
	}
	for i := range ms {
		if part := intervalPart.FindStringSubmatch(ms[i].Message); ms[i].Fix == "" && part != nil {
			ms[i].Fix = intervalFixes[part[1]]
		}
	}
	return ms
}

// intervalPart finds the part of a time interval that a message is about.
var intervalPart = regexp.MustCompile(`^[^:]*\.(\w+)(?:\[\d+\])?: `)

// intervalFixes say how each part is written.
var intervalFixes = map[string]string{
	"times":         `write times: [{start_time: "09:00", end_time: "17:00"}]; an interval over midnight is two, up to 24:00 and from 00:00`,
	"weekdays":      "write English days in order, a range with a colon: ['monday:friday', 'sunday']",
	"days_of_month": "write days from 1 to 31, or from -1 (the last) down to -31, a range with a colon: ['1:5', '-3:-1']",
	"months":        "write numbers or English names in order, a range with a colon: ['january:march', '12']",
	"years":         "write years, a range with a colon: ['2026:2027']",
	"location":      "write a name of the time zone database, such as Europe/Berlin, or UTC",
}

// unlimited says whether an interval is all the time: it names no times at all.
func unlimited(t timeinterval.TimeInterval) bool {
	return len(t.Times)+len(t.Weekdays)+len(t.DaysOfMonth)+len(t.Months)+len(t.Years) == 0
}
