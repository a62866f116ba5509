package sns

import "net/http"

// Reason says why a delivery was refused. The set is closed: it is the result label
// of fleet_hook_messages_total.
type Reason string

// The reasons.
const (
	ReasonTooLarge         Reason = "too_large"               // the body is larger than MaxBody
	ReasonContentType      Reason = "content_type"            // neither text/plain nor application/json
	ReasonMalformed        Reason = "malformed"               // not an SNS message
	ReasonHeaderMismatch   Reason = "header_mismatch"         // a header says otherwise than the body
	ReasonUnknownType      Reason = "unknown_type"            // a message type that SNS does not document
	ReasonRaw              Reason = "raw"                     // raw delivery where it is not allowed
	ReasonWrongTopic       Reason = "wrong_topic"             // a topic that was not asked for
	ReasonSignatureVersion Reason = "signature_version"       // SHA-1 (version 1), or a version that is not known
	ReasonTooOld           Reason = "too_old"                 // older than MaxAge
	ReasonFuture           Reason = "future"                  // further ahead than MaxSkew
	ReasonCertificateURL   Reason = "certificate_url"         // the certificate is not at a host of SNS
	ReasonSubscribeURL     Reason = "subscribe_url"           // the confirmation is not at a host of SNS
	ReasonCertificate      Reason = "certificate"             // the certificate is not one of SNS, or not valid now
	ReasonSignature        Reason = "signature"               // the signature is not that of the message
	ReasonUnavailable      Reason = "certificate_unavailable" // no certificate could be had for now
	ReasonConfirm          Reason = "confirm"                 // SNS did not take the confirmation
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{
		ReasonTooLarge, ReasonContentType, ReasonMalformed, ReasonHeaderMismatch, ReasonUnknownType, ReasonRaw, ReasonWrongTopic,
		ReasonSignatureVersion, ReasonTooOld, ReasonFuture, ReasonCertificateURL, ReasonSubscribeURL, ReasonCertificate,
		ReasonSignature, ReasonUnavailable, ReasonConfirm,
	}
}

// Status is the HTTP status that a reason is answered with. SNS gives up on a
// message that is answered with a 4xx and sends it again after a 5xx, so what may
// pass is a 503: it says nothing about the message.
func (r Reason) Status() int {
	switch r {
	case ReasonTooLarge:
		return http.StatusRequestEntityTooLarge
	case ReasonContentType:
		return http.StatusUnsupportedMediaType
	case ReasonMalformed, ReasonHeaderMismatch, ReasonUnknownType, ReasonSignatureVersion, ReasonTooOld, ReasonFuture,
		ReasonCertificateURL, ReasonSubscribeURL:
		return http.StatusBadRequest
	case ReasonRaw, ReasonWrongTopic, ReasonCertificate, ReasonSignature:
		return http.StatusForbidden
	case ReasonUnavailable, ReasonConfirm:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// Refusal is a delivery that is not taken. Nothing of it may be acted on.
//
//nolint:errname // the word of the field, and of the metric's result label
type Refusal struct {
	Reason Reason
	Status int    // the HTTP status to answer with, Reason.Status
	Detail string // a sentence on what is wrong and, where it can be, how to mend it; holds no text of the sender
	Err    error  // what lay behind it, for logs: nil, or a failure to fetch or to verify a certificate
}

func refuse(reason Reason, detail string) *Refusal {
	return &Refusal{Reason: reason, Status: reason.Status(), Detail: detail}
}

func refuseFor(reason Reason, detail string, err error) *Refusal {
	return &Refusal{Reason: reason, Status: reason.Status(), Detail: detail, Err: err}
}

// Error is the reason, its detail and what lay behind it. It holds no token and no
// text of the sender.
func (r *Refusal) Error() string {
	s := "SNS message refused (" + string(r.Reason) + "): " + r.Detail
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Unwrap returns what lay behind the refusal.
func (r *Refusal) Unwrap() error { return r.Err }

// Temporary reports whether the same delivery may be taken later.
func (r *Refusal) Temporary() bool { return r.Status >= http.StatusInternalServerError }
