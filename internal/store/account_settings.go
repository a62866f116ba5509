package store

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// DefaultTokenURL is where LWA grants access tokens for every region of the
// Smart Properties APIs.
const DefaultTokenURL = "https://api.amazon.com/auth/o2/token" //nolint:gosec // An address, not a credential.

const (
	autoStartRate = 10 // requests a second that a budget of unknown limit begins with
	autoBurst     = 5
	maxRate       = 100_000
	maxBurst      = 100_000
)

// regions are the hosts of the Alexa API by the organization's part of the world:
// North America (US, CA), Europe, Far East (JP).
var regions = map[string]string{
	"na": "https://api.amazonalexa.com",
	"eu": "https://api.eu.amazonalexa.com",
	"fe": "https://api.fe.amazonalexa.com",
}

var accountNamePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// accountSettings is an account without name and secrets, whole and checked.
type accountSettings struct {
	region          string
	apiURL          string
	tokenURL        string
	rateLimit       float64 // 0: auto
	burst           int
	linkMode        fleet.LinkMode
	codeURL         string
	redirectURIs    []string
	protectedSkills []string
	countries       []string
}

func newAccountSettings(p AccountParams) (accountSettings, error) {
	set := accountSettings{
		region: p.Region, apiURL: p.APIURL, tokenURL: p.TokenURL, burst: p.Burst,
		linkMode: p.LinkMode, codeURL: p.CodeURL, redirectURIs: p.RedirectURIs, protectedSkills: p.ProtectedSkills,
		countries: p.Countries,
	}
	if !accountNamePattern.MatchString(p.Name) {
		return set, fleet.Invalidf("name", "%s", accountNameRule)
	}
	for _, c := range []struct{ field, value string }{
		{"client_id", p.ClientID}, {"client_secret", p.ClientSecret}, {"refresh_token", p.RefreshToken},
	} {
		if err := checkCredential(c.field, c.value); err != nil {
			return set, err
		}
	}
	if set.linkMode == "" {
		set.linkMode = fleet.LinkNone
	}
	if set.tokenURL == "" {
		set.tokenURL = DefaultTokenURL
	}
	if set.region == "" && set.apiURL == "" {
		set.region = "na"
	}
	if set.apiURL == "" {
		set.apiURL = regions[set.region]
	}
	var err error
	if set.rateLimit, err = parseRate(p.Rate); err != nil {
		return set, err
	}
	if set.burst == 0 {
		set.burst = defaultBurst(set.rateLimit)
	}
	if err := checkBurst(set.burst); err != nil {
		return set, err
	}
	return set, set.check()
}

// patchAccountSettings is what an account would be after p, and what that changes,
// for the log: new values, and of secrets only that there is a new one.
func patchAccountSettings(row db.Account, p AccountPatch) (accountSettings, map[string]any, error) {
	set := accountSettings{
		region: row.Region, apiURL: row.ApiUrl, tokenURL: row.TokenUrl, linkMode: fleet.LinkMode(row.LinkMode),
		codeURL: row.CodeUrl, redirectURIs: row.RedirectUris, protectedSkills: row.ProtectedSkills,
		countries: row.Countries,
	}
	changed := map[string]any{}
	for _, c := range []struct {
		field string
		value *string
	}{{"client_id", p.ClientID}, {"client_secret", p.ClientSecret}, {"refresh_token", p.RefreshToken}} {
		if c.value == nil {
			continue
		}
		if err := checkCredential(c.field, *c.value); err != nil {
			return set, nil, err
		}
		changed[c.field] = "set"
	}
	if p.Region != nil {
		set.region, set.apiURL = *p.Region, regions[*p.Region]
		changed["region"] = *p.Region
	}
	if p.APIURL != nil {
		set.apiURL = *p.APIURL
		if p.Region == nil {
			set.region = ""
		}
	}
	for _, c := range []struct {
		field     string
		to, value *string
	}{
		{"api_url", &set.apiURL, p.APIURL},
		{"token_url", &set.tokenURL, p.TokenURL},
		{"code_url", &set.codeURL, p.CodeURL},
		{"link_mode", (*string)(&set.linkMode), (*string)(p.LinkMode)},
	} {
		if c.value != nil {
			*c.to, changed[c.field] = *c.value, *c.value
		}
	}
	if p.RedirectURIs != nil {
		set.redirectURIs, changed["redirect_uris"] = p.RedirectURIs, p.RedirectURIs
	}
	if p.ProtectedSkills != nil {
		set.protectedSkills, changed["protected_skills"] = p.ProtectedSkills, p.ProtectedSkills
	}
	if p.Countries != nil {
		set.countries, changed["countries"] = p.Countries, p.Countries
	}
	if p.Rate != nil {
		limit, err := parseRate(*p.Rate)
		if err != nil {
			return set, nil, err
		}
		changed["rate"] = rateText(limit)
	}
	if p.Burst != nil {
		if err := checkBurst(*p.Burst); err != nil {
			return set, nil, err
		}
		changed["burst"] = *p.Burst
	}
	return set, changed, set.check()
}

