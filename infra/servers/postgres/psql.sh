#!/bin/sh
# Open psql at a database of this server, as one who reads everything and changes nothing: psql.sh users|ledger [WORDS]
set -eu
database=$1
shift
PGPASSWORD=$(cat /run/secrets/cash-flow/POSTGRES_PASSWORD)
# What is typed is kept nowhere: the root is read-only.
export PGPASSWORD PGSSLMODE=verify-full PGSSLROOTCERT=/run/secrets/cash-flow/ca.crt PSQL_HISTORY=/dev/null
export PGOPTIONS="-c role=${database}_consumer -c default_transaction_read_only=on"
exec psql --host=localhost --username=postgres "$@" "$database"
