#!/bin/sh
# Start Kafka in the image apache/kafka, beside server.properties: format the storage the first time, then run.
# No secret ever stands on a command line or in the environment: everybody in the container could read it there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
secrets=/run/secrets/cash-flow
data=/var/lib/kafka/data
class_path='/opt/kafka/libs/*'

fail() {
    echo "kafka: $1" >&2
    exit 1
}

for name in KAFKA_BROKER_PASSWORD KAFKA_CONTROLLER_PASSWORD KAFKA_ADMINISTRATOR_PASSWORD tls.pem ca.crt; do
    [ -s "$secrets/$name" ] || fail "$secrets/$name is missing or empty"
done
for name in KAFKA_BROKER_PASSWORD KAFKA_CONTROLLER_PASSWORD KAFKA_ADMINISTRATOR_PASSWORD; do
    # Kafka would take a line feed at the end for a part of the password.
    grep -qE '^[A-Za-z0-9_.~-]+$' "$secrets/$name" && [ "$(wc -l <"$secrets/$name")" -eq 0 ] ||
        fail "$secrets/$name is not one word of letters, digits and -_.~ without a line feed"
done
[ -w "$data" ] || fail "$data cannot be written by the user $(id -u)"

# Compression libraries are unpacked into it, so it must allow programs; /tmp often does not.
mkdir -p "$data/tmp"
rm -rf "$data/tmp/"*

set -- -Djava.awt.headless=true "-Djava.io.tmpdir=$data/tmp" -XX:+ExitOnOutOfMemoryError \
    -Xlog:disable -Xlog:all=error:stderr \
    "-Dlog4j2.configurationFile=$here/log4j2.properties" -Dlog4j2.disableJmx=true -cp "$class_path"

if [ ! -f "$data/log/meta.properties" ]; then
    # The first users are put in at formatting, so that no listener ever has to be open without sign-in. The others are
    # made by the administrator (python -m infra.kafka.bootstrap).
    # A random UUID as Kafka writes it. None begins with a dash: it would be taken for an option.
    cluster_id=$(head -c 16 /dev/urandom | base64 | tr '/+' '_-' | tr -d '=' | sed 's/^-/A/')
    arguments="$data/tmp/format.args"
    (umask 077 && {
        echo kafka.tools.StorageTool format --cluster-id "$cluster_id" --config "$here/server.properties"
        for user in BROKER ADMINISTRATOR; do
            name=$(echo "$user" | tr '[:upper:]' '[:lower:]')
            echo "--add-scram SCRAM-SHA-512=[name=$name,password=$(cat "$secrets/KAFKA_${user}_PASSWORD")]"
        done
    } >"$arguments")
    java "$@" "@$arguments" >"$data/tmp/format.log" 2>&1 || fail "the storage could not be formatted: $(cat "$data/tmp/format.log")"
    rm -f "$arguments" "$data/tmp/format.log"
fi

# shellcheck disable=SC2086  # several options, split on purpose
exec java ${KAFKA_HEAP_OPTS:--Xms256m -Xmx512m} "$@" kafka.Kafka "$here/server.properties"
