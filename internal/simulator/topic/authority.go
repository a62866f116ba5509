package topic

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// signerName is the DNS name in the certificates that sign messages of SNS.
const signerName = "sns.amazonaws.com"

// authority issues the certificates of signers: a root that verifiers are to
// trust, and an intermediate, as Amazon has one. It is made when first needed,
// because RSA keys take time.
type authority struct {
	root, issuer *issuer
	serial       int64
}

type issuer struct {
	certificate *x509.Certificate
	key         *rsa.PrivateKey
}

// signer is a leaf certificate with its key and what its URL answers.
type signer struct {
	key *rsa.PrivateKey
	pem []byte // leaf, then intermediate
	n   int    // in its URL
}

func newAuthority(name string, now time.Time) *authority {
	a := &authority{}
	a.root = a.issue(nil, caTemplate(name+" Root CA", now, 1))
	a.issuer = a.issue(a.root, caTemplate(name+" RSA 2048 M01", now, 0))
	return a
}

func caTemplate(name string, now time.Time, paths int) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"fleetsim"}, CommonName: name},
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: paths, MaxPathLenZero: paths == 0,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// issue makes a key and a certificate for it; by is nil for one that signs itself.
func (a *authority) issue(by *issuer, template *x509.Certificate) *issuer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil { // Only where the system has no random numbers.
		panic(fmt.Sprintf("topic: make a key: %v", err))
	}
	a.serial++
	template.SerialNumber = big.NewInt(a.serial)
	if by == nil {
		by = &issuer{certificate: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil { // The templates are this file's.
		panic(fmt.Sprintf("topic: issue a certificate: %v", err))
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(fmt.Sprintf("topic: read a certificate: %v", err))
	}
	return &issuer{certificate: certificate, key: key}
}

// signer issues the leaf for a DNS name, good from and until the given times.
func (a *authority) signer(name string, from, until time.Time, n int) *signer {
	leaf := a.issue(a.issuer, &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		DNSNames:  []string{name},
		NotBefore: from, NotAfter: until,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return &signer{key: leaf.key, pem: append(encode(leaf.certificate), encode(a.issuer.certificate)...), n: n}
}

func encode(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
