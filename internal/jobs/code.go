package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// mintTimeout bounds one call of the code server.
const mintTimeout = 8 * time.Second

// CodeRequest asks an account's --code-url for one authorization code. It is sent
// as JSON by POST; the answer is 200 with {"code": "..."}.
type CodeRequest struct {
	Account     string `json:"account"`
	UnitID      string `json:"unit_id"`
	SkillID     string `json:"skill_id"`
	RedirectURI string `json:"redirect_uri"`
}

// codeError is a code server that gave no code. Refused tells an answer that will
// stay the same from one that may pass.
type codeError struct {
	refused bool
	err     error
}

func (e *codeError) Error() string { return "ask the code server for a code: " + e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// mintCode asks for a code, which is used once and never kept, logged or shown.
func mintCode(ctx context.Context, client *http.Client, url string, req CodeRequest) (string, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return "", &codeError{refused: true, err: err}
	}
	mintCtx, cancel := context.WithTimeout(ctx, mintTimeout)
	defer cancel()
	hr, err := http.NewRequestWithContext(mintCtx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", &codeError{refused: true, err: errors.New("the account's code URL cannot be used: mend it with fleetctl account set --code-url")}
	}
	hr.Header.Set("Content-Type", "application/json")
	hr.Header.Set("Accept", "application/json")
	resp, err := client.Do(hr)
	switch {
	case err != nil && ctx.Err() != nil: // the job is stopped or out of time: nobody is to blame
		return "", ctx.Err()
	case err != nil:
		return "", &codeError{err: errors.New("it did not answer")} // the error itself prints the URL
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		passing := resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests
		return "", &codeError{refused: !passing, err: fmt.Errorf("it answered %d", resp.StatusCode)}
	}
	var answer struct {
		Code string `json:"code"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer)
	if err != nil || answer.Code == "" {
		return "", &codeError{refused: true, err: errors.New(`its answer holds no code: it must be {"code": "..."}`)}
	}
	return answer.Code, nil
}
