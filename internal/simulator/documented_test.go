package simulator_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// documented is one operation of seed 001 or 002 with a way to each status that
// the seed documents for it. Those that every operation has are made the same way:
// 401 by a bad token, 403 by one of another kind, 429 by the limit, 500 and 503 by
// faults.
type documented struct {
	operation    simulator.Operation
	api          simulator.API
	kind         fleet.CredentialKind
	method, path string // of a request that succeeds
	body         string
	own          map[int]func(c *client, skill string) *httptest.ResponseRecorder
}

type asking = func(c *client, skill string) *httptest.ResponseRecorder

// ask makes the request of the table with other values.
func ask(method, path, body string) asking {
	return func(c *client, skill string) *httptest.ResponseRecorder {
		return c.do(method, strings.ReplaceAll(path, "SKILL", skill), body)
	}
}

// after makes a request after another one.
func after(first, then asking) asking {
	return func(c *client, skill string) *httptest.ResponseRecorder {
		first(c, skill)
		return then(c, skill)
	}
}

// TestStatusesOfSkillManifest/OPERATION/STATUS reaches every status of seed 002.
func TestStatusesOfSkillManifest(t *testing.T) {
	t.Parallel()
	const edition = "/v1/skills/SKILL/stages/development/manifest"
	update := `{"manifest":` + aManifest("Second") + `}`
	slow := func(c *client, _ string) *httptest.ResponseRecorder {
		return c.do("POST", "/_sim/builds", `{"delay":"1h"}`)
	}
	testDocumented(t, []documented{
		{
			simulator.OperationCreateSkill, simulator.APIManifest, fleet.CredentialDeveloper, "POST", "/v1/skills", createBody("Second"), map[int]asking{
				202: ask("POST", "/v1/skills", createBody("Second")),
				400: ask("POST", "/v1/skills", `{"vendorId":"`+simulator.DefaultVendorID+`","manifest":{}}`),
				404: ask("POST", "/v1/skills", `{"vendorId":"M9","manifest":`+aManifest("x")+`}`),
			},
		},
		{
			simulator.OperationDeleteSkill, simulator.APIManifest, fleet.CredentialDeveloper, "DELETE", "/v1/skills/SKILL/", "", map[int]asking{
				204: ask("DELETE", "/v1/skills/SKILL/", ""),
				400: ask("DELETE", "/v1/skills/a%20b", ""),
				404: ask("DELETE", "/v1/skills/other", ""),
			},
		},
		{
			simulator.OperationGetManifest, simulator.APIManifest, fleet.CredentialDeveloper, "GET", edition, "", map[int]asking{
				200: ask("GET", edition, ""),
				303: after(after(slow, ask("PUT", edition, update)), ask("GET", edition, "")),
				400: ask("GET", "/v1/skills/SKILL/stages/beta/manifest", ""),
				404: ask("GET", "/v1/skills/SKILL/stages/live/manifest", ""),
			},
		},
		{
			simulator.OperationUpdateManifest, simulator.APIManifest, fleet.CredentialDeveloper, "PUT", edition, update, map[int]asking{
				202: ask("PUT", edition, update),
				400: ask("PUT", edition, `{"manifest":[]}`),
				404: ask("PUT", "/v1/skills/SKILL/stages/live/manifest", update),
				409: after(after(slow, ask("PUT", edition, update)), ask("PUT", edition, update)),
				412: func(c *client, skill string) *httptest.ResponseRecorder { return c.update(skill, "Second", "stale") },
			},
		},
		{
			simulator.OperationSkillStatus, simulator.APIManifest, fleet.CredentialDeveloper, "GET", "/v1/skills/SKILL/status?resource=manifest", "", map[int]asking{
				200: ask("GET", "/v1/skills/SKILL/status?resource=manifest&resource=interactionModel", ""),
				400: ask("GET", "/v1/skills/SKILL/status?resource=weather", ""),
				404: ask("GET", "/v1/skills/other/status", ""),
			},
		},
		{
			simulator.OperationListSkills, simulator.APIManifest, fleet.CredentialDeveloper, "GET", vendorQuery, "", map[int]asking{
				200: ask("GET", vendorQuery, ""),
				400: ask("GET", vendorQuery+"&maxResults=51", ""),
				404: ask("GET", "/v1/skills?vendorId=M9", ""),
			},
		},
	})
}

