package sns

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func named(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

// What is served at the SigningCertURL, and what comes of a message that it signed.
func TestCertificate(t *testing.T) {
	t.Parallel()
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	// file is the leaf as changed, with its issuer.
	file := func(key crypto.PublicKey, change func(*x509.Certificate)) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			t.Helper()
			w.net.serveBytes(certURL, inPEM(w.issuer.leaf(t, key, change), w.issuer.cert))
		}
	}
	page := func(p func() (*http.Response, error)) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) { w.net.serve(certURL, p) }
	}
	status := func(status int) func(*testing.T, *world) {
		return page(func() (*http.Response, error) { return answer(status, "x", nil), nil })
	}
	// alone is the leaf without its issuer, which it says is at urls.
	alone := func(issuer func() (*http.Response, error), urls ...string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			t.Helper()
			leaf := w.issuer.leaf(t, &leafKey().PublicKey, func(c *x509.Certificate) { c.IssuingCertificateURL = urls })
			w.net.serveBytes(certURL, inPEM(leaf))
			if issuer == nil {
				issuer = func() (*http.Response, error) { return answer(http.StatusOK, string(w.issuer.cert.Raw), nil), nil }
			}
			w.net.serve(aiaURL, issuer)
		}
	}
	public := &leafKey().PublicKey
	const taken = Reason("")
	for name, c := range map[string]struct {
		serve   func(*testing.T, *world)
		reason  Reason
		fetches int
	}{
		"genuine":                           {file(public, nil), taken, 1},
		"without purposes":                  {file(public, func(c *x509.Certificate) { c.ExtKeyUsage, c.KeyUsage = nil, 0 }), taken, 1},
		"expired":                           {file(public, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }), ReasonCertificate, 1},
		"not yet valid":                     {file(public, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }), ReasonCertificate, 1},
		"for another DNS name":              {file(public, named("sns.example.com")), ReasonCertificate, 1},
		"for another service":               {file(public, named("sqs.amazonaws.com")), ReasonCertificate, 1},
		"for a name below":                  {file(public, named("a.sns.amazonaws.com")), ReasonCertificate, 1},
		"for a wildcard":                    {file(public, named("*.amazonaws.com")), ReasonCertificate, 1},
		"for the name of another region":    {file(public, named("sns-signing.eu-south-1.amazonaws.com")), ReasonCertificate, 1},
		"for the region's own name":         {file(public, named("sns-signing.us-east-1.amazonaws.com")), taken, 1},
		"for no DNS name but a common one":  {file(public, named()), ReasonCertificate, 1},
		"for another purpose":               {file(public, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), ReasonCertificate, 1},
		"a key not for signatures":          {file(public, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), ReasonCertificate, 1},
		"an authority's own":                {file(public, func(c *x509.Certificate) { c.IsCA = true }), ReasonCertificate, 1},
		"an ECDSA key":                      {file(&ecKey.PublicKey, nil), ReasonCertificate, 1},
		"an Ed25519 key":                    {file(edKey, nil), ReasonCertificate, 1},
		"a small key":                       {file(&small.PublicKey, nil), ReasonCertificate, 1},
		"missing intermediate, without AIA": {alone(nil), ReasonCertificate, 1},
		"missing intermediate, with AIA":    {alone(nil, aiaURL), taken, 2},
		"AIA elsewhere":                     {alone(nil, "http://evil.test/r2m01.cer"), ReasonCertificate, 1},
		"AIA at a look-alike":               {alone(nil, "http://crt.amazontrust.com.evil.test/r2m01.cer", "http://evilamazontrust.com/r2m01.cer"), ReasonCertificate, 1},
		"AIA inside":                        {alone(nil, "http://169.254.169.254/latest.cer", "file:///etc/passwd.cer", "ldap://crt.amazontrust.com/r2m01.cer"), ReasonCertificate, 1},
		"AIA of another kind of file":       {alone(nil, "http://crt.r2m01.amazontrust.com/r2m01.exe", "http://crt.r2m01.amazontrust.com/a/../r2m01.cer"), ReasonCertificate, 1},
		"AIA elsewhere and at Amazon":       {alone(nil, "http://evil.test/r2m01.cer", aiaURL), taken, 2},
		"AIA down":                          {alone(func() (*http.Response, error) { return nil, errors.New("connection refused") }, aiaURL), ReasonUnavailable, 2},
		"AIA gone":                          {alone(func() (*http.Response, error) { return answer(404, "", nil), nil }, aiaURL), ReasonCertificate, 2},
		"AIA that is no certificate":        {alone(func() (*http.Response, error) { return answer(200, "x", nil), nil }, aiaURL), ReasonCertificate, 2},
		"no such file":                      {status(http.StatusNotFound), ReasonCertificate, 1},
		"forbidden":                         {status(http.StatusForbidden), ReasonCertificate, 1},
		"no content":                        {status(http.StatusNoContent), ReasonCertificate, 1},
		"overload":                          {status(http.StatusServiceUnavailable), ReasonUnavailable, 1},
		"throttled":                         {status(http.StatusTooManyRequests), ReasonUnavailable, 1},
		"network down":                      {page(func() (*http.Response, error) { return nil, errors.New("no such host") }), ReasonUnavailable, 1},
		"not a certificate":                 {status(http.StatusOK), ReasonCertificate, 1},
		"larger than 64 KiB": {func(t *testing.T, w *world) {
			t.Helper()
			file := inPEM(w.issuer.leaf(t, public, nil), w.issuer.cert)
			w.net.serveBytes(certURL, append(file, make([]byte, maxAnswer)...))
		}, ReasonCertificate, 1},
		"redirect to another host": {page(func() (*http.Response, error) {
			return answer(http.StatusFound, "", http.Header{"Location": {"https://evil.test/a.pem"}}), nil
		}), ReasonCertificate, 1},
		"leaf of another CA": {func(t *testing.T, w *world) {
			t.Helper()
			root := newAuthority(t, "Root", nil)
			issuer := newAuthority(t, "Issuer", root)
			w.net.serveBytes(certURL, inPEM(issuer.leaf(t, public, nil), issuer.cert, root.cert))
		}, ReasonCertificate, 1},
		"leaf of another CA, with AIA": {func(t *testing.T, w *world) {
			t.Helper()
			issuer := newAuthority(t, "Issuer", newAuthority(t, "Root", nil))
			w.net.serveBytes(aiaURL, issuer.cert.Raw)
			w.net.serveBytes(certURL, inPEM(issuer.leaf(t, public, func(c *x509.Certificate) { c.IssuingCertificateURL = []string{aiaURL} })))
		}, ReasonCertificate, 2},
		"self-signed": {func(t *testing.T, w *world) {
			t.Helper()
			self := newAuthority(t, leafName, nil)
			w.net.serveBytes(certURL, inPEM(self.leaf(t, public, nil)))
		}, ReasonCertificate, 1},
		"issued by a leaf": {func(t *testing.T, w *world) {
			t.Helper()
			middle := &authority{cert: w.issuer.leaf(t, &ecKey.PublicKey, nil), key: ecKey}
			w.net.serveBytes(certURL, inPEM(middle.leaf(t, public, nil), middle.cert, w.issuer.cert))
		}, ReasonCertificate, 1},
		"with a private key beside it": {func(t *testing.T, w *world) {
			t.Helper()
			w.net.serveBytes(certURL, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"+string(inPEM(w.issuer.leaf(t, public, nil), w.issuer.cert))))
		}, ReasonCertificate, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.serve(t, w)
			_, err := w.verifier.Verify(t.Context(), signed(t, notification()))
			if c.reason == taken {
				require.NoError(t, err)
			} else {
				requireRefused(t, err, c.reason, c.reason.Status())
			}
			require.Len(t, w.net.log(), c.fetches)
		})
	}
}

