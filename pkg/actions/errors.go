package actions

import "errors"

// Code says what kind of failure an action met.
type Code string

// Codes of action errors.
const (
	CodeTargetNotFound Code = "target_not_found" // the selector matches nothing (any more)
	CodeNotDeclared    Code = "not_declared"     // a rendered target is not a declared one
	CodeUnknownInput   Code = "unknown_input"    // a template reads an unknown or skipped step
	CodeUnreachable    Code = "unreachable"      // the engine or server cannot be reached; nothing was done
	CodeTimeout        Code = "timeout"          // not finished in time; what happened is unknown
	CodeOutcomeUnknown Code = "outcome_unknown"  // the effect may or may not have happened
	CodeFailed         Code = "failed"           // refused or failed; permanent
	CodeForbidden      Code = "forbidden"        // dry run, or not allowed
	CodeStopped        Code = "stopped"          // the target does not run, and may have been stopped on purpose
)

// Error is a typed failure of Plan, Targets or Apply.
type Error struct {
	Code Code
	Err  error
}

// Error is the cause's text; it names the thing.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the code of an error, CodeFailed when it carries none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeFailed
}
