// Package plan decides what retention does: from what is really in the stores, the rules and a moment it makes a plan. It
// is pure: no I/O, no clock of its own.
//
// A plan is complete and safe by construction: every row of it either will be done, or says what holds it back. What is
// younger than its rule, or than the floor, is in no row that deletes.
package plan
