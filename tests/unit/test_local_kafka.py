"""Kafka of the local stack."""

import re
import uuid

import pytest

from infra.local import kafka


def test_a_clusters_id_never_looks_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter([uuid.UUID(int=0xFB << 120), uuid.UUID(int=0xFB << 120), uuid.UUID(int=7)])
    monkeypatch.setattr(uuid, "uuid4", lambda: next(ids))

    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", kafka.new_cluster_id())
