package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecodeRolloutTakesUnitsOneByOne(t *testing.T) {
	t.Parallel()
	var got rolloutRequest

	err := decodeRollout(strings.NewReader(`{"unit_ids":["u1","u\u0032"],"account":"acme","waves":["10%"]}`), &got)

	require.NoError(t, err)
	require.Equal(t, rolloutRequest{Account: "acme", UnitIDs: []string{"u1", "u2"}, Guardrails: Guardrails{Waves: []string{"10%"}}}, got)
}

func TestDecodeRolloutRefuses(t *testing.T) {
	t.Parallel()
	for body, says := range map[string]string{
		``:                                 "ends too early",
		`[]`:                               "must be a JSON object",
		`"x"`:                              "must be a JSON object",
		`{`:                                "ends too early",
		`{"account":"a"} {}`:               "nothing after it",
		`{"account":"a"}x`:                 "nothing after it",
		`{"unit_ids":"u1"}`:                "unit_ids must be a list",
		`{"unit_ids":["u1",2]}`:            "unit_ids[1]",
		`{"unit_ids":["u1",["u2"]]}`:       "unit_ids[1]",
		`{"unit_ids":["u1"`:                "ends too early",
		`{"acount":"a"}`:                   `unknown field "acount"`,
		`{"canary":"many"}`:                "canary",
		`{"start_at":"tomorrow"}`:          "tomorrow",
		`{"reason":"` + long(2<<20) + `"}`: "too large beside",
	} {
		err := decodeRollout(strings.NewReader(body), &rolloutRequest{})
		require.ErrorContains(t, err, says, "%.60s", body)
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func TestAMillionUnitsAreHeldOnce(t *testing.T) {
	t.Parallel()
	const n = 300_000
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, `{"account":"acme","unit_ids":[""`)
		for i := 0; i < n && err == nil; i++ {
			_, err = fmt.Fprintf(w, `,"amzn1.alexa.unit.did.%0100d"`, i)
		}
		_, _ = io.WriteString(w, "]}")
		w.CloseWithError(err)
	}()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var got rolloutRequest

	require.NoError(t, decodeRollout(r, &got))

	runtime.ReadMemStats(&after)
	require.Len(t, got.UnitIDs, n+1)
	// The heap may have shrunk meanwhile, of what other tests held.
	const bytes = n * 150
	require.Less(t, int64(after.HeapSys)-int64(before.HeapSys), int64(4*bytes))
}

func FuzzDecodeRollout(f *testing.F) {
	for _, seed := range []string{
		`{"account":"a","unit_ids":["u1"],"canary":3}`, `{"unit_ids":null}`, `{"unit_ids":[]}`, `{"waves":["1"],"start_at":"2026-01-01T00:00:00Z"}`,
		`{"unit_ids":["\ud800"]}`, `{"UNIT_IDS":["u"]}`, `{"x":{"unit_ids":[1]}}`, `{"soak":null}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var streamed, whole rolloutRequest
		err := decodeRollout(strings.NewReader(body), &streamed)
		if err != nil {
			return
		}
		require.True(t, json.Valid([]byte(body)))
		if strings.Count(strings.ToLower(body), "unit_ids") > 1 || strings.Contains(body, `\u`) {
			return // the last of two wins here, and the two are merged there
		}
		require.NoError(t, unmarshal([]byte(body), &whole))
		if len(whole.UnitIDs) == 0 {
			whole.UnitIDs = streamed.UnitIDs
		}
		require.Equal(t, whole, streamed)
	})
}

// timeoutError is what a connection says after its deadline.
type timeoutError struct{ error }

func (timeoutError) Timeout() bool { return true }

func TestDecodeRolloutKeepsWhatTheConnectionSaid(t *testing.T) {
	t.Parallel()
	lost := timeoutError{errors.New("i/o timeout")}

	err := decodeRollout(io.MultiReader(strings.NewReader(`{"account":`), failing{lost}), &rolloutRequest{})

	var timeout interface{ Timeout() bool }
	require.ErrorAs(t, err, &timeout)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
