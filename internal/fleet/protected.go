package fleet

import "slices"

// protectedSkills are subscriptions that look like skills: an enablement of one on
// a property is what lets the property use the service at all, and only Amazon can
// put it back. The ID is publicly known, as the subscription of Alexa Smart
// Properties core in the US; accounts add their own with protected_skills.
var protectedSkills = []string{
	"amzn1.ask.skill.b4ca54a9-5e5f-4c60-93a0-d4cbd48640f2",
}

// ProtectedSkills lists the skills that no rollout of any account may touch.
func ProtectedSkills() []string { return slices.Clone(protectedSkills) }

// ProtectedSkill reports whether skillID is one of ProtectedSkills. An account's
// own protected skills come on top of them.
func ProtectedSkill(skillID string) bool { return slices.Contains(protectedSkills, skillID) }