// check says what is wrong with the settings as a whole, and normalizes them.
func (set *accountSettings) check() error {
	if _, ok := regions[set.region]; set.region != "" && !ok {
		return fleet.Invalidf("region", "%q is not a region; use %s, or give api_url instead", set.region, strings.Join(slices.Sorted(maps.Keys(regions)), ", "))
	}
	var err error
	if set.apiURL, err = checkURL("api_url", strings.TrimRight(set.apiURL, "/")); err != nil {
		return err
	}
	if set.tokenURL, err = checkURL("token_url", set.tokenURL); err != nil {
		return err
	}
	if set.codeURL != "" {
		if set.codeURL, err = checkURL("code_url", set.codeURL); err != nil {
			return err
		}
	}
	if !slices.Contains(fleet.LinkModes(), set.linkMode) {
		return fleet.Invalidf("link_mode", "%q is not a link mode; use none, delegated or codes", set.linkMode)
	}
	if set.linkMode == fleet.LinkCodes && set.codeURL == "" {
		return fleet.Invalidf("code_url", "link mode codes needs a code_url: where to ask for one authorization code a write")
	}
	if set.linkMode == fleet.LinkCodes && len(set.redirectURIs) == 0 {
		return fleet.Invalidf("redirect_uris", "link mode codes needs at least one redirect URI: the one that the codes are made for")
	}
	if set.redirectURIs == nil {
		set.redirectURIs = []string{}
	}
	if set.protectedSkills == nil {
		set.protectedSkills = []string{}
	}
	for _, uri := range set.redirectURIs {
		u, err := url.Parse(uri)
		if err != nil || !u.IsAbs() || u.Host == "" || u.Fragment != "" || u.User != nil || len(uri) > 2000 {
			return fleet.Invalidf("redirect_uris", "%s is not a redirect URI; give an absolute one without user, password or fragment", shownURL(uri))
		}
	}
	if set.countries, err = fleet.ParseCountries("countries", set.countries); err != nil {
		return err
	}
	for _, skill := range set.protectedSkills {
		if skill == "" || len(skill) > 255 {
			return fleet.Invalidf("protected_skills", "a skill ID has 1 to 255 characters")
		}
	}
	return nil
}

// checkURL wants an absolute address, encrypted unless it is on this machine.
func checkURL(field, text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return "", fleet.Invalidf(field, "%s is not an address; give one like https://api.example.com", shownURL(text))
	case u.User != nil:
		return "", fleet.Invalidf(field, "the address must not hold a user or password")
	case u.RawQuery != "" || u.Fragment != "":
		return "", fleet.Invalidf(field, "the address must not have a query or a fragment")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", fleet.Invalidf(field, "%q would send credentials in clear; use https (plain http is for this machine only)", text)
	}
	return text, nil
}

// shownURL is an address as an error may show it: without what may be a password.
func shownURL(text string) string {
	if strings.ContainsAny(text, "@?") {
		return "what was given (not shown, as it may hold a password)"
	}
	return strconv.Quote(text)
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || (err == nil && addr.IsLoopback())
}

// checkCredential keeps out what cannot be a credential: an empty file, or one with
// something else in it.
func checkCredential(field, value string) error {
	switch {
	case value == "":
		return fleet.Invalidf(field, "it is empty")
	case strings.TrimSpace(value) != value || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fleet.Invalidf(field, "it holds white space or control characters, which no credential does; look at the file it came from")
	}
	return nil
}

// parseRate reads auto (and nothing, which means the same) as 0.
func parseRate(text string) (float64, error) {
	if text == "" || strings.EqualFold(text, "auto") {
		return 0, nil
	}
	rate, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(rate):
		return 0, fleet.Invalidf("rate", "%.40q is not a rate; use auto, or requests a second above 0", text)
	case rate <= 0:
		return 0, fleet.Invalidf("rate", "a rate of %s would send nothing; use auto, or requests a second above 0 (to stop work, pause the rollouts)", text)
	case rate > maxRate:
		return 0, fleet.Invalidf("rate", "a rate above %d requests a second is out of reach", maxRate)
	}
	return rate, nil
}

func rateText(limit float64) string {
	if limit == 0 {
		return "auto"
	}
	return strconv.FormatFloat(limit, 'g', -1, 64)
}

func startRate(limit float64) float64 {
	if limit == 0 {
		return autoStartRate
	}
	return limit
}

// defaultBurst is 50 ms worth of a known rate: enough to be smooth across
// processes, little enough that no second holds many more than its rate.
func defaultBurst(limit float64) int {
	if limit == 0 {
		return autoBurst
	}
	return max(1, int(math.Ceil(limit*0.05)))
}

func checkBurst(burst int) error {
	if burst < 1 || burst > maxBurst {
		return fleet.Invalidf("burst", "a burst of %d is not possible; use 1 to %d", burst, maxBurst)
	}
	return nil
}

// credentialPlace is the associated data of one secret: where it rests.
func credentialPlace(accountID int64, kind, column string) string {
	return fmt.Sprintf("credentials/%d/%s/%s", accountID, kind, column)
}
