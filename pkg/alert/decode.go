package alert

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
	"unicode/utf8"
)

// Read takes the whole body, at most MaxBody bytes; beyond, and where reading
// fails, the error is an *Error.
func Read(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, CodeUnreadable, "cannot read the body: %v", err)
	}
	if len(body) > MaxBody {
		return nil, tooLarge()
	}
	return body, nil
}

func tooLarge() *Error {
	return refuse(http.StatusRequestEntityTooLarge, CodeTooLarge, "the body is larger than %d bytes", MaxBody)
}

// Decode reads one webhook payload of Alertmanager 0.25 or later. Fields it does
// not know are accepted, because Alertmanager adds some with its releases. The
// alerts it returns each have a status, labels and, when firing, a start; an
// alert that was sent twice is returned once. Every error is an *Error.
func Decode(body []byte) (*Notification, error) {
	if err := precheck(body); err != nil {
		return nil, err
	}
	n := &Notification{}
	if err := json.Unmarshal(body, n); err != nil {
		return nil, explain(err)
	}
	if err := check(n); err != nil {
		return nil, err
	}
	return n, nil
}

// precheck refuses by bytes, before anything is built from them.
func precheck(body []byte) error {
	if len(body) > MaxBody {
		return tooLarge()
	}
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return refuse(http.StatusBadRequest, CodeEmpty, "the body is empty: want an Alertmanager webhook notification as JSON")
	}
	if at := invalidUTF8(body); at >= 0 {
		// encoding/json would replace the bytes, and two labels become one.
		return refuse(http.StatusBadRequest, CodeUTF8, "invalid UTF-8 at byte %d", at)
	}
	if err := scan(body); err != nil {
		return err
	}
	if trimmed[0] != '{' && json.Valid(body) {
		return refuse(http.StatusBadRequest, CodeNotObject, "the body is JSON but no object: want an Alertmanager webhook notification")
	}
	return nil
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for at := 0; at < len(b); {
		r, size := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
	return -1
}

// explain turns an error of encoding/json into one that says where.
func explain(err error) *Error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	var when *time.ParseError
	switch {
	case errors.As(err, &syntax):
		return refuse(http.StatusBadRequest, CodeMalformed, "malformed JSON at byte %d: %v", syntax.Offset, syntax)
	case errors.As(err, &kind):
		return refuse(http.StatusBadRequest, CodeType, "field %s at byte %d: want %s, got %s", brief(kind.Field), kind.Offset, kind.Type, brief(kind.Value))
	case errors.As(err, &when):
		return refuse(http.StatusBadRequest, CodeTime, "not an RFC 3339 time: %s", brief(when.Value))
	}
	// The time package reports some faults as plain text, with the value in it.
	return refuse(http.StatusBadRequest, CodeTime, "cannot decode: %s", brief(err.Error()))
}