// The origin of --sns-cert-origin has its own authority, and neither vouches for the other.
func TestOriginHasItsOwnAuthority(t *testing.T) {
	t.Parallel()
	const origin, url = "http://127.0.0.1:8090", "http://127.0.0.1:8090/_sim/sns/SimpleNotificationService-1.pem"
	own := newAuthority(t, "Simulator", nil)
	w := newWorld(t, func(c *Config) { c.Origin, c.OriginCA = origin, inPEM(own.cert) })
	ownLeaf, amazonLeaf := own.leaf(t, &leafKey().PublicKey, nil), w.issuer.leaf(t, &leafKey().PublicKey, nil)
	const far = "https://sns.us-east-1.amazonaws.com/forged.pem"
	w.net.serveBytes(url, inPEM(ownLeaf))
	w.net.serveBytes(far, inPEM(ownLeaf))
	w.net.serveBytes(origin+"/amazon.pem", inPEM(amazonLeaf, w.issuer.cert))
	const lone = "https://sns.us-east-1.amazonaws.com/lone.pem"
	w.net.serveBytes(lone, inPEM(w.issuer.leaf(t, &leafKey().PublicKey, func(c *x509.Certificate) {
		c.IssuingCertificateURL = []string{origin + "/issuer.pem"}
	})))
	w.net.serveBytes(origin+"/issuer.pem", inPEM(w.issuer.cert))

	_, err := w.verifier.Verify(t.Context(), signed(t, notification().with("SigningCertURL", url)))
	require.NoError(t, err)
	_, err = w.verifier.Verify(t.Context(), signed(t, notification()))
	require.NoError(t, err)
	_, err = w.verifier.Verify(t.Context(), signed(t, notification().with("SigningCertURL", far)))
	requireRefused(t, err, ReasonCertificate, 403)
	_, err = w.verifier.Verify(t.Context(), signed(t, notification().with("SigningCertURL", origin+"/amazon.pem")))
	requireRefused(t, err, ReasonCertificate, 403)
	_, err = w.verifier.Verify(t.Context(), signed(t, notification().with("SigningCertURL", lone)))
	requireRefused(t, err, ReasonCertificate, 403)
	require.NotContains(t, w.net.log(), origin+"/issuer.pem", "nor is it asked for what Amazon's certificates lack")
	for _, other := range []string{"http://127.0.0.1:8091/a.pem", "https://127.0.0.1:8090/a.pem", "http://127.0.0.1:8090.evil.test/a.pem", origin + "/../a.pem", origin + "/a.pem?b"} {
		_, err = w.verifier.Verify(t.Context(), signed(t, notification().with("SigningCertURL", other)))
		requireRefused(t, err, ReasonCertificateURL, 400)
	}
	_, err = newWorld(t).verifier.Verify(t.Context(), signed(t, notification().with("SigningCertURL", url)))
	requireRefused(t, err, ReasonCertificateURL, 400)
}
