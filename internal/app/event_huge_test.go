package app_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A sender that reads no answer before it has said all is refused with one all the
// same: where it is cut off, it takes that for none, and sends again.
func TestWhatIsRefusedEarlyIsAnsweredInTheEnd(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	host := strings.TrimPrefix(s.app.URL(), "http://")
	huge := bytes.Repeat([]byte("x"), 5<<20)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /hooks/sns/acme HTTP/1.1\r\nHost: %s\r\nX-Amz-Sns-Topic-Arn: %s-of-others\r\nContent-Length: %d\r\n\r\n", host, eventTopic, len(huge))
	require.NoError(t, err)
	_, err = conn.Write(huge)
	require.NoError(t, err)

	res, err := http.ReadResponse(bufio.NewReader(conn), nil)

	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	require.Equal(t, "1", s.messages("wrong_topic"))
}
