package demo

import (
	"fmt"
	"time"

	"fleetd/internal/fleet"
)

// maxListed is how many of the things that are wrong are listed one by one.
const maxListed = 10

// verdict is one closing check.
type verdict struct {
	held bool
	text string
	more []string // what did not hold, one by one
}

// verdicts are the closing checks.
func (d *demo) verdicts() []verdict { return append(d.rolloutVerdicts(), d.driftVerdicts()...) }

func (d *demo) rolloutVerdicts() []verdict {
	r, o := d.rollout, d.outcomes
	var doubles []string
	for _, e := range append(o.spent.DoubleWriteExamples, d.repair.spent.DoubleWriteExamples...) {
		doubles = append(doubles, e.UnitID)
	}
	twice := o.spent.DoubleWrites + d.repair.spent.DoubleWrites
	list := []verdict{
		{o.total == d.cfg.Homes && int(r.Targets) == o.total, fmt.Sprintf("%s of %s homes have a recorded outcome", count(ended(r.Counts)), count(d.cfg.Homes)), nil},
		{len(o.wrong) == 0, fmt.Sprintf("%s of %s recorded outcomes agree with the API's true state, checked one by one", count(o.total-len(o.wrong)), count(o.total)), o.wrong},
		{twice == 0, fmt.Sprintf("%s a home was written twice without a read in between", times(twice)), doubles},
		{len(d.journal.broken) == 0, fmt.Sprintf("%s of %s looks found counts whole, outcomes kept and waves in order",
			count(d.journal.looks-min(d.journal.looks, len(d.journal.broken))), count(d.journal.looks)), d.journal.broken},
		{r.Failures <= r.MaxFailures, fmt.Sprintf("%s, where %s are borne", things(r.Failures, "failure"), count(r.MaxFailures)), nil},
	}
	switch {
	case d.crash != nil:
		list = append(list, verdict{
			d.crash.settled,
			fmt.Sprintf("kill -9: %s taken over by the next process", things(len(d.crash.held), "home")), nil,
		})
	case !d.cfg.NoKill:
		list = append(list, verdict{false, "kill -9: the rollout ended before the worker was killed", nil})
	}
	return list
}

func (d *demo) driftVerdicts() []verdict {
	var unseen []string
	answered, units := int64(0), int64(0)
	for _, a := range []*auditing{d.first, d.second} {
		unseen = append(unseen, compareSights(a.truth, a.unknown)...)
		answered += a.audit.InSync + a.audit.Drifted + a.audit.Unknown
		units += int64(len(a.truth))
	}
	clean := d.second.audit.Drifted == 0 && len(d.second.found) == 0
	var left []string
	for _, f := range d.second.found {
		left = append(left, f.UnitID+": "+f.Kind)
	}
	failed := 0
	for _, r := range d.repair.rollouts {
		if r.State != string(fleet.RolloutSucceeded) {
			failed++
		}
	}
	right := len(d.wanted) - len(d.wrongRepaired)
	return []verdict{
		{answered == units && len(unseen) == 0, fmt.Sprintf("%s of %s homes answered by two audits, none called clean unseen, none written to", count(answered), count(units)), unseen},
		{len(d.wrongFound) == 0, fmt.Sprintf("%s of %s findings are what there was to find, kind and cause, checked one by one",
			count(len(d.first.found)-min(len(d.first.found), len(d.wrongFound))), count(len(d.wanted))), d.wrongFound},
		{len(d.wrongRepaired) == 0 && failed == 0, fmt.Sprintf("%s of %s differences are put right in truth, by %s", count(right), count(len(d.wanted)),
			things(len(d.repair.rollouts), "rollout")), d.wrongRepaired},
		{clean, fmt.Sprintf("the second audit is clean: %s drifted, %s open", things(d.second.audit.Drifted, "home"), things(len(d.second.found), "finding")), left},
	}
}

func times(n uint64) string { return things(n, "time") }

// printVerdicts prints the checks and returns a *CheckError when one did not hold.
func (d *demo) printVerdicts(list []verdict) error {
	d.p.text("")
	var failed *CheckError
	for _, v := range list {
		mark := d.p.paint(green, "held  ")
		if !v.held {
			mark = d.p.paint(red, "FAILED")
			if failed == nil {
				failed = &CheckError{Of: len(list), First: v.text}
			}
			failed.Failed++
		}
		d.p.text("   %s  %s", mark, v.text)
		if v.held {
			continue
		}
		for _, line := range v.more[:min(len(v.more), maxListed)] {
			d.p.text("           %s", line)
		}
		if rest := len(v.more) - maxListed; rest > 0 {
			d.p.text("           and %s more", count(rest))
		}
	}
	d.p.text("")
	if failed != nil {
		return failed
	}
	d.p.text("   The demo took %s.", seconds(time.Since(d.began)))
	return nil
}
