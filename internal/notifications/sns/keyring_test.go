package sns

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCertificateIsFetchedOnceForAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := w.net.pages[certURL]
	asked, release := make(chan struct{}), make(chan struct{})
	w.net.serve(certURL, func() (*http.Response, error) {
		close(asked) // a second request would panic
		<-release
		return page()
	})
	d := signed(t, notification())
	var wg sync.WaitGroup
	failures := make(chan error, 20)
	for range cap(failures) {
		wg.Go(func() {
			_, err := w.verifier.Verify(t.Context(), d)
			failures <- err
		})
	}
	<-asked
	close(release)
	wg.Wait()
	for range cap(failures) {
		require.NoError(t, <-failures)
	}
	require.Len(t, w.net.log(), 1)
}

func TestCertificateIsKeptUntilItEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.MaxAge = 10 * 365 * 24 * time.Hour })
	d := signed(t, notification())
	for range 3 {
		_, err := w.verifier.Verify(t.Context(), d)
		require.NoError(t, err)
	}
	require.Len(t, w.net.log(), 1)
	w.sleep(366 * 24 * time.Hour)
	_, err := w.verifier.Verify(t.Context(), d)
	requireRefused(t, err, ReasonCertificate, 403)
	require.Len(t, w.net.log(), 2)
}

// A chain ends with the first of its certificates that does.
func TestCertificateIsKeptUntilItsIssuerEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	issuer := &authority{key: key, cert: w.root.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Issuer that ends"}, SerialNumber: big.NewInt(3), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(0, 0, 10),
	}, &key.PublicKey)}
	w.net.serveBytes(certURL, inPEM(issuer.leaf(t, &leafKey().PublicKey, nil), issuer.cert))
	verify := func() error {
		_, err := w.verifier.Verify(t.Context(), signed(t, notification().with("Timestamp", w.clock().Format(time.RFC3339))))
		return err
	}
	require.NoError(t, verify())
	w.sleep(10 * 24 * time.Hour)
	require.NoError(t, verify())
	require.Len(t, w.net.log(), 1)
	w.sleep(time.Second)
	requireRefused(t, verify(), ReasonCertificate, 403)
	require.Len(t, w.net.log(), 2)
}

// Who asked first and went away does not take the certificate from those who wait.
func TestFetchOutlivesWhoAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		page := w.net.pages[certURL]
		release := make(chan struct{})
		w.net.serve(certURL, func() (*http.Response, error) {
			<-release
			return page()
		})
		d := signed(t, notification())
		verify := func(ctx context.Context) <-chan error {
			ended := make(chan error, 1)
			go func() {
				_, err := w.verifier.Verify(ctx, d)
				ended <- err
			}()
			synctest.Wait()
			return ended
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := verify(ctx)
		second := verify(t.Context())
		cancel()
		require.ErrorIs(t, <-first, context.Canceled)
		close(release)
		require.NoError(t, <-second)
		require.Len(t, w.net.log(), 1)
	})
}

func TestFailureIsRememberedForAWhile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		page   func() (*http.Response, error)
		reason Reason
		hold   time.Duration
	}{
		"for good": {func() (*http.Response, error) { return answer(404, "", nil), nil }, ReasonCertificate, badFor},
		"passing":  {func() (*http.Response, error) { return nil, errors.New("reset") }, ReasonUnavailable, failedFor},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, d := newWorld(t), signed(t, notification())
			good := w.net.pages[certURL]
			w.net.serve(certURL, c.page)
			for range 3 {
				_, err := w.verifier.Verify(t.Context(), d)
				requireRefused(t, err, c.reason, c.reason.Status())
			}
			require.Len(t, w.net.log(), 1)
			w.net.serve(certURL, good)
			w.sleep(c.hold)
			_, err := w.verifier.Verify(t.Context(), d)
			require.NoError(t, err)
		})
	}
}

// A flood of forged messages, each with an address of its own, costs no more fetches
// than the budget, keeps nothing without bound, and does not hold up the genuine
// ones whose certificate is known.
func TestFloodOfAddressesIsBounded(t *testing.T) {
	t.Parallel()
	w, genuine := newWorld(t), signed(t, notification())
	_, err := w.verifier.Verify(t.Context(), genuine)
	require.NoError(t, err)

	n := 0
	flood := func() {
		for range 1000 {
			n++
			url := fmt.Sprintf("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-%032d.pem", n)
			_, err := w.verifier.Verify(t.Context(), notification().with("SigningCertURL", url).with("Signature", forged).deliver(t))
			require.Error(t, err)
		}
	}
	flood()
	require.Len(t, w.net.log(), fetchBurst)
	_, err = w.verifier.Verify(t.Context(), notification().with("SigningCertURL", "https://sns.us-east-1.amazonaws.com/new.pem").with("Signature", forged).deliver(t))
	requireRefused(t, err, ReasonUnavailable, 503)
	for range 300 {
		w.sleep(time.Hour)
		n++
		url := fmt.Sprintf("https://sns.us-east-1.amazonaws.com/%d.pem", n)
		l := notification().with("SigningCertURL", url).with("Signature", forged)
		_, err := w.verifier.Verify(t.Context(), l.with("Timestamp", w.clock().Format(time.RFC3339)).deliver(t))
		requireRefused(t, err, ReasonCertificate, 403)
	}
	before := len(w.net.log())
	w.sleep(30 * time.Second)
	for i := range 100 {
		l := notification().with("SigningCertURL", fmt.Sprintf("https://sns.us-east-1.amazonaws.com/x%d.pem", i)).with("Signature", forged)
		_, err := w.verifier.Verify(t.Context(), l.with("Timestamp", w.clock().Format(time.RFC3339)).deliver(t))
		require.Error(t, err)
	}
	require.LessOrEqual(t, len(w.net.log())-before, fetchBurst)
	require.LessOrEqual(t, len(w.verifier.keys.bad), maxBad)

	_, err = w.verifier.Verify(t.Context(), signed(t, notification().with("Timestamp", w.clock().Format(time.RFC3339))))
	require.NoError(t, err)
}

func TestTrimTakesOutWhatEndsFirst(t *testing.T) {
	t.Parallel()
	m := map[string]time.Time{}
	for i := range 10 {
		m[fmt.Sprint(i)] = noon.Add(time.Duration(i) * time.Second)
	}
	trim(m, 3, func(at time.Time) time.Time { return at })
	require.Equal(t, map[string]time.Time{"7": noon.Add(7 * time.Second), "8": noon.Add(8 * time.Second), "9": noon.Add(9 * time.Second)}, m)
}
