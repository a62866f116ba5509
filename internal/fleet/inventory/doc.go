// Package inventory reads and writes the CSV of homes: the file that unit import
// takes and unit export makes.
//
// The columns are unit_id, property, name, occupancy and labels, named by a
// header in any order; unit_id and property must be there. The text is UTF-8, with
// or without a byte order mark, lines end in LF or CRLF, and fields may be
// quoted as in RFC 4180, save that no field holds a line break: a quote that
// somebody forgot to close spoils one row, not the rest of the file.
//
// Reading streams. A row takes memory only while the caller holds it, no row is
// longer than MaxRowBytes, and a file of bad rows keeps the first MaxDetails of
// what is wrong and counts the others.
package inventory
