#!/bin/sh
# Say whether Redis answers whoever knows its password; while it still loads its data it does not.
set -eu
REDISCLI_AUTH=$(cat /run/secrets/cash-flow/REDIS_PASSWORD)
export REDISCLI_AUTH
[ "$(redis-cli --tls --cacert /run/secrets/cash-flow/ca.crt -t 3 ping)" = PONG ]
