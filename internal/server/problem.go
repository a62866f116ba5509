package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fleetd/internal/fleet"
)

// Problem is an RFC 9457 problem document. Its type is always about:blank: Code
// is what programs go by, Detail is the sentence for people.
type Problem struct { //nolint:errname // RFC 9457 calls it so, and so does the generated client.
	Type      string          `json:"type" doc:"Always about:blank: code says what kind of problem it is."`
	Title     string          `json:"title" doc:"The name of the HTTP status."`
	Status    int             `json:"status" doc:"The HTTP status."`
	Code      fleet.Code      `json:"code" doc:"What kind of problem it is, for programs." enum:"invalid,not_found,conflict,unauthenticated,forbidden,too_large,unavailable,in_doubt,internal"`
	Detail    string          `json:"detail" doc:"What is wrong and how to mend it."`
	RequestID string          `json:"request_id,omitempty" doc:"Names the request in fleetd's log."`
	Errors    []ProblemDetail `json:"errors,omitempty" doc:"The single things that are wrong, where there are several or one has a place."`

	retryAfter time.Duration // of the Retry-After header; 0: none
}

// ProblemDetail is one thing that is wrong with a request.
type ProblemDetail struct {
	Location string `json:"location,omitempty" doc:"Where: a field of the body, a parameter, or a line and column of a file."`
	Message  string `json:"message" doc:"What is wrong there."`
	Value    string `json:"value,omitempty" doc:"What stood there, cut short; never of a request body."`
}

// Error is the problem's detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status, for huma.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType makes a JSON answer a problem document, for huma.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders is what the answer says beside the document, for huma.
func (p *Problem) GetHeaders() http.Header {
	if p.retryAfter <= 0 {
		return nil
	}
	return http.Header{"Retry-After": {strconv.FormatInt(int64((p.retryAfter+time.Second-1)/time.Second), 10)}}
}

const problemType = "application/problem+json"

// huma takes its error type and its treatment of slices from package variables,
// so they are set once, before any API is made: every error it writes by itself
// (a body that does not validate) is a Problem as well, and a list is never null.
func init() { //nolint:gochecknoinits // huma has no other place for them.
	huma.DefaultArrayNullable = false
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return humaProblem(context.Background(), status, message, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		return humaProblem(ctx.Context(), status, message, errs)
	}
}

// humaProblem makes a problem of what huma found wrong with a request. The value
// that huma reports is left out unless it came from the URL: a body may hold
// secrets.
func humaProblem(ctx context.Context, status int, message string, errs []error) *Problem {
	p := &Problem{
		Type:      "about:blank",
		Title:     http.StatusText(status),
		Status:    status,
		Code:      codeOf(status),
		Detail:    sentence(message),
		RequestID: requestID(ctx),
	}
	for _, err := range errs {
		if err == nil {
			continue
		}
		d := ProblemDetail{Message: err.Error()}
		var detailer huma.ErrorDetailer
		if errors.As(err, &detailer) {
			detail := detailer.ErrorDetail()
			d = ProblemDetail{Location: detail.Location, Message: detail.Message}
			if text, ok := detail.Value.(string); ok && urlLocation(detail.Location) {
				d.Value = cut(text)
			}
		}
		p.Errors = append(p.Errors, d)
	}
	if len(p.Errors) == 1 && message == "validation failed" {
		p.Detail = strings.TrimPrefix(p.Errors[0].Location+": "+p.Errors[0].Message, ": ")
	}
	return p
}

func urlLocation(location string) bool {
	return strings.HasPrefix(location, "query.") || strings.HasPrefix(location, "path.")
}

func sentence(message string) string {
	if message == "validation failed" {
		return "the request is not valid; errors says where"
	}
	return message
}

// problemOf makes a problem of what a handler returned. What is not a
// *fleet.Error is nobody's business but the log's.
func problemOf(ctx context.Context, err error) *Problem {
	p := &Problem{Type: "about:blank", RequestID: requestID(ctx)}
	known := new(fleet.Error)
	if e := apiError(err); e != nil {
		p.fill(e)
		return p
	}
	switch {
	case errors.As(err, &known):
		p.Status, p.Code, p.Detail = statusOf(known.Code), known.Code, known.Message
		for _, d := range known.Details {
			p.Errors = append(p.Errors, ProblemDetail{Location: d.Location, Message: d.Message, Value: cut(d.Value)})
		}
		if known.Field != "" && len(p.Errors) == 0 {
			p.Errors = []ProblemDetail{{Location: known.Field, Message: known.Message}}
		}
		if known.Code == fleet.CodeInternal {
			p.Detail, p.Errors = internalDetail, nil
		}
	case errors.Is(err, context.DeadlineExceeded):
		p.Status, p.Code = http.StatusServiceUnavailable, fleet.CodeUnavailable
		p.Detail = "the call took too long and was given up; try again"
	case errors.Is(err, context.Canceled):
		p.Status, p.Code = http.StatusServiceUnavailable, fleet.CodeUnavailable
		p.Detail = "the call was given up because the client went away or fleetd is stopping; try again"
	default:
		p.Status, p.Code, p.Detail = http.StatusInternalServerError, fleet.CodeInternal, internalDetail
	}
	p.Title = http.StatusText(p.Status)
	return p
}

const internalDetail = "something went wrong in fleetd; its log tells what under this request_id"

// writeProblem answers with a problem document outside huma.
func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", problemType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	text, err := json.Marshal(p)
	if err != nil { // It holds nothing but text and numbers.
		return
	}
	_, _ = w.Write(append(text, '\n')) // The client has gone when this fails.
}

// statusOf is the HTTP status of a code.
func statusOf(code fleet.Code) int {
	switch code {
	case fleet.CodeInvalid:
		return http.StatusUnprocessableEntity
	case fleet.CodeNotFound:
		return http.StatusNotFound
	case fleet.CodeConflict:
		return http.StatusConflict
	case fleet.CodeUnauthenticated:
		return http.StatusUnauthorized
	case fleet.CodeForbidden:
		return http.StatusForbidden
	case fleet.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case fleet.CodeUnavailable:
		return http.StatusServiceUnavailable
	case fleet.CodeInDoubt:
		return http.StatusBadGateway
	case fleet.CodeInternal:
	}
	return http.StatusInternalServerError
}

// codeOf is the code of a status that huma or the mux chose.
func codeOf(status int) fleet.Code {
	switch status {
	case http.StatusNotFound:
		return fleet.CodeNotFound
	case http.StatusConflict:
		return fleet.CodeConflict
	case http.StatusUnauthorized:
		return fleet.CodeUnauthenticated
	case http.StatusForbidden:
		return fleet.CodeForbidden
	case http.StatusRequestEntityTooLarge:
		return fleet.CodeTooLarge
	case http.StatusBadGateway:
		return fleet.CodeInDoubt
	case http.StatusServiceUnavailable, http.StatusRequestTimeout:
		return fleet.CodeUnavailable
	}
	if status >= http.StatusBadRequest && status < http.StatusInternalServerError {
		return fleet.CodeInvalid
	}
	return fleet.CodeInternal
}

// cut bounds what of a value is sent back.
func cut(s string) string {
	const most = 100
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return s
}
