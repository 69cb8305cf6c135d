#!/bin/sh
# Make the data folder unless it is there, give the superuser the password of its secret, and become PostgreSQL.
#
# In place of the image's own first start, which says thirty lines, leaves a folder half made where it is killed, and
# never takes a new password.
set -eu
folder=$(dirname "$0")
password=/run/secrets/cash-flow/POSTGRES_PASSWORD
set -- -D "$PGDATA" -c config_file="$folder/postgresql.conf" -c hba_file="$folder/pg_hba.conf"

if [ ! -e "$PGDATA/PG_VERSION" ]; then
  half=$PGDATA.new
  rm -rf "$half"
  mkdir -p "$half"
  # Sorting by code point, the same on every system.
  initdb --pgdata="$half" --username=postgres --pwfile="$password" --auth=scram-sha-256 --encoding=UTF8 \
    --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C >/dev/null
  mv "$half" "$PGDATA"
else
  # Alone with the data, before anybody can connect. A quote is doubled, as SQL wants it.
  printf "ALTER ROLE postgres PASSWORD '%s'\n" "$(sed "s/'/''/g" "$password")" |
    postgres --single "$@" -c log_min_messages=fatal postgres >/dev/null
fi
exec postgres "$@"