// TestStatusesOfSkillEnablement/OPERATION/STATUS reaches every status of seed 001.
func TestStatusesOfSkillEnablement(t *testing.T) {
	t.Parallel()
	const own, customer, missing = "/v1/skills/SKILL/stages/development/enablement", "/v1/users/~current/skills/SKILL/enablement",
		"/v1/users/~current/skills/unknown/enablement"
	developer := func(op simulator.Operation, method string, before, others asking) documented {
		return documented{op, simulator.APIEnablement, fleet.CredentialDeveloper, method, own, "", map[int]asking{
			204: after(before, ask(method, own, "")),
			400: ask(method, "/v1/skills/SKILL/stages/beta/enablement", ""),
			404: others,
		}}
	}
	nothing := func(*client, string) *httptest.ResponseRecorder { return nil }
	regional := func(op simulator.Operation, method, body string, own map[int]asking) documented {
		own[400] = ask(method, "/eu"+customer, body)
		own[404] = ask(method, missing, body)
		return documented{op, simulator.APIEnablement, fleet.CredentialCustomer, method, customer, body, own}
	}
	conflict := developer(simulator.OperationDeveloperEnable, "PUT", nothing, ask("PUT", "/v1/skills/SKILL/stages/live/enablement", ""))
	conflict.own[409] = func(c *client, skill string) *httptest.ResponseRecorder {
		dev := c.as(fleet.CredentialDeveloper)
		c.sim.SetBuilds(simulator.BuildsParams{Delay: &simulator.Span{Duration: buildDelay}})
		dev.update(skill, "Second", "")
		return dev.do("PUT", enablementOf(skill, "development"), "")
	}
	enable := ask("POST", customer, `{"stage":"live"}`)
	testDocumented(t, []documented{
		conflict,
		developer(simulator.OperationDeveloperStatus, "GET", ask("PUT", own, ""), ask("GET", own, "")),
		developer(simulator.OperationDeveloperDisable, "DELETE", ask("PUT", own, ""), ask("DELETE", own, "")),
		regional(simulator.OperationCustomerEnable, "POST", `{"stage":"live"}`, map[int]asking{201: enable}),
		regional(simulator.OperationCustomerStatus, "GET", "", map[int]asking{200: ask("GET", customer, "")}),
		regional(simulator.OperationCustomerDisable, "DELETE", "", map[int]asking{200: after(enable, ask("DELETE", customer, ""))}),
		{simulator.OperationAPIEndpoint, simulator.APIEnablement, fleet.CredentialCustomer, "GET", "/v1/alexaApiEndpoint", "", map[int]asking{
			200: ask("GET", "/v1/alexaApiEndpoint", ""),
			400: after(ask("POST", "/_sim/regions", `{"discovery_status":400}`), ask("GET", "/v1/alexaApiEndpoint", "")),
			404: after(ask("POST", "/_sim/regions", `{"discovery_status":404}`), ask("GET", "/v1/alexaApiEndpoint", "")),
		}},
	})
}

func testDocumented(t *testing.T, operations []documented) {
	t.Helper()
	for _, d := range operations {
		request := ask(d.method, d.path, d.body)
		ways := map[int]asking{
			401: func(c *client, skill string) *httptest.ResponseRecorder {
				c.token = "Atza|nobody"
				return request(c, skill)
			},
			403: func(c *client, skill string) *httptest.ResponseRecorder {
				return request(c.as(fleet.CredentialEnterprise), skill)
			},
			429: func(c *client, skill string) *httptest.ResponseRecorder {
				require.NoError(c.t, c.sim.SetLimitOf(simulator.LimitParams{Limit: simulator.Limit{RPS: 1e-9, Burst: 1}, API: d.api}))
				request(c, skill)
				return request(c, skill)
			},
			500: func(c *client, skill string) *httptest.ResponseRecorder {
				require.NoError(c.t, c.sim.SetFaults(simulator.Faults{ErrorBefore: 1, HTMLError: 0.5, EmptyError: 0.5}))
				for {
					if rec := request(c, skill); rec.Code == http.StatusInternalServerError {
						return rec
					}
				}
			},
			503: func(c *client, skill string) *httptest.ResponseRecorder {
				require.NoError(c.t, c.sim.SetFaults(simulator.Faults{Overload: 1}))
				return request(c, skill)
			},
		}
		maps.Copy(ways, d.own)
		for status, way := range ways {
			t.Run(string(d.operation)+"/"+strconv.Itoa(status), func(t *testing.T) {
				t.Parallel()
				dev := newDeveloper(t, simulator.Config{})
				skill := dev.create("First")
				if d.kind == fleet.CredentialCustomer {
					require.NoError(t, dev.sim.Publish(simulator.PublishParams{SkillID: skill}))
				}
				rec := way(dev.as(d.kind), skill)
				require.Equal(t, status, rec.Code, rec.Body)
				require.NotEmpty(t, rec.Header().Get("X-Amzn-RequestId"))
				entry := last(dev.sim.History())
				require.Equal(t, d.operation, entry.Operation)
				require.Equal(t, status, entry.Status)
				if status < 300 {
					return
				}
				if status == http.StatusSeeOther {
					require.Empty(t, rec.Body.String())
					return
				}
				got := map[string]any{}
				require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &got), "every error is JSON")
				require.NotEmpty(t, got["message"])
				require.NotEmpty(t, got["code"])
				require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
				require.Equal(t, status == http.StatusUnauthorized, rec.Header().Get("WWW-Authenticate") == "Bearer")
			})
		}
	}
}
