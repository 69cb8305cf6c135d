"""Rate limits in Redis: tries counted per subject and per client network, in fixed windows. They fail closed."""

import hashlib
from ipaddress import IPv6Address, ip_address, ip_network

from redis.exceptions import RedisError

from infra.errors import Unavailable
from infra.redis.connection import connect
from infra.settings import RedisSettings

#: Counts one try under every key and returns how long (ms) until the last exceeded window ends; 0: none is exceeded.
#: A try beyond the limit does not make the window longer.
_COUNT = """
local wait = 0
for i, key in ipairs(KEYS) do
  local tries = redis.call('INCR', key)
  if tries == 1 then redis.call('PEXPIRE', key, ARGV[1]) end
  if tries > tonumber(ARGV[i + 1]) then wait = math.max(wait, redis.call('PTTL', key), 1) end
end
return wait
"""


class TooManyTries(Exception):
    """Somebody tried too often; ``retry_after_s`` says when to try again."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many tries, wait {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Limits:
    """Counts tries. Keys hold digests: no address or name is in Redis in clear."""

    def __init__(self, settings: RedisSettings, *, window_s: int, per_subject: int, per_network: int) -> None:
        """Keep the settings; nothing connects yet."""
        self._redis = connect(settings)
        self._count = self._redis.register_script(_COUNT)
        self._window_ms = window_s * 1000
        self._per_subject = per_subject
        self._per_network = per_network

    async def take(self, action: str, *, subject: str, client: str | None) -> None:
        """Count one try of ``action`` for a subject (an address, a name) from a client's IP address.

        Raises:
            TooManyTries: one of the two has no try left in this window.
            Unavailable: Redis does not answer, so nobody may try.
        """
        keys = [f"cash:tries:{action}:subject:{_digest(subject)}", f"cash:tries:{action}:network:{network_of(client)}"]
        try:
            wait_ms = int(await self._count(keys=keys, args=[self._window_ms, self._per_subject, self._per_network]))
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable("count tries") from error
        if wait_ms:
            raise TooManyTries(-(-wait_ms // 1000))

    async def ping(self) -> None:
        """Raise ``Unavailable`` unless Redis answers."""
        try:
            await self._redis.exists("cash:ping")
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable("ping Redis") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def network_of(client: str | None) -> str:
    """Return the network a client's address counts under: the /24 of IPv4, the /64 of IPv6, ``unknown`` without one."""
    try:
        address = ip_address((client or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(ip_network((address, 24 if address.version == 4 else 64), strict=False))


def _digest(subject: str) -> str:
    return hashlib.sha256(subject.encode(errors="surrogatepass")).hexdigest()[:32]
