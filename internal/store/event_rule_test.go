package store_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestHooks(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 0)
	_, err := m.EventHook(t.Context(), "acme")
	require.ErrorContains(t, err, "event hook set")
	_, ok, err := m.EventAccess(t.Context(), "acme")
	require.NoError(t, err)
	require.False(t, ok)
	const secret = "canary-0123456789abcdef"
	for name, p := range map[string]store.EventHookParams{
		"no topic":     {Account: "acme"},
		"no ARN":       {Account: "acme", Topics: []string{"skill-events"}},
		"FIFO":         {Account: "acme", Topics: []string{topic + ".fifo"}},
		"short secret": {Account: "acme", Topics: []string{topic}, RawSecret: new("hunter2")},
		"no account":   {Account: "nobody", Topics: []string{topic}},
	} {
		_, err := m.SetEventHook(t.Context(), p, m.by)
		known := new(fleet.Error)
		require.ErrorAs(t, err, &known, name)
		require.NotContains(t, err.Error(), "hunter2")
	}

	hook, err := m.SetEventHook(t.Context(), store.EventHookParams{Account: "acme", Topics: []string{topic, topic}, RawSecret: new(secret)}, m.by)
	require.NoError(t, err)
	require.Equal(t, []string{topic}, hook.Topics)
	require.True(t, hook.RawSecret)
	require.Equal(t, "/hooks/sns/acme", hook.Path)
	other := topic + "-2"
	_, err = m.SetEventHook(t.Context(), store.EventHookParams{Account: "acme", Topics: []string{other}}, m.by)
	require.NoError(t, err)
	access, ok, err := m.EventAccess(t.Context(), "acme")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, []string{other}, access.Topics)
	require.True(t, access.IsRawSecret(secret), "a secret that is not named stays")
	require.False(t, access.IsRawSecret(secret+"x"))
	require.False(t, access.IsRawSecret(""))
	_, err = m.SetEventHook(t.Context(), store.EventHookParams{Account: "acme", Topics: []string{other}, RawSecret: new("")}, m.by)
	require.NoError(t, err)
	access, _, err = m.EventAccess(t.Context(), "acme")
	require.NoError(t, err)
	require.False(t, access.TakesRaw())
	require.False(t, access.IsRawSecret(""))
	require.NoError(t, m.DeleteEventHook(t.Context(), "acme", "why", m.by))
	require.ErrorContains(t, m.DeleteEventHook(t.Context(), "acme", "", m.by), "event hook set")

	entries, _, err := m.ListLog(t.Context(), store.LogFilter{Object: "account/acme"})
	require.NoError(t, err)
	text, err := json.Marshal(entries)
	require.NoError(t, err)
	require.Contains(t, string(text), "event.hook.set")
	require.NotContains(t, string(text), secret)
	require.Zero(t, m.count(t, "SELECT count(*) FROM event_hooks WHERE raw_hash = $1", []byte(secret)))
}

func TestRulesAreChecked(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 5)
	r := m.create(t)
	m.account(t, "zenith")
	for name, c := range map[string]struct {
		p    store.EventRuleParams
		says string
	}{
		"no action":             {store.EventRuleParams{}, "action"},
		"no such event":         {store.EventRuleParams{Action: fleet.EventHaltRollouts, Event: "SkillVanish"}, "SkillVanish"},
		"no such status":        {store.EventRuleParams{Action: fleet.EventHaltRollouts, Status: "MAYBE"}, "MAYBE"},
		"no skill ID":           {store.EventRuleParams{Action: fleet.EventHaltRollouts, SkillID: "a b"}, "skill_id"},
		"no rollout":            {store.EventRuleParams{Action: fleet.EventResumeRollout}, "which rollout"},
		"no such rollout":       {store.EventRuleParams{Action: fleet.EventResumeRollout, Argument: "ro-none"}, "ro-none"},
		"of another account":    {store.EventRuleParams{Account: "zenith", Action: fleet.EventStartRollout, Argument: r.ID}, r.ID},
		"no selector":           {store.EventRuleParams{Action: fleet.EventStartAudit, Argument: "property"}, "property"},
		"an argument too many":  {store.EventRuleParams{Action: fleet.EventHaltRollouts, Argument: r.ID}, "nothing besides"},
		"no such account":       {store.EventRuleParams{Account: "nobody", Action: fleet.EventHaltRollouts}, "nobody"},
		"an action of no event": {store.EventRuleParams{Action: "delete_everything"}, "delete_everything"},
	} {
		if c.p.Account == "" {
			c.p.Account = "acme"
		}
		_, _, err := m.CreateEventRule(t.Context(), c.p, m.by, store.Idempotency{})
		known := new(fleet.Error)
		require.ErrorAs(t, err, &known, name)
		require.ErrorContains(t, err, c.says, name)
	}
	once := store.Idempotency{Key: "k", Hash: []byte("h")}
	p := store.EventRuleParams{Account: "acme", Action: fleet.EventHaltRollouts, Reason: "why"}
	rule, again, err := m.CreateEventRule(t.Context(), p, m.by, once)
	require.NoError(t, err)
	require.False(t, again)
	twin, again, err := m.CreateEventRule(t.Context(), p, m.by, once)
	require.NoError(t, err)
	require.True(t, again)
	require.Equal(t, rule, twin)
	for range store.MaxEventRules - 1 {
		m.rule(t, fleet.EventHaltRollouts, "")
	}
	_, _, err = m.CreateEventRule(t.Context(), p, m.by, store.Idempotency{})
	require.ErrorContains(t, err, "as many as there may be")

	seen, after := 0, int64(0)
	for {
		rules, next, err := m.ListEventRules(t.Context(), "acme", after, 30)
		require.NoError(t, err)
		seen += len(rules)
		if after = next; next == 0 {
			break
		}
	}
	require.Equal(t, store.MaxEventRules, seen)
	require.NoError(t, m.DeleteEventRule(t.Context(), rule.ID, "", m.by))
	require.ErrorContains(t, m.DeleteEventRule(t.Context(), rule.ID, "", m.by), "no rule")
	_, err = m.EventRule(t.Context(), "x")
	require.ErrorContains(t, err, "no rule")
}
