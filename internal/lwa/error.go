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

	ReasonInvalidScope       = "invalid_scope"       // the consent does not hold what is needed
	ReasonUnauthorizedClient = "unauthorized_client" // the client may not do this, or not with this token
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
	return fmt.Sprintf("%s is not authorized: Login with Amazon refused %s (%s); %s%s",
		who(e.Account, e.Kind), e.what(), e.Reason, e.before(), e.mend())
}

// who is the credential in words. That of the account's homes is the account's own.
func who(account string, kind fleet.CredentialKind) string {
	if other(kind) {
		return fmt.Sprintf("the %s credential of account %s", kind, account)
	}
	return "account " + account
}

// Temporary is false: only a new credential helps.
func (e *UnauthorizedError) Temporary() bool { return false }

func (e *UnauthorizedError) what() string {
	switch e.Reason {
	case ReasonInvalidGrant:
		return "its refresh token"
	case ReasonInvalidClient:
		return "its client ID or client secret"
	case ReasonInvalidScope:
		return "the scope of its refresh token"
	case ReasonUnauthorizedClient:
		return "its client"
	}
	return "its credential"
}

// before says what is to be done before the command that mends it.
func (e *UnauthorizedError) before() string {
	switch e.Reason {
	case ReasonInvalidScope:
		return fmt.Sprintf("have its user consent anew, to the scope %s, and set the refresh token of that with ", Scope(e.Kind))
	case ReasonUnauthorizedClient:
		return "check that the refresh token was granted to this client ID, and that its security profile may use it, then set a new one with "
	}
	return "set a new one with "
}

// Scope is what the user of a credential must have consented to, so that it opens what
// its kind is for (facts 5). Notifications of a vendor take alexa::ask:subscriptions too.
func Scope(kind fleet.CredentialKind) string {
	switch kind {
	case fleet.CredentialDeveloper:
		return "alexa::ask:skills:readwrite"
	case fleet.CredentialCustomer:
		return "alexa::skills:account_linking"
	case fleet.CredentialEnterprise:
	}
	return "alexa::enterprise:management"
}

// other reports whether the credential is another than the one of the account's
// homes, which is meant where no kind is named.
func other(kind fleet.CredentialKind) bool {
	return kind != "" && kind != fleet.CredentialEnterprise
}

func (e *UnauthorizedError) mend() string {
	if other(e.Kind) {
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
	Kind       fleet.CredentialKind // empty: enterprise
	Status     int                  // HTTP status, 0 where no answer came
	Code       string               // the OAuth error code, where the body had one
	RequestID  string               // X-Amzn-RequestId
	RetryAfter time.Duration        // 0 where none was asked for
	Err        error                // what lay behind it, without secrets
}

// Error says what the endpoint did and where to look.
func (e *TokenError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: get an access token from Login with Amazon", who(e.Account, e.Kind))
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
	if e.Status != 0 && e.Status < 500 && e.Status != http.StatusTooManyRequests {
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
