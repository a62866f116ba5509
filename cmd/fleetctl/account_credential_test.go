package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const developerFlags = "account credential set acme --kind developer --client-id id --vendor-id M2"

func TestCredentialSetSendsSecretsFromFiles(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{
		"PUT /accounts/acme/credentials/developer":  {ok(t, "credential")},
		"PUT /accounts/acme/credentials/enterprise": {ok(t, "credential")},
	})
	c := newConsole(t, f)
	c.stdin = strings.NewReader("s3cret\r\n")
	args := append(strings.Fields(developerFlags), "--client-secret-file", "-", "--refresh-token-file", file(t, "refresh\n"), "--rate", "auto", "--burst", "3", "--reason", "why")
	require.Equal(t, exitDone, c.do(t, args...), c.err)
	require.Equal(t, "developer credential of account acme set\n", c.out.String())
	require.NotContains(t, c.out.String()+c.err.String(), "s3cret")
	require.JSONEq(t, `{"client_id":"id","client_secret":"s3cret","refresh_token":"refresh","vendor_id":"M2","rate":"auto","burst":3,"reason":"why"}`, f.last().body)

	fleetctl(t, f, exitDone, "account", "credential", "set", "acme", "--kind", "enterprise", "--client-id", "id",
		"--client-secret-file", file(t, "s"), "--refresh-token-file", file(t, "r"))
	require.JSONEq(t, `{"client_id":"id","client_secret":"s","refresh_token":"r"}`, f.last().body, "a budget that is not named stays")
}

func TestCredentialSetReadsNoSecretWhenTheFileIsNotRight(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	c := newConsole(t, f)
	c.stdin = strings.NewReader("canary")
	args := strings.Fields(developerFlags)
	require.Equal(t, exitUsage, c.do(t, append(args, "--client-secret-file", "-", "--refresh-token-file", "-")...))
	require.Contains(t, c.err.String(), "cannot both read stdin")
	_, stderr := fleetctl(t, f, exitError, append(args, "--client-secret-file", file(t, "canary\ncanary"), "--refresh-token-file", "-")...)
	require.Contains(t, stderr, "more than one line")
	require.NotContains(t, c.err.String()+stderr, "canary")
	require.Empty(t, f.seen())
}

func TestCredentialListOfAKind(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /accounts/acme/credentials": {{status: http.StatusOK, body: `{"items":[],"next_cursor":""}`}}})
	stdout, stderr := fleetctl(t, f, exitDone, "account", "credential", "list", "acme", "--kind", "customer")
	require.Empty(t, stdout)
	require.Contains(t, stderr, "fleetctl account credential set acme --kind customer")
	require.Equal(t, "kind=customer", f.last().query)
}

func TestCredentialDeleteAsksOnATerminalOnly(t *testing.T) {
	t.Parallel()
	gone := reply{next: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }}
	for name, tt := range map[string]struct {
		typed string
		tty   bool
		args  []string
		code  int
	}{
		"no":           {"n\n", true, nil, exitError},
		"yes":          {"y\n", true, nil, exitDone},
		"--yes":        {"", true, []string{"--yes"}, exitDone},
		"off terminal": {"", false, []string{"--reason", "left"}, exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]reply{"DELETE /accounts/acme/credentials/developer": {gone}})
			c := newConsole(t, f)
			if tt.tty {
				c.onTerminal(tt.typed)
			}
			require.Equal(t, tt.code, c.do(t, append(strings.Fields("account credential delete acme --kind developer"), tt.args...)...))
			require.Equal(t, tt.typed != "", strings.Contains(c.err.String(), "Delete the developer credential of account acme? [y/N]"))
			if tt.code != exitDone {
				require.Empty(t, f.seen())
				return
			}
			require.Equal(t, "developer credential of account acme deleted\n", c.out.String())
			require.Equal(t, name == "off terminal", f.last().query == "reason=left")
		})
	}
}
