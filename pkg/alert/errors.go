package alert

import "fmt"

// Error is a notification that is refused: Status and Code go to the sender as
// problem+json, Detail names the fault and never repeats more than a few bytes
// of what was sent. Codes are stable.
type Error struct {
	Status int
	Code   string
	Detail string
}

// Codes of refused notifications.
const (
	CodeTooLarge     = "body_too_large"
	CodeUnreadable   = "body_unreadable"
	CodeEmpty        = "empty_body"
	CodeUTF8         = "invalid_utf8"
	CodeDepth        = "too_deep"
	CodeTrailing     = "trailing_data"
	CodeMalformed    = "malformed_json"
	CodeNotObject    = "not_an_object"
	CodeDuplicateKey = "duplicate_field"
	CodeType         = "wrong_type"
	CodeTime         = "invalid_time"
	CodeVersion      = "unsupported_version"
	CodeNoAlerts     = "no_alerts"
	CodeTooMany      = "too_many_alerts"
	CodeStatus       = "invalid_status"
	CodeNoLabels     = "empty_labels"
	CodeLabelName    = "empty_label_name"
	CodeLabelSize    = "label_too_long"
	CodeStartsAt     = "missing_starts_at"
	CodeConflict     = "conflicting_alerts"
)

// Error is the detail.
func (e *Error) Error() string { return e.Detail }

func refuse(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// brief quotes a value for an error text, cut so that a label of a megabyte
// does not come back as an answer of a megabyte.
func brief(s string) string {
	const most = 48
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
