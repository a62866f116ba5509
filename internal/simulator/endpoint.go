package simulator

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"fleetd/internal/fleet"
)

// API is one of the remote APIs. The set is closed.
type API string

// The APIs.
const (
	APIResidential   API = "residential"   // skill management of homes
	APIManifest      API = "manifest"      // skill manifests
	APIEnablement    API = "enablement"    // skill enablement of developers and customers
	APINotifications API = "notifications" // skill development notifications
)

// APIs lists every API.
func APIs() []API { return []API{APIResidential, APIManifest, APIEnablement, APINotifications} }

// apisOf lists the APIs that have operations for tokens of a kind.
func apisOf(kind fleet.CredentialKind) []API {
	switch kind {
	case fleet.CredentialEnterprise:
		return []API{APIResidential}
	case fleet.CredentialDeveloper:
		return []API{APIManifest, APIEnablement, APINotifications}
	case fleet.CredentialCustomer:
		return []API{APIEnablement}
	}
	return nil
}

// endpoint is one operation of a remote API: where it is asked for, with whose
// tokens, and what it does.
type endpoint struct {
	operation Operation
	api       API
	kind      fleet.CredentialKind // whose tokens are good for it
	method    string
	path      string // its segments in braces are call.args, in their order
	regional  bool   // it is also there under /na, /eu and /fe
	write     bool   // it may change something

	// read reads the request, with nothing locked, sets call.wrong to what is
	// malformed in it, and returns what to do when it is admitted and no fault comes
	// first. That runs with the simulator locked and sets call.answer.
	read func(c *call, r *http.Request) work
}

// work is what is left to do of a request.
type work func(s *Simulator)

// endpoints lists every operation. A path that has words where another has
// arguments comes first.
func endpoints() []endpoint {
	return slices.Concat(homeEndpoints(), manifestEndpoints(), developerEndpoints(), customerEndpoints(), notificationEndpoints())
}

// router finds endpoints by path and method.
type router [maxSegments + 1][]*route // by the number of segments

// route is one path with an endpoint for each method.
type route struct {
	segments []string // "" is an argument
	regional bool
	methods  []*endpoint
}

// maxSegments is how long paths of the APIs get.
const maxSegments = 8

// operations finds every operation. It is the same for all simulators.
var operations = newRouter(endpoints())

func newRouter(all []endpoint) *router {
	rt := &router{}
	for i := range all {
		e := &all[i]
		segments := strings.Split(strings.TrimPrefix(e.path, "/"), "/")
		for j, text := range segments {
			if strings.HasPrefix(text, "{") {
				segments[j] = ""
			}
		}
		same := &rt[len(segments)]
		at := slices.IndexFunc(*same, func(k *route) bool { return slices.Equal(k.segments, segments) })
		if at < 0 {
			at = len(*same)
			*same = append(*same, &route{segments: segments, regional: e.regional})
		}
		(*same)[at].methods = append((*same)[at].methods, e)
	}
	return rt
}

// find sets what c asks for, or returns the status to answer instead.
func (rt *router) find(c *call, r *http.Request) (status int) {
	rest := strings.TrimSuffix(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/") // seed 002 ends a path with a slash
	if first, after, _ := strings.Cut(rest, "/"); isRegion(first) {
		c.region, rest = first, after
	}
	var segments [maxSegments]string
	n, more := 0, true
	for more {
		if n == maxSegments {
			return http.StatusNotFound
		}
		segments[n], rest, more = strings.Cut(rest, "/")
		if strings.IndexByte(segments[n], '%') >= 0 {
			var err error
			if segments[n], err = url.PathUnescape(segments[n]); err != nil {
				return http.StatusNotFound
			}
		}
		n++
	}
	for _, k := range rt[n] {
		if !k.match(c, segments[:n]) || c.region != "" && !k.regional {
			continue
		}
		for _, e := range k.methods {
			if e.method == r.Method {
				c.endpoint, c.line.operation = e, e.operation
				return 0
			}
		}
		return http.StatusMethodNotAllowed
	}
	return http.StatusNotFound
}

// match reports whether the path is k's, and takes its arguments.
func (k *route) match(c *call, segments []string) bool {
	n := 0
	for i, text := range k.segments {
		switch {
		case text == "":
			c.args[n] = segments[i]
			n++
		case text != segments[i]:
			return false
		}
	}
	return true
}

// The regions that customers are registered in, as they begin a path.
const (
	regionNA = "na"
	regionEU = "eu"
	regionFE = "fe"
)

func regions() []string { return []string{regionNA, regionEU, regionFE} }

func isRegion(text string) bool { return text == regionNA || text == regionEU || text == regionFE }
