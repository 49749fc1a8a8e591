package lab

import (
	"context"
	"fmt"
	"net/url"
)

// PostgresSpec is a PostgreSQL 15 server. Its data is in memory: a restart of
// the container begins with an empty database again.
type PostgresSpec struct {
	Name           string // service; default postgres
	Restart        string
	MaxConnections int      // default 40
	Settings       []string // further settings, name=value
}

// Postgres is a running server.
type Postgres struct {
	Service string
	// DSN as the superuser indexer, the role of StellarEscrow, over the host's
	// loopback.
	DSN string
	// Inside is the DSN for other containers of the project.
	Inside string
}

// PostgresPassword is the password of the role indexer.
const PostgresPassword = "lab-secret-indexer"

// The server is no process 1: such a one cannot be killed from inside (CrashPostgres).
const postgresScript = `set -eu
echo "$PGSECRET" > /data/pw
$BIN/initdb -D /data/db -N -U indexer --pwfile=/data/pw -A scram-sha-256 --locale=C.UTF-8 >/data/initdb.log 2>&1 || { cat /data/initdb.log; exit 1; }
echo "host all all all scram-sha-256" >> /data/db/pg_hba.conf
echo "create database stellar_escrow" | $BIN/postgres --single -D /data/db postgres >/dev/null
$BIN/postgres -D /data/db -c listen_addresses='*' -c unix_socket_directories=/data -c fsync=off "$@" &
server=$!
trap 'kill -INT $server' TERM INT
set +e
wait $server; code=$?
while kill -0 $server 2>/dev/null; do wait $server; code=$?; done
exit $code
`

// Postgres starts a PostgreSQL server out of the host's programs, with the
// database stellar_escrow, and waits until it is ready.
func (l *Lab) Postgres(ctx context.Context, spec PostgresSpec) (*Postgres, error) {
	if spec.Name == "" {
		spec.Name = "postgres"
	}
	if spec.MaxConnections == 0 {
		spec.MaxConnections = 40
	}
	const bin = "/usr/lib/postgresql/15/bin"
	if _, err := program("initdb", "postgresql-15", bin); err != nil {
		return nil, err
	}
	command := []string{"/bin/sh", "-c", postgresScript, "postgres", "-c", fmt.Sprintf("max_connections=%d", spec.MaxConnections)}
	for _, setting := range spec.Settings {
		command = append(command, "-c", setting)
	}
	address, err := l.hostContainer(ctx, hostService{
		spec:    ServiceSpec{Name: spec.Name, Restart: spec.Restart},
		command: command,
		env:     []string{"BIN=" + bin, "PGSECRET=" + PostgresPassword},
		check:   []string{"CMD", bin + "/pg_isready", "-q", "-h", "127.0.0.1", "-U", "indexer", "-d", "stellar_escrow"},
		port:    5432,
		memory:  "512m",
	})
	if err != nil {
		return nil, err
	}
	return &Postgres{Service: spec.Name, DSN: postgresDSN(address), Inside: postgresDSN(spec.Name + ":5432")}, nil
}

func postgresDSN(address string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("indexer", PostgresPassword), Host: address,
		Path: "/stellar_escrow", RawQuery: "sslmode=disable",
	}
	return u.String()
}
