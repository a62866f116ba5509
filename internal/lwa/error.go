package lwa

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"fleetd/internal/fleet"
)

// The reasons of an UnauthorizedError that have a mend of their own. Any other is
// the OAuth error code as it came.
const (
	ReasonInvalidGrant  = "invalid_grant"  // the refresh token: revoked, or of another client
	ReasonInvalidClient = "invalid_client" // the client ID or its secret
)

// UnauthorizedError says that Login with Amazon refused the account's credential.
// No retry mends it; the operator does.
type UnauthorizedError struct {
	Account string               // the fleetd account
	Kind    fleet.CredentialKind // empty: enterprise
	Reason  string               // the OAuth error code
}

// Error says what was refused and names the command that mends it.
func (e *UnauthorizedError) Error() string {
	who := "account " + e.Account
	if e.other() {
		who = fmt.Sprintf("the %s credential of %s", e.Kind, who)
	}
	return fmt.Sprintf("%s is not authorized: Login with Amazon refused %s (%s); set a new one with %s", who, e.what(), e.Reason, e.mend())
}

// Temporary is false: only a new credential helps.
func (e *UnauthorizedError) Temporary() bool { return false }

func (e *UnauthorizedError) what() string {
	switch e.Reason {
	case ReasonInvalidGrant:
		return "its refresh token"
	case ReasonInvalidClient:
		return "its client ID or client secret"
	}
	return "its credential"
}

// other reports whether the credential is another than the one of the account's
// homes, which is meant where no kind is named.
func (e *UnauthorizedError) other() bool {
	return e.Kind != "" && e.Kind != fleet.CredentialEnterprise
}

func (e *UnauthorizedError) mend() string {
	if e.other() {
		set := fmt.Sprintf("fleetctl account credential set %s --kind %s --client-id ID --client-secret-file F --refresh-token-file F", e.Account, e.Kind)
		if e.Kind.NeedsVendor() {
			set += " --vendor-id V"
		}
		return set
	}
	set := "fleetctl account set " + e.Account
	if e.Reason == ReasonInvalidGrant {
		return set + " --refresh-token-file F"
	}
	return set + " --client-id ID --client-secret-file F --refresh-token-file F"
}

// TokenError is a token request that failed for a reason that may pass: the
// endpoint is not there, overloaded, or answers what is no token.
type TokenError struct {
	Account    string
	Status     int           // HTTP status, 0 where no answer came
	Code       string        // the OAuth error code, where the body had one
	RequestID  string        // X-Amzn-RequestId
	RetryAfter time.Duration // 0 where none was asked for
	Err        error         // what lay behind it, without secrets
}

// Error says what the endpoint did and where to look.
func (e *TokenError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "account %s: get an access token from Login with Amazon", e.Account)
	if e.Status != 0 {
		b.WriteString(": status " + strconv.Itoa(e.Status))
		if t := http.StatusText(e.Status); t != "" {
			b.WriteString(" " + t)
		}
	}
	if e.Code != "" {
		b.WriteString(" (" + e.Code + ")")
	}
	if e.RequestID != "" {
		b.WriteString(", request ID " + e.RequestID)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Status >= 300 && e.Status < 500 && e.Status != http.StatusTooManyRequests {
		b.WriteString("; check the account's token URL")
	}
	return b.String()
}

// Unwrap returns what lay behind the error.
func (e *TokenError) Unwrap() error { return e.Err }

// Temporary is true: the credential was not refused.
func (e *TokenError) Temporary() bool { return true }

// again reports whether to ask once more at once rather than let the caller wait:
// overload, server errors and lost answers pass, a wrong address does not.
func (e *TokenError) again() bool {
	return e.Status < 300 || e.Status >= 500 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout
}
