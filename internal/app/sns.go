package app

import (
	"os"

	"fleetd/internal/fleet"
	"fleetd/internal/notifications/sns"
)

// maxCAFile bounds what is read of --sns-ca-file, in bytes.
const maxCAFile = 1 << 20

func (c Config) validateSNS() error {
	switch {
	case c.SNSCertOrigin != "" && c.SNSCAFile == "":
		return fleet.Invalidf("--sns-ca-file", "it is missing: name the certificates that those of --sns-cert-origin %s must chain to", c.SNSCertOrigin)
	case c.SNSCAFile != "" && c.SNSCertOrigin == "":
		return fleet.Invalidf("--sns-cert-origin", "it is missing: name the address that the certificates of --sns-ca-file are for, such as http://127.0.0.1:8090")
	}
	return nil
}

// verifier makes the judge of event messages.
func (c Config) verifier() (*sns.Verifier, error) {
	if c.SNSCertOrigin == "" {
		return sns.NewVerifier(sns.Config{}) //nolint:wrapcheck // It has nothing to fail on.
	}
	info, err := os.Stat(c.SNSCAFile)
	if err != nil {
		return nil, &fleet.Error{Code: fleet.CodeInvalid, Field: "--sns-ca-file", Message: "it cannot be read", Err: err}
	}
	if !info.Mode().IsRegular() || info.Size() > maxCAFile {
		return nil, fleet.Invalidf("--sns-ca-file", "%s is no file of certificates: it is a folder, or larger than 1 MiB", c.SNSCAFile)
	}
	pem, err := os.ReadFile(c.SNSCAFile)
	if err != nil {
		return nil, &fleet.Error{Code: fleet.CodeInvalid, Field: "--sns-ca-file", Message: "it cannot be read", Err: err}
	}
	if len(pem) == 0 {
		return nil, fleet.Invalidf("--sns-ca-file", "%s is empty: it holds one certificate or more in PEM", c.SNSCAFile)
	}
	v, err := sns.NewVerifier(sns.Config{Origin: c.SNSCertOrigin, OriginCA: pem})
	if err != nil {
		return nil, &fleet.Error{Code: fleet.CodeInvalid, Message: err.Error()}
	}
	return v, nil
}
