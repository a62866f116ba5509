package fleet

import "fmt"

// Code says what kind of thing went wrong, for programs. The set is closed; the
// HTTP API maps each to a status and fleetctl each to an exit code.
type Code string

// The codes.
const (
	CodeInvalid         Code = "invalid"         // the input is wrong: 422
	CodeNotFound        Code = "not_found"       // 404
	CodeConflict        Code = "conflict"        // the state forbids it: 409
	CodeUnauthenticated Code = "unauthenticated" // 401
	CodeForbidden       Code = "forbidden"       // 403
	CodeTooLarge        Code = "too_large"       // 413
	CodeUnavailable     Code = "unavailable"     // try again later: 503
	CodeInDoubt         Code = "in_doubt"        // it may have been done, read before writing again: 502
	CodeInternal        Code = "internal"        // 500
)

// Error is a failure that a person is told of: what, where and how to mend it.
// Whatever lies behind it (Err) is for logs only.
type Error struct {
	Code    Code
	Message string // a sentence: what is wrong and how to mend it
	Field   string // where: the flag, field or CSV line, when there is one
	Details []Detail
	Err     error
}

// Detail is one of several things wrong with one input.
type Detail struct {
	Location string // "line 3, column 17 (occupancy)"
	Message  string
	Value    string
}

// Error is the message, and what lay behind it.
func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns what lay behind the error.
func (e *Error) Unwrap() error { return e.Err }

// Invalidf makes an error of code invalid about one field.
func Invalidf(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// NotFoundf makes an error of code not_found.
func NotFoundf(format string, args ...any) *Error {
	return &Error{Code: CodeNotFound, Message: fmt.Sprintf(format, args...)}
}

// Conflictf makes an error of code conflict.
func Conflictf(format string, args ...any) *Error {
	return &Error{Code: CodeConflict, Message: fmt.Sprintf(format, args...)}
}
