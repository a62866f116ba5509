package sns

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A host that takes the request and never answers costs fetchTimeout, whether the
// header or the body is what does not come.
func TestFetchEndsInTime(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]transportFunc{
		"no answer": func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		},
		"half an answer": func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: &hangingBody{req: req}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				v, err := NewVerifier(Config{Transport: hang})
				require.NoError(t, err)
				d := signed(t, notification().with("Timestamp", time.Now().UTC().Format(time.RFC3339Nano)))
				begun := time.Now()
				_, err = v.Verify(t.Context(), d)
				requireRefused(t, err, ReasonUnavailable, 503)
				require.Equal(t, fetchTimeout, time.Since(begun))

				begun = time.Now()
				err = v.Confirm(t.Context(), Message{Type: SubscriptionConfirmation, TopicARN: topic, Token: token, SubscribeURL: subscribeURL()})
				requireRefused(t, err, ReasonConfirm, 503)
				require.Equal(t, fetchTimeout, time.Since(begun))
			})
		})
	}
}

type hangingBody struct{ req *http.Request }

func (b *hangingBody) Read([]byte) (int, error) {
	<-b.req.Context().Done()
	return 0, b.req.Context().Err()
}

func (b *hangingBody) Close() error { return nil }

// endlessBody counts what is read of it, and ends long after it should matter.
type endlessBody struct{ read int }

func (b *endlessBody) Read(p []byte) (int, error) {
	if b.read += len(p); b.read > 16*maxAnswer {
		return 0, io.EOF
	}
	return len(p), nil
}

func (b *endlessBody) Close() error { return nil }

// Of an answer without an end no more is held than an answer may have.
func TestFetchReadsNoEndlessAnswer(t *testing.T) {
	t.Parallel()
	body := &endlessBody{}
	w := newWorld(t)
	w.net.serve(certURL, func() (*http.Response, error) { return &http.Response{StatusCode: http.StatusOK, Body: body}, nil })

	_, err := w.verifier.Verify(t.Context(), signed(t, notification()))

	requireRefused(t, err, ReasonCertificate, 403)
	require.LessOrEqual(t, body.read, 2*maxAnswer)
}

// The transport that is used where none is named, over a connection.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	own := newAuthority(t, "Simulator", nil)
	file := inPEM(own.leaf(t, &leafKey().PublicKey, nil))
	var asked []string
	mux := http.NewServeMux()
	mux.HandleFunc("/_sim/sns/leaf.pem", func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.RequestURI)
		_, _ = w.Write(file)
	})
	mux.HandleFunc("/moved.pem", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/_sim/sns/leaf.pem", http.StatusFound)
	})
	mux.HandleFunc("/large.pem", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(string(file) + strings.Repeat("\n", maxAnswer)))
	})
	mux.HandleFunc("/_sim/sns/confirm", func(_ http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.RequestURI)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	v, err := NewVerifier(Config{Origin: server.URL, OriginCA: inPEM(own.cert), Now: func() time.Time { return noon }})
	require.NoError(t, err)

	l := confirmation(SubscriptionConfirmation).with("SigningCertURL", server.URL+"/_sim/sns/leaf.pem").with("SubscribeURL", server.URL+"/_sim/sns/confirm?Token="+token)
	m, err := v.Verify(t.Context(), signed(t, l))
	require.NoError(t, err)
	require.NoError(t, v.Confirm(t.Context(), m))
	require.Equal(t, []string{"GET /_sim/sns/leaf.pem", "GET /_sim/sns/confirm?Token=" + token}, asked)

	for _, path := range []string{"/moved.pem", "/large.pem", "/gone.pem"} {
		_, err = v.Verify(t.Context(), signed(t, notification().with("SigningCertURL", server.URL+path)))
		requireRefused(t, err, ReasonCertificate, 403)
	}
	server.Close()
	_, err = v.Verify(t.Context(), signed(t, notification().with("SigningCertURL", server.URL+"/new.pem")))
	requireRefused(t, err, ReasonUnavailable, 503)
}
