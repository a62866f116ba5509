// Package document reads and writes fleet.yaml, the file that people keep in Git to
// say what should be on the homes of an account:
//
//	version: 1
//	account: acme
//	desired:
//	  - select: property=maple-court,occupancy=vacant
//	    skills:
//	      amzn1.ask.skill.aaa: live
//	      amzn1.ask.skill.bbb: disabled
//	  - select: all
//	    skills:
//	      amzn1.ask.skill.ccc: certification
//
// An entry says for each of its skills what it should be on every unit that its
// selector picks: enabled at a stage, or disabled. The file is the whole desired
// state of the account. A unit may be picked by several entries as long as they agree
// on each skill.
//
// Reading is strict, for a key that is misspelled must not be a key ignored: every
// key is known and stands once, there is one YAML document of at most MaxBytes, and
// anchors, aliases and tags of one's own are refused. Errors name line and column,
// the first MaxFaults of them.
package document
