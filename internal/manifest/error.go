package manifest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"fleetd/internal/remote"
)

// ErrNotFound is in the chain of the error of a skill, a stage or a vendor that the API
// does not know.
var ErrNotFound = errors.New("not found")

// ErrConflict is in the chain of the error of a change that another one, still under
// way, keeps from being made.
var ErrConflict = errors.New("another change is under way")

// StaleError says that the manifest was changed since its entity tag was read. Nothing
// was done.
type StaleError struct {
	SkillID string
	Stage   Stage
	ETag    string // the one that does not stand any more
	Err     *remote.Error
}

// Error says what to do about it.
func (e *StaleError) Error() string { return e.Err.Error() }

// Unwrap returns what the API said.
func (e *StaleError) Unwrap() error { return e.Err }

// NotReadyError says that there is no manifest to read yet: the API answered with the
// way to the skill's status.
type NotReadyError struct {
	SkillID string
	Stage   Stage
	Status  Status // as it was read right after
}

// Error says how far the build is.
func (e *NotReadyError) Error() string {
	state := "not known"
	if m := e.Status.Manifest; m != nil {
		state = string(m.Update.State) + m.Update.what()
	}
	return fmt.Sprintf("the manifest of skill %s at stage %s cannot be read yet: the state of its last update is %s", e.SkillID, e.Stage, state)
}

// Temporary reports whether waiting may help: a build that failed does not mend itself.
func (e *NotReadyError) Temporary() bool {
	return e.Status.Manifest == nil || e.Status.Manifest.Update.State != StateFailed
}

// BuildError says that a build ended without success.
type BuildError struct {
	SkillID  string
	Resource Resource
	Locale   string // of an interaction model
	Update   Update // with its errors and warnings
}

// Error names what the build stumbled over, in the API's own words.
func (e *BuildError) Error() string {
	what := string(e.Resource)
	if e.Locale != "" {
		what += " " + e.Locale
	}
	return fmt.Sprintf("the build of the %s of skill %s is %s%s", what, e.SkillID, e.Update.State, e.Update.what())
}

// what is the errors of an update as the end of a sentence.
func (u Update) what() string {
	said := make([]string, 0, len(u.Errors))
	for _, e := range u.Errors {
		said = append(said, e.String())
	}
	if len(said) == 0 {
		return ""
	}
	return ": " + strings.Join(said, "; ")
}

// judge gives a failed call the name that programs ask for.
func judge(err error) error {
	var e *remote.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Status == http.StatusNotFound && e.HTML:
		page := *e
		page.Err = fmt.Errorf("%w: a 404 in HTML is not the API's word that something is not there", remote.ErrUnreadable)
		return &page
	case e.Status == http.StatusNotFound:
		return &kindError{kind: ErrNotFound, err: e}
	case e.Status == http.StatusConflict:
		return &kindError{kind: ErrConflict, err: e}
	}
	return err
}

// kindError is a remote error that errors.Is also knows by a kind.
type kindError struct {
	kind error
	err  *remote.Error
}

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.err, e.kind} }

// advice says by status how to mend a refusal. The 400s of writes are about the
// manifest, and what the API says of it comes with the error.
func advice(operation string) map[int]string {
	all := map[int]string{
		http.StatusBadRequest: "check the skill ID, the stage and the account's region",
		http.StatusForbidden: "check that the user of the developer credential belongs to the skill's vendor, " +
			"and that its token was granted the scope alexa::ask:skills:readwrite",
		http.StatusNotFound: "check the skill ID and the stage: fleetctl skill list shows what the vendor has",
		http.StatusConflict: "another change of the skill is under way: wait until fleetctl skill status shows its end, then try again",
		http.StatusPreconditionFailed: "the manifest was changed since it was read, and nothing was done: read it again, make the change in that, " +
			"and update with its entity tag",
	}
	switch operation {
	case OpCreate, OpUpdate:
		all[http.StatusBadRequest] = "mend the manifest as the API says"
		if operation == OpCreate {
			all[http.StatusNotFound] = "check the vendor ID of the developer credential"
		}
	case OpList:
		all[http.StatusBadRequest] = "check the vendor ID of the developer credential, and the skill IDs"
		all[http.StatusNotFound] = "check the vendor ID of the developer credential"
	}
	return all
}
