package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"fleetd/internal/apis"
	"fleetd/internal/fleet"
	"fleetd/internal/manifest"
)

// SkillID is the skill in the path.
type SkillID struct {
	SkillID string `path:"skill_id" maxLength:"255" doc:"The skill's ID."`
}

// SkillStage is the stage in the path.
type SkillStage struct {
	Stage string `path:"stage" enum:"development,certified,live" doc:"The stage, as the skill manifest API spells it."`
}

// skillCreate is the body of createSkill.
type skillCreate struct {
	Manifest json.RawMessage `json:"manifest" doc:"The manifest, an object: what a skill.json holds under manifest."`
	Reason   string          `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// manifestUpdate is the body of updateManifest.
type manifestUpdate struct {
	Manifest json.RawMessage `json:"manifest" doc:"The whole manifest, an object: what a skill.json holds under manifest."`
	ETag     string          `json:"etag,omitempty" maxLength:"512" doc:"The entity tag of the manifest that is replaced, as getManifest read it: where another one stands by now, the call is refused with 412. Not given: whatever stands there is replaced."`
	Reason   string          `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// SkillCreated is a skill that the API took on.
type SkillCreated struct {
	SkillID   string `json:"skill_id"`
	RequestID string `json:"request_id,omitempty" doc:"Amazon's ID of the request; empty where an earlier call made the skill."`
}

// SkillManifest is the manifest of a skill at a stage.
type SkillManifest struct {
	SkillID   string          `json:"skill_id"`
	Stage     string          `json:"stage"`
	ETag      string          `json:"etag" doc:"Its version, for updateManifest; empty where the API gave none."`
	Manifest  json.RawMessage `json:"manifest" doc:"An object, as it came."`
	RequestID string          `json:"request_id,omitempty" doc:"Amazon's ID of the request."`
}

// SkillAccepted is a change that the API took on.
type SkillAccepted struct {
	SkillID   string `json:"skill_id"`
	Stage     string `json:"stage"`
	RequestID string `json:"request_id,omitempty" doc:"Amazon's ID of the request."`
}

// SkillState is the status of a skill's resources.
type SkillState struct {
	manifest.Status

	Ended bool `json:"ended" doc:"Everything that was asked for has SUCCEEDED or FAILED."`
}

type skillListOut struct{ Body *list[manifest.Summary] }

type skillCreatedOut struct {
	Replay

	Body SkillCreated
}

type manifestOut struct{ Body SkillManifest }

type skillAcceptedOut struct{ Body SkillAccepted }

type skillStateOut struct{ Body SkillState }

func (s *server) registerSkills() {
	const (
		tag      = "skills"
		skills   = "/accounts/{name}/skills"
		skill    = skills + "/{skill_id}"
		document = skill + "/stages/{stage}/manifest"
	)
	register(s, operation{
		id: "listSkills", method: http.MethodGet, path: skills, tag: tag, role: fleet.RoleViewer, timeout: listTimeout,
		summary: "List the skills of the account's vendor, an entry for each stage",
		text:    "All of them in one page, which is whole or an error. It takes a request of the developer budget for every fifty entries, or for every ten skills that are named.",
	}, s.listSkills)
	register(s, operation{
		id: "createSkill", method: http.MethodPost, path: skills, tag: tag, role: fleet.RoleOperator, status: http.StatusAccepted,
		summary: "Create a skill from a manifest",
		text:    "Its build goes on in the background: getSkillStatus follows it. A repeated call with the same Idempotency-Key answers with the skill that the first one made; where the first one's end is not known it is refused, because a second skill cannot be told from the first.",
	}, s.createSkill)
	register(s, operation{
		id: "getManifest", method: http.MethodGet, path: document, tag: tag, role: fleet.RoleViewer,
		summary: "Read the manifest of a skill at a stage, with its entity tag",
		text:    "Refused with 409 while the manifest is being built.",
	}, s.getManifest)
	register(s, operation{
		id: "updateManifest", method: http.MethodPut, path: document, tag: tag, role: fleet.RoleOperator, status: http.StatusAccepted,
		summary: "Replace the manifest of a skill at a stage",
		text:    "Its build goes on in the background: getSkillStatus follows it.",
	}, s.updateManifest)
	register(s, operation{
		id: "getSkillStatus", method: http.MethodGet, path: skill + "/status", tag: tag, role: fleet.RoleViewer,
		summary: "Say how the last changes of a skill went",
		text:    "With wait the answer comes when what is asked for has ended, or when the time is over: then ended is false, and the call is made again.",
	}, s.getSkillStatus)
	register(s, operation{
		id: "deleteSkill", method: http.MethodDelete, path: skill, tag: tag, role: fleet.RoleAdmin, status: http.StatusNoContent,
		summary: "Delete a skill with its interaction model",
		text:    "Of the vendor, for good: it is no matter of homes, where a rollout disables it.",
	}, s.deleteSkill)
}

func (s *server) listSkills(ctx context.Context, in *struct {
	AccountName

	SkillIDs []string `query:"skill_id,explode" maxItems:"1000" doc:"Only these skills."`
},
) (*skillListOut, error) {
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	var items []manifest.Summary
	if len(in.SkillIDs) > 0 {
		items, err = dev.Manifest.Find(ctx, dev.VendorID, in.SkillIDs...)
	} else {
		items, err = dev.Manifest.List(ctx, dev.VendorID)
	}
	if err != nil {
		return nil, err
	}
	return &skillListOut{Body: newList(items, "")}, nil
}

func (s *server) createSkill(ctx context.Context, in *struct {
	AccountName
	Creating

	Body skillCreate
},
) (*skillCreatedOut, error) {
	ctx, cancel := writing(ctx)
	defer cancel()
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	once, err := in.idempotency("createSkill", in.Name, dev.VendorID, in.Body)
	if err != nil {
		return nil, err
	}
	var made manifest.Created
	id, again, err := s.createOnce(ctx, once, func() (string, error) {
		made, err = dev.Manifest.Create(ctx, dev.VendorID, in.Body.Manifest)
		object := skillObject(made.SkillID)
		return made.SkillID, s.record(ctx, "skill.create", object, in.Body.Reason, skillDetail(dev, "", made.RequestID), err)
	})
	if err != nil {
		return nil, err
	}
	return &skillCreatedOut{Replay: replayed(again), Body: SkillCreated{SkillID: id, RequestID: made.RequestID}}, nil
}

func (s *server) getManifest(ctx context.Context, in *struct {
	AccountName
	SkillID
	SkillStage
},
) (*manifestOut, error) {
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	m, err := dev.Manifest.Get(ctx, in.SkillID.SkillID, manifest.Stage(in.Stage))
	if notReady, ok := errors.AsType[*manifest.NotReadyError](err); ok {
		return nil, notReadyProblem(in.Name, notReady)
	}
	if err != nil {
		return nil, err
	}
	return &manifestOut{Body: SkillManifest{
		SkillID: in.SkillID.SkillID, Stage: in.Stage, ETag: m.ETag, Manifest: m.Body, RequestID: m.RequestID,
	}}, nil
}

// notReadyProblem is a conflict with what the build stumbled over, in the API's words.
func notReadyProblem(account string, e *manifest.NotReadyError) error {
	mend := fmt.Sprintf("; wait for its end with `fleetctl skill status %s --account %s --wait`", e.SkillID, account)
	switch m := e.Status.Manifest; {
	case m != nil && m.Update.State == manifest.StateSucceeded:
		mend = "; the API holds it back all the same, so try again in a moment"
	case !e.Temporary():
		mend = fmt.Sprintf("; its build failed, so update it with one that is mended: `fleetctl skill update %s --account %s --stage %s -f FILE --force` "+
			"puts the file there, whatever there is", e.SkillID, account, e.Stage)
	}
	p := &fleet.Error{Code: fleet.CodeConflict, Message: e.Error() + mend}
	if m := e.Status.Manifest; m != nil {
		for _, said := range m.Update.Errors {
			p.Details = append(p.Details, fleet.Detail{Message: said.String()})
		}
	}
	return p
}

func (s *server) updateManifest(ctx context.Context, in *struct {
	AccountName
	SkillID
	SkillStage

	Body manifestUpdate
},
) (*skillAcceptedOut, error) {
	ctx, cancel := writing(ctx)
	defer cancel()
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	id := in.SkillID.SkillID
	accepted, err := dev.Manifest.Update(ctx, manifest.UpdateParams{
		SkillID: id, Stage: manifest.Stage(in.Stage), Manifest: in.Body.Manifest, ETag: in.Body.ETag,
	})
	detail := skillDetail(dev, in.Stage, accepted.RequestID)
	if in.Body.ETag != "" {
		detail["replaced_etag"] = in.Body.ETag
	}
	if err := s.record(ctx, "skill.update", skillObject(id), in.Body.Reason, detail, err); err != nil {
		return nil, err
	}
	return &skillAcceptedOut{Body: SkillAccepted{SkillID: id, Stage: in.Stage, RequestID: accepted.RequestID}}, nil
}

func (s *server) getSkillStatus(ctx context.Context, in *struct {
	AccountName
	SkillID

	Resources []string `query:"resource,explode" enum:"manifest,interactionModel,hostedSkillDeployment,hostedSkillProvisioning" doc:"Only these; all when not given."`
	Wait      int      `query:"wait" minimum:"0" maximum:"20" doc:"Seconds to wait for the end of what is asked for: of the manifest, when no resource is."`
	ETag      string   `query:"etag" maxLength:"512" doc:"With wait: the entity tag that an update replaced, so that an end from before it is not taken for its own."`
},
) (*skillStateOut, error) {
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	resources := make([]manifest.Resource, len(in.Resources))
	for i, r := range in.Resources {
		resources[i] = manifest.Resource(r)
	}
	var status manifest.Status
	if in.Wait == 0 {
		if status, err = dev.Manifest.Status(ctx, in.SkillID.SkillID, resources...); err != nil {
			return nil, err
		}
		return &skillStateOut{Body: SkillState{Status: status, Ended: status.Ended(resources...)}}, nil
	}
	wait, cancel := s.waiting(ctx, time.Duration(in.Wait)*time.Second)
	defer cancel()
	status, err = dev.Manifest.Follow(wait, manifest.FollowParams{SkillID: in.SkillID.SkillID, Resources: resources, ETag: in.ETag})
	var failed *manifest.BuildError
	if err == nil || errors.As(err, &failed) {
		return &skillStateOut{Body: SkillState{Status: status, Ended: true}}, nil
	}
	if ctx.Err() == nil && wait.Err() != nil && !status.At.IsZero() {
		return &skillStateOut{Body: SkillState{Status: status}}, nil // the time is over, and this is how it stood
	}
	return nil, err
}

// waiting is the context of a wait for something that others do: it ends when the time is
// over, and when the process stops, which such a wait must not hold up.
func (s *server) waiting(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, most)
	go func() {
		select {
		case <-s.cfg.Stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (s *server) deleteSkill(ctx context.Context, in *struct {
	AccountName
	SkillID

	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*struct{}, error) {
	ctx, cancel := writing(ctx)
	defer cancel()
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	id := in.SkillID.SkillID
	requestID, err := dev.Manifest.Delete(ctx, id)
	return nil, s.record(ctx, "skill.delete", skillObject(id), in.Reason, skillDetail(dev, "", requestID), err)
}

// skillObject is a skill in the log; one that is not known, because it may not have
// been made, has no ID.
func skillObject(id string) string { return "skill/" + id }

// skillDetail is what the log keeps of a change of a skill.
func skillDetail(dev *apis.Developer, stage, requestID string) map[string]any {
	detail := map[string]any{"account": dev.Account, "vendor_id": dev.VendorID}
	if stage != "" {
		detail["stage"] = stage
	}
	if requestID != "" {
		detail["request_id"] = requestID
	}
	return detail
}
