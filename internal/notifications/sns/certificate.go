package sns

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"time"
)

// The sizes of keys that are taken, in bits. SNS's have 2048.
const (
	minKeyBits = 2048
	maxKeyBits = 8192
)

// maxChain is how many certificates a file may hold.
const maxChain = 8

// signer is a certificate that was found good.
type signer struct {
	key       *rsa.PublicKey
	notBefore time.Time
	notAfter  time.Time // of the chain's certificate that ends first
}

// load fetches a certificate, and its issuer where the file does not hold it, and
// checks that it is one of SNS. Errors are *Refusal.
func (v *Verifier) load(ctx context.Context, p place) (signer, error) {
	body, err := v.get(ctx, p.url)
	if err != nil {
		return signer{}, failed(err, "the certificate cannot be fetched")
	}
	chain, err := parsePEM(body)
	if err != nil {
		return signer{}, refuseFor(ReasonCertificate, "there is no certificate at the SigningCertURL", err)
	}
	leaf := chain[0]
	key, err := usable(leaf, p.leaves)
	if err != nil {
		return signer{}, refuseFor(ReasonCertificate, "the certificate is not one that SNS signs with", err)
	}
	verified, err := v.chains(p, leaf, chain[1:])
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		issuer, refusal := v.issuer(ctx, p, leaf)
		if refusal != nil {
			return signer{}, refusal
		}
		verified, err = v.chains(p, leaf, append(chain[1:], issuer))
	}
	if err != nil {
		return signer{}, refuseFor(ReasonCertificate, "the certificate cannot be trusted", err)
	}
	return signer{key: key, notBefore: leaf.NotBefore, notAfter: end(verified)}, nil
}

// failed is the refusal of a message whose certificate could not be fetched.
func failed(err error, detail string) *Refusal {
	var fetch *fetchError
	if errors.As(err, &fetch) && fetch.passing() {
		return refuseFor(ReasonUnavailable, detail, err)
	}
	return refuseFor(ReasonCertificate, detail, err)
}

// parsePEM reads a file of certificates, the leaf first.
func parsePEM(data []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for len(chain) < maxChain {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("the file holds something else than certificates")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("the file holds no certificate in PEM")
	}
	return chain, nil
}

// usable returns the key of a leaf that is made out to SNS by name: a wildcard is
// not. Whether it can be trusted is another question.
func usable(leaf *x509.Certificate, names []string) (*rsa.PublicKey, error) {
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	switch {
	case !slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return slices.Contains(names, n) }):
		return nil, errors.New("it is made out to another name than that of SNS")
	case leaf.IsCA:
		return nil, errors.New("it is that of an authority")
	case !ok || key.N.BitLen() < minKeyBits || key.N.BitLen() > maxKeyBits:
		return nil, errors.New("its key is not an RSA key of a usual size")
	case leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, errors.New("its key is not for signatures")
	}
	return key, nil
}

// chains verifies the leaf against the roots that count at its place. The error may
// be an x509.UnknownAuthorityError: the issuer is missing, or is no authority here.
func (v *Verifier) chains(p place, leaf *x509.Certificate, others []*x509.Certificate) ([][]*x509.Certificate, error) {
	opts := x509.VerifyOptions{
		Intermediates: x509.NewCertPool(),
		CurrentTime:   v.now(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, // what SNS's certificates are issued for
		Roots:         v.roots,
	}
	if p.own {
		opts.Roots = v.originCA
	}
	for _, c := range others {
		opts.Intermediates.AddCert(c)
	}
	return leaf.Verify(opts)
}

// issuer fetches the certificate that signed the leaf, from where the leaf says it
// is: SNS's files hold the leaf alone, and system roots hold no intermediates.
func (v *Verifier) issuer(ctx context.Context, p place, leaf *x509.Certificate) (*x509.Certificate, *Refusal) {
	i := slices.IndexFunc(leaf.IssuingCertificateURL, func(url string) bool { return v.issuerPlace(p, url) == nil })
	if i < 0 {
		return nil, refuse(ReasonCertificate, "the certificate's issuer is not known, and it names no place of Amazon's where it is")
	}
	body, err := v.get(ctx, leaf.IssuingCertificateURL[i])
	if err != nil {
		return nil, failed(err, "the certificate of its issuer cannot be fetched")
	}
	if c, err := x509.ParseCertificate(body); err == nil {
		return c, nil
	}
	chain, err := parsePEM(body)
	if err != nil {
		return nil, refuseFor(ReasonCertificate, "the certificate's issuer cannot be read", err)
	}
	return chain[0], nil
}

// end is when the chain that lasts longest ends.
func end(chains [][]*x509.Certificate) time.Time {
	var last time.Time
	for _, chain := range chains {
		first := chain[0].NotAfter
		for _, c := range chain {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(last) {
			last = first
		}
	}
	return last
}
