package store

import (
	"fmt"
	"strings"

	"fleetd/internal/fleet"
)

// selectorSQL compiles a selector to a condition over units, aliased u. Every
// value and every label's key is an argument: args with those of the selector
// added is returned, and the first placeholder is $len(args)+1.
//
// It holds exactly where Selector.Matches does; removed units are the caller's
// to leave out.
func selectorSQL(sel fleet.Selector, args []any) (where string, outArgs []any) {
	if sel.All() {
		return "TRUE", args
	}
	terms := make([]string, len(sel.Terms))
	for i, t := range sel.Terms {
		terms[i], args = termSQL(t, args)
	}
	return strings.Join(terms, " AND "), args
}

func termSQL(t fleet.Term, args []any) (string, []any) {
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	var value, present string
	switch t.Key {
	case fleet.KeyProperty:
		value, present = "u.property", "TRUE"
	case fleet.KeyOccupancy:
		value, present = "u.occupancy", "TRUE"
	case fleet.KeyUnit:
		value, present = "u.unit_id", "TRUE"
	case fleet.KeyName:
		value, present = "u.name", "u.name <> ''"
	default:
		key := arg(t.Key) + "::text"
		value, present = "u.labels ->> "+key, "u.labels ? "+key
	}
	switch t.Op {
	case fleet.OpEq, fleet.OpIn:
		return fmt.Sprintf("(%s AND (%s) = ANY (%s::text[]))", present, value, arg(t.Values)), args
	case fleet.OpNotEq:
		return fmt.Sprintf("(NOT (%s) OR (%s) <> ALL (%s::text[]))", present, value, arg(t.Values)), args
	case fleet.OpHas:
		return "(" + present + ")", args
	}
	return "FALSE", args // no other operator exists; one that did must not match everything
}
