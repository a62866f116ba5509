package sns

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

var (
	// awsHost is an SNS host of a region. The region's form keeps names out that
	// others may have under amazonaws.com: a region has no digit but its last part.
	awsHost = regexp.MustCompile(`^sns\.([a-z]{2,4}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2})\.(amazonaws\.com(?:\.cn)?)$`)
	// certificatePath is a file at the root of the host.
	certificatePath = regexp.MustCompile(`^/[A-Za-z0-9][A-Za-z0-9_-]{0,127}\.pem$`)
	// plainPath has nothing in it that a server could read as another path.
	plainPath = regexp.MustCompile(`^(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$`)
	// issuerHost serves the certificates of Amazon's authorities.
	issuerHost = regexp.MustCompile(`^[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,2}\.amazontrust\.com$`)
	issuerPath = regexp.MustCompile(`^/[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(?:cer|crt|der)$`)
)

// place is where a URL of a message leads, and what is believed there.
type place struct {
	url    string
	own    bool     // the configured origin
	leaves []string // the DNS names, any of which makes a certificate found there one of SNS
}

// certificatePlace checks a SigningCertURL without asking anybody.
func (v *Verifier) certificatePlace(raw, topicARN string) (place, error) {
	u, p, err := v.place(raw, topicARN)
	switch {
	case err != nil:
		return place{}, err
	case u.RawQuery != "" || u.ForceQuery:
		return place{}, errors.New("it has a query")
	case p.own && plainPath.MatchString(u.Path) && strings.HasSuffix(u.Path, ".pem"), !p.own && certificatePath.MatchString(u.Path):
		return p, nil
	}
	return place{}, errors.New("its path is not that of a certificate")
}

// subscribePlace checks a SubscribeURL without asking anybody: it confirms the
// message's own topic with the message's own token.
func (v *Verifier) subscribePlace(m Message) (place, error) {
	u, p, err := v.place(m.SubscribeURL, m.TopicARN)
	if err != nil {
		return place{}, err
	}
	if p.own {
		if !plainPath.MatchString(u.Path) && u.Path != "/" && u.Path != "" {
			return place{}, errors.New("its path is not plain")
		}
		return p, nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	is := func(name, value string) bool { return len(query[name]) == 1 && query[name][0] == value }
	switch {
	case err != nil || u.Path != "/" && u.Path != "":
		return place{}, errors.New("it is not a request to the API of SNS")
	case !is("Action", "ConfirmSubscription") || !is("TopicArn", m.TopicARN) || !is("Token", m.Token):
		return place{}, errors.New("it does not confirm this subscription")
	}
	return p, nil
}

// place checks all of a URL but its path and query. Errors do not quote it.
func (v *Verifier) place(raw, topicARN string) (*url.URL, place, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > maxURL:
		return nil, place{}, errors.New("it is not a URL")
	case u.User != nil || u.Opaque != "" || u.Fragment != "" || u.RawPath != "" || u.String() != raw:
		return nil, place{}, errors.New("it is not a plain URL")
	}
	if v.origin != "" && u.Scheme+"://"+u.Host == v.origin {
		return u, place{url: raw, own: true, leaves: []string{leafName}}, nil
	}
	host := awsHost.FindStringSubmatch(u.Host)
	switch {
	case u.Scheme != "https":
		return nil, place{}, errors.New("it is not https")
	case host == nil:
		return nil, place{}, errors.New("its host is none of SNS")
	}
	region, suffix := host[1], host[2]
	if arn := strings.Split(topicARN, ":"); len(arn) != 6 || arn[3] != region {
		return nil, place{}, errors.New("its host is that of another region than the topic's")
	}
	return u, place{url: raw, leaves: leafNames(region, suffix)}, nil
}

// leafName is what most regions sign as.
const leafName = "sns.amazonaws.com"

// leafNames are the names that SNS signs as in a region. The regions that are off
// until asked for sign as themselves, China and GovCloud in a way of their own; the
// list is that of Amazon's SDK for Java (SnsHostProvider).
func leafNames(region, suffix string) []string {
	switch {
	case suffix != "amazonaws.com":
		return []string{"sns-" + region + "." + suffix, "sns-signing." + region + "." + suffix}
	case strings.HasPrefix(region, "us-gov-"):
		return []string{"sns-us-gov-west-1.amazonaws.com", "sns-signing." + region + ".amazonaws.com"}
	}
	return []string{leafName, "sns-signing." + region + ".amazonaws.com"}
}

// issuerPlace checks the address of a missing intermediate that a certificate
// names. It is plain http as it is everywhere: what it serves is checked as a part
// of the chain and trusted for nothing.
func (v *Verifier) issuerPlace(p place, raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.String() != raw || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("it is not a plain URL")
	}
	amazon := (u.Scheme == "http" || u.Scheme == "https") && issuerHost.MatchString(u.Host) && issuerPath.MatchString(u.Path)
	own := p.own && u.Scheme+"://"+u.Host == v.origin && plainPath.MatchString(u.Path)
	if !amazon && !own {
		return errors.New("it is none of Amazon's authorities")
	}
	return nil
}
