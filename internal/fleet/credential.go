package fleet

// CredentialKind says which APIs a credential of an account opens.
type CredentialKind string

// The kinds. An account has one credential of each at most.
const (
	// CredentialEnterprise opens the residential APIs: what rollouts and audits work
	// with. Every account has it.
	CredentialEnterprise CredentialKind = "enterprise"
	// CredentialDeveloper opens the APIs of one vendor's own skills: their manifests,
	// their enablement for the developer, and the events of their development.
	CredentialDeveloper CredentialKind = "developer"
	// CredentialCustomer opens the skill enablement API in the name of one customer.
	CredentialCustomer CredentialKind = "customer"
)

// CredentialKinds lists every kind.
func CredentialKinds() []CredentialKind {
	return []CredentialKind{CredentialEnterprise, CredentialDeveloper, CredentialCustomer}
}

// NeedsVendor reports whether a credential of this kind speaks for a vendor, whose ID
// must be known; the others have none.
func (k CredentialKind) NeedsVendor() bool { return k == CredentialDeveloper }
