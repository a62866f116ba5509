package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
)

// needs is the least role that each operation takes. An operation that is not here
// fails the test: somebody has to decide.
var needs = map[string]fleet.Role{
	"createAccount":         fleet.RoleAdmin,
	"setAccount":            fleet.RoleAdmin,
	"deleteAccount":         fleet.RoleAdmin,
	"listAccounts":          fleet.RoleViewer,
	"getAccount":            fleet.RoleViewer,
	"checkAccount":          fleet.RoleOperator,
	"listCredentials":       fleet.RoleViewer,
	"getCredential":         fleet.RoleViewer,
	"setCredential":         fleet.RoleAdmin,
	"deleteCredential":      fleet.RoleAdmin,
	"listEvents":            fleet.RoleViewer,
	"getEvent":              fleet.RoleViewer,
	"getEventHook":          fleet.RoleViewer,
	"setEventHook":          fleet.RoleAdmin,
	"deleteEventHook":       fleet.RoleAdmin,
	"createEventRule":       fleet.RoleOperator,
	"listEventRules":        fleet.RoleViewer,
	"getEventRule":          fleet.RoleViewer,
	"deleteEventRule":       fleet.RoleOperator,
	"listSkills":            fleet.RoleViewer,
	"createSkill":           fleet.RoleOperator,
	"deleteSkill":           fleet.RoleAdmin,
	"getSkillStatus":        fleet.RoleViewer,
	"getManifest":           fleet.RoleViewer,
	"updateManifest":        fleet.RoleOperator,
	"importUnits":           fleet.RoleOperator,
	"listUnits":             fleet.RoleViewer,
	"exportUnits":           fleet.RoleViewer,
	"getUnit":               fleet.RoleViewer,
	"planRollout":           fleet.RoleViewer,
	"listDrift":             fleet.RoleViewer,
	"summarizeDrift":        fleet.RoleViewer,
	"ignoreDrift":           fleet.RoleOperator,
	"repairDrift":           fleet.RoleOperator,
	"createRollout":         fleet.RoleOperator,
	"listRollouts":          fleet.RoleViewer,
	"getRollout":            fleet.RoleViewer,
	"listTargets":           fleet.RoleViewer,
	"pauseRollout":          fleet.RoleOperator,
	"resumeRollout":         fleet.RoleOperator,
	"cancelRollout":         fleet.RoleOperator,
	"planRollback":          fleet.RoleViewer,
	"rollbackRollout":       fleet.RoleOperator,
	"retryRollout":          fleet.RoleOperator,
	"createToken":           fleet.RoleAdmin,
	"listTokens":            fleet.RoleAdmin,
	"revokeToken":           fleet.RoleAdmin,
	"listLog":               fleet.RoleViewer,
	"getVersion":            fleet.RoleViewer,
	"createAudit":           fleet.RoleOperator,
	"listAudits":            fleet.RoleViewer,
	"getAudit":              fleet.RoleViewer,
	"listAuditUnits":        fleet.RoleViewer,
	"cancelAudit":           fleet.RoleOperator,
	"getAuditSchedule":      fleet.RoleViewer,
	"setAuditSchedule":      fleet.RoleOperator,
	"deleteAuditSchedule":   fleet.RoleOperator,
	"listDesired":           fleet.RoleViewer,
	"listDesiredHistory":    fleet.RoleViewer,
	"exportDesired":         fleet.RoleViewer,
	"setDesired":            fleet.RoleOperator,
	"applyDesired":          fleet.RoleOperator,
	"adoptDesired":          fleet.RoleOperator,
	"getEnablement":         fleet.RoleViewer,
	"enableSkill":           fleet.RoleOperator,
	"disableSkill":          fleet.RoleOperator,
	"getCustomerEnablement": fleet.RoleViewer,
	"enableForCustomer":     fleet.RoleOperator,
	"disableForCustomer":    fleet.RoleOperator,
	"getCustomerEndpoint":   fleet.RoleViewer,
	"listSubscribers":       fleet.RoleViewer,
	"createSubscriber":      fleet.RoleOperator,
	"getSubscriber":         fleet.RoleViewer,
	"updateSubscriber":      fleet.RoleOperator,
	"deleteSubscriber":      fleet.RoleOperator,
	"listSubscriptions":     fleet.RoleViewer,
	"createSubscription":    fleet.RoleOperator,
	"getSubscription":       fleet.RoleViewer,
	"updateSubscription":    fleet.RoleOperator,
	"deleteSubscription":    fleet.RoleOperator,
	"checkSkill":            fleet.RoleViewer,
	"listSkillChecks":       fleet.RoleViewer,
	"unignoreDrift":         fleet.RoleOperator,
}

func TestEveryOperationAsksForItsRole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	all := operations(t)
	require.Len(t, all, len(needs))
	for _, op := range all {
		t.Run(op.ID, func(t *testing.T) {
			t.Parallel()
			need, ok := needs[op.ID]
			require.True(t, ok, "decide which role %s needs", op.ID)
			path := strings.NewReplacer("{name}", "nobody", "{kind}", "developer", "{id}", "nothing", "{unit_id}", "nowhere", "{skill_id}", "none", "{stage}", "live").Replace(op.Path)
			for _, as := range []string{"none", "garbage", "revoked", "expired", "viewer", "operator", "admin"} {
				var header []string
				if as == "garbage" {
					header = []string{"Authorization", "Bearer fleet_garbage"}
				}
				a := f.call(t, as, strings.ToUpper(op.Method), path, nil, header...)
				switch role := fleet.Role(as); {
				case f.tokens[as] == "" || as == "revoked" || as == "expired":
					require.Equal(t, http.StatusUnauthorized, a.status, as)
					require.Contains(t, a.body, `"code":"unauthenticated"`, as)
					require.NotEmpty(t, a.header.Get("WWW-Authenticate"), as)
				case !role.Allows(need):
					require.Equal(t, http.StatusForbidden, a.status, as)
					require.Contains(t, a.body, `"code":"forbidden"`, as)
					require.Contains(t, a.body, string(need), as)
				default:
					require.NotEqual(t, http.StatusUnauthorized, a.status, as)
					require.NotEqual(t, http.StatusForbidden, a.status, as)
					require.Less(t, a.status, http.StatusInternalServerError, "%s: %s", as, a.body)
				}
				if a.status >= http.StatusBadRequest {
					require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), as)
				}
			}
		})
	}
}

func TestWhatCountsAsABearerToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for header, status := range map[string]int{
		"Bearer " + f.tokens["viewer"]:         http.StatusOK,
		"bearer " + f.tokens["viewer"]:         http.StatusOK,
		"Bearer  " + f.tokens["viewer"]:        http.StatusOK,
		"Basic " + f.tokens["viewer"]:          http.StatusUnauthorized,
		f.tokens["viewer"]:                     http.StatusUnauthorized,
		"Bearer":                               http.StatusUnauthorized,
		"Bearer " + f.tokens["viewer"] + "x":   http.StatusUnauthorized,
		"Bearer " + f.tokens["viewer"][1:]:     http.StatusUnauthorized,
		"Bearer " + f.tokens["viewer"] + " x":  http.StatusUnauthorized,
		"Bearer " + strings.Repeat("A", 10000): http.StatusUnauthorized,
	} {
		a := f.call(t, "none", http.MethodGet, "/api/v1/version", nil, "Authorization", header)
		require.Equal(t, status, a.status, header)
	}
}
