// Package postgres runs a private PostgreSQL from the binaries that the machine
// has installed: for the first run of fleetd, for the demo and for tests. It
// downloads nothing and listens on no network, only on a Unix socket that its own
// user alone can reach.
//
// Start makes the database folder on first use, starts the server and returns its
// URL. A server that already runs in the folder (another fleetd, or `fleetd token
// create` beside `fleetd serve`) is joined, not started twice. While a Server is
// open it is kept up: when the process that owned the server ends, one of those
// that had joined starts it again at the same URL.
//
// The server never outlives the process that started it (on Linux, by the
// parent-death signal), and its data survives whatever ends that process: the
// next Start waits for the old server to end and Postgres recovers by itself.
//
// As root, which Postgres refuses to run as, the server runs as the user postgres
// and owns its sub-folder; everything else stays as it was.
//
// Layout of a data folder:
//
//	DataDir/postgres/data          the database cluster
//	DataDir/postgres/run           the socket, where the path is short enough for one
//	DataDir/postgres/socket        the name of the socket's folder where it is not
//	DataDir/postgres/lock          held while starting, so that starters take turns
//	DataDir/postgres/postgres.log  what the server says
package postgres
