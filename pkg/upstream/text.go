package upstream

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxText bounds one quoted piece of what a page or an error says.
const maxText = 300

// troubleText tells of the first event and counts the others.
func troubleText(name string, events []Event, since, now time.Time) string {
	text := title(name) + " reports " + describe(events[0]) + " since " + clock(since, now)
	if others := len(events) - 1; others > 0 {
		text += fmt.Sprintf(" and %d more", others)
	}
	if url := events[0].URL; url != "" {
		text += ": " + url
	}
	return text
}

// describe an event: "Horizon degraded" (major, identified).
func describe(e Event) string {
	switch e.Kind {
	case KindMaintenance:
		return fmt.Sprintf("maintenance %q (%s)", e.Name, e.Status)
	case KindComponent:
		return fmt.Sprintf("that %q is in %s (%s)", e.Name, e.Status, e.Impact)
	default:
		return fmt.Sprintf("%q (%s, %s)", e.Name, e.Impact, e.Status)
	}
}

func endText(name string, began, now time.Time) string {
	text := title(name) + " reports no trouble any more"
	if !began.IsZero() {
		text += "; it began at " + clock(began, now)
	}
	return text
}

func (t *Tracker) unknownText(now time.Time) string {
	text := "the status page of " + t.name + " has given no good answer since it is watched, " + clock(t.started, now)
	if !t.lastGood.IsZero() {
		text = "the status page of " + t.name + " has given no good answer since " + clock(t.lastGood, now)
	}
	if t.lastErr != "" {
		text += " (" + t.lastErr + ")"
	}
	if !t.trouble {
		return text + ": its state is unknown"
	}
	last := "trouble"
	if len(t.events) > 0 {
		last = describe(t.events[0])
	}
	return text + "; it last reported " + last + " since " + clock(t.since, now) + ", and that is not known to be over"
}

// clock is a time of day in UTC, with the date where that is not today's.
func clock(at, now time.Time) string {
	at, now = at.UTC(), now.UTC()
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return at.Format("15:04Z")
	}
	return at.Format("2006-01-02 15:04Z")
}

// title begins a sentence with a name.
func title(name string) string {
	r, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(r)) + name[size:]
}

// short makes one bounded line of a text from outside.
func short(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }), " ")
	if utf8.RuneCountInString(text) <= maxText {
		return text
	}
	return string([]rune(text)[:maxText]) + "…"
}
