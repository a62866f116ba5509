package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxProblem bounds a problem document: a hundred bad lines of CSV fit many times.
const maxProblem = 1 << 20

// Error is an answer that is not a success: a problem document (RFC 9457), or
// whatever stood there instead of one.
type Error struct {
	Status  int
	Title   string
	Detail  string // what, where and how to mend it, for people
	Code    string // the kind of failure, for programs; may be empty
	Details []Fault
	// RequestID names a failure of the server in its log.
	RequestID string
	Server    string
	Location  string // where a redirect points to
	Foreign   bool   // no fleetd wrote this answer
}

// inDoubt is the code of a write that may have been done.
const inDoubt = "in_doubt"

// Fault is one of several things wrong with one request.
type Fault struct {
	Location string
	Message  string
	Value    string
}

// Error says what went wrong in a sentence; the Details are not in it.
func (e *Error) Error() string {
	switch {
	case e.Location != "":
		return fmt.Sprintf("%s answered with a redirect to %s: use the address that it points to with --server", e.Server, e.Location)
	case e.Foreign:
		return fmt.Sprintf("%s answered %d %s, but not as fleetd does: is it fleetd's address? Name another with --server or FLEETCTL_SERVER",
			e.Server, e.Status, http.StatusText(e.Status))
	case e.Detail != "" && e.RequestID != "":
		return fmt.Sprintf("%s (request_id %s)", e.Detail, e.RequestID)
	case e.Detail != "":
		return e.Detail
	case e.Title != "":
		return e.Title
	}
	return fmt.Sprintf("%s answered %d %s", e.Server, e.Status, http.StatusText(e.Status))
}

// Denied reports whether the server does not know the caller or forbids the call.
func (e *Error) Denied() bool {
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
}

// Temporary reports whether the same call may go well a little later.
func (e *Error) Temporary() bool {
	if e.Code == inDoubt {
		return false
	}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// UnreachableError says that no server answered, or that its answer broke off.
type UnreachableError struct {
	Server string
	Err    error
	// Sent is true for a call that may change something and may have reached the server:
	// whether it was done is not known.
	Sent bool
}

// Error names the address and the mend.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach fleetd at %s: %v", e.Server, e.Err)
}

// Unwrap returns what stood in the way.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Temporary is true: the server may be starting again.
func (e *UnreachableError) Temporary() bool { return true }

// problem reads an answer that is not a success.
func problem(server string, resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, Server: server}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e.Location = resp.Header.Get("Location")
		if e.Location == "" {
			e.Foreign = true
		}
		return e
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	var doc Problem
	isJSON := strings.Contains(resp.Header.Get("Content-Type"), "json")
	if !isJSON || json.Unmarshal(body, &doc) != nil || doc.Title == "" && doc.Detail == "" {
		e.Foreign = true
		return e
	}
	e.Title, e.Detail, e.Code = doc.Title, doc.Detail, string(doc.Code)
	if doc.RequestID != nil && resp.StatusCode >= http.StatusInternalServerError {
		e.RequestID = *doc.RequestID
	}
	if doc.Errors == nil {
		return e
	}
	for _, d := range *doc.Errors {
		f := Fault{Message: d.Message}
		if d.Location != nil {
			f.Location = *d.Location
		}
		if d.Value != nil {
			f.Value = *d.Value
		}
		e.Details = append(e.Details, f)
	}
	return e
}
