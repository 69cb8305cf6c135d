"""Client networks: what counts as one."""

import pytest

from infra.redis.limits import network_of


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("", "unknown"),
        ("somewhere", "unknown"),
    ],
)
def test_a_client_counts_under_its_network(client: str | None, network: str) -> None:
    assert network_of(client) == network
