package server

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// deadlines is a ResponseWriter that remembers the deadlines it was given.
type deadlines struct {
	*httptest.ResponseRecorder

	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = append(d.write, t)
	return nil
}

func bareServer(log io.Writer) *server {
	return &server{cfg: Config{Logger: slog.New(slog.NewJSONHandler(log, nil)), Now: time.Now}}
}

func TestAReadMayStallButAHandlerMayLast(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /x", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		_, err = w.Write([]byte("ok"))
		require.NoError(t, err)
	})
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	start := time.Now()

	bareServer(io.Discard).outer(mux).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", strings.NewReader("body")))

	require.NotEmpty(t, w.read)
	require.WithinRange(t, w.read[0], start.Add(stallTimeout), time.Now().Add(stallTimeout))
	require.Zero(t, w.read[len(w.read)-1], "no deadline is left behind to end the handler's context")
	require.Len(t, w.write, 1)
	require.Equal(t, "ok", w.Body.String())
}

func TestAPanicIsAProblem(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /x", func(http.ResponseWriter, *http.Request) { panic("secret of the handler") })
	mux.HandleFunc("GET /abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	var log bytes.Buffer
	w := httptest.NewRecorder()

	bareServer(&log).outer(mux).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil))

	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Equal(t, problemType, w.Header().Get("Content-Type"))
	require.NotContains(t, w.Body.String(), "secret of the handler")
	require.Contains(t, log.String(), "secret of the handler")
	require.Contains(t, w.Body.String(), w.Header().Get("X-Request-Id"))

	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
		bareServer(io.Discard).outer(mux).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/abort", nil))
	})
}

func TestWhatIsNotForPeopleStaysInTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := bareServer(&log)

	p := s.failed(t.Context(), "getAccount", errors.New("pq: password of 10.0.0.1"))

	require.Equal(t, http.StatusInternalServerError, p.Status)
	require.Equal(t, internalDetail, p.Detail)
	require.Contains(t, log.String(), "10.0.0.1")
}

func TestNewRefusesAConfigurationWithHoles(t *testing.T) {
	t.Parallel()

	_, err := New(Config{})

	require.ErrorContains(t, err, "missing")
}
