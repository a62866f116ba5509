package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// Two accounts may hear of the same skill, even in messages of the same ID: what one
// hears, lists and does is nothing to the other.
func TestAccountsHaveTheirOwnEvents(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 20)
	m.account(t, "zenith")
	m.set(t, "INSERT INTO units (account_id, unit_id, property) SELECT id, 'z-1', 'z' FROM accounts WHERE name = 'zenith'")
	ours, theirs := m.create(t), m.create(t, func(p *store.RolloutParams) { p.Account = "zenith" })
	m.rule(t, fleet.EventStartAudit, "", func(p *store.EventRuleParams) { p.Account = "zenith" })
	m.rule(t, fleet.EventHaltRollouts, "")
	m.rule(t, fleet.EventStartAudit, "", func(p *store.EventRuleParams) { p.Event = "ManifestUpdate" })
	id, key := m.receiveOne(t, m.published(t, 1, 0))
	same := m.published(t, 1, 0)
	same.AccountID, same.Account = m.accountID(t, "zenith"), "zenith"
	taken, err := m.EventTaken(t.Context(), same.AccountID, same.MessageID)
	require.NoError(t, err)
	require.False(t, taken)
	_, theirKey := m.receiveOne(t, same)

	require.Len(t, m.work(t, id, store.EventFinding{Withdrawn: "gone"}), 1, "neither a rule of another account, nor of another event")

	require.Equal(t, fleet.RolloutHalted, m.state(t, ours.ID))
	require.NotEqual(t, fleet.RolloutHalted, m.state(t, theirs.ID))
	const ever = "1970-01-01T00:00:00Z"
	require.Equal(t, []string{key}, m.all(t, store.EventFilter{Account: "acme", Since: ever}))
	require.Equal(t, []string{theirKey}, m.all(t, store.EventFilter{Account: "zenith", Since: ever}))
	require.Equal(t, []string{key, theirKey}, m.all(t, store.EventFilter{SkillID: testSkill, Since: ever}))
	require.Empty(t, m.all(t, store.EventFilter{SkillID: "another", Since: ever}))
}
