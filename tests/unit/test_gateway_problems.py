"""Every error is a problem (RFC 9457), the framework's own and defects too, and none says what it should not."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.app import AllSettings, create_app
from gateway.draining import Draining
from gateway.settings import GatewayHttpSettings, LimitSettings
from infra.settings import KafkaSettings, LedgerDatabaseSettings, RedisSettings, UsersDatabaseSettings
from tests.builders.gateway import gateway_settings

NOWHERE: dict[str, Any] = {"host": "127.0.0.1", "port": 1, "password": "none"}


@pytest.fixture
def http() -> httpx.AsyncClient:
    """A gateway whose servers are all down."""
    app = create_app(
        AllSettings(
            gateway=gateway_settings(),
            http=GatewayHttpSettings(),
            limits=LimitSettings(),
            kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", security_protocol="PLAINTEXT"),
            users_database=UsersDatabaseSettings(user="nobody", **NOWHERE),
            ledger_database=LedgerDatabaseSettings(user="nobody", **NOWHERE),
            redis=RedisSettings(**NOWHERE),
        ),
        Draining(),
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]  # Litestar's scope
    return httpx.AsyncClient(transport=transport, base_url="http://gateway/api/v1")


def problem(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:cash-flow:problem:")
    assert body["title"]
    assert body["detail"]
    assert len(body["trace_id"]) == 32
    return body


JSON = {"Content-Type": "application/json"}


async def test_an_unknown_address_is_a_problem(http: httpx.AsyncClient) -> None:
    problem(await http.get("/nothing"), 404)
    problem(await http.get("/transactions/not-a-uuid"), 404)
    problem(await http.get("http://gateway/docs/page.exe"), 404)


async def test_a_method_an_address_does_not_take_is_a_problem_that_lists_those_it_takes(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.put("/registrations")

    problem(answer, 405)
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/jsonx", "", "multipart/form-data"]
)
async def test_a_body_that_is_not_json_is_a_problem(http: httpx.AsyncClient, content_type: str) -> None:
    answer = await http.post("/sessions", content=b"{}", headers={"Content-Type": content_type})

    assert problem(answer, 415)["errors"][0]["field"] == "Content-Type"


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON ; charset=utf-8"])
async def test_json_is_json_however_it_is_spelled(http: httpx.AsyncClient, content_type: str) -> None:
    problem(await http.post("/sessions", content=b"{}", headers={"Content-Type": content_type}), 400)


async def test_a_body_that_is_too_large_is_a_problem(http: httpx.AsyncClient) -> None:
    body = b'{"username": "' + b"x" * 70_000 + b'"}'

    problem(await http.post("/sessions", content=body, headers=JSON), 413)


async def test_a_body_that_is_too_large_and_does_not_say_so_is_a_problem(http: httpx.AsyncClient) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b"x" * 1000

    problem(await http.post("/sessions", content=endless(), headers=JSON), 413)


async def test_no_body_is_a_problem(http: httpx.AsyncClient) -> None:
    problem(await http.post("/sessions", headers=JSON), 400)


async def test_no_token_is_a_problem_that_says_what_is_wanted(http: httpx.AsyncClient) -> None:
    answer = await http.get("/transactions")

    assert problem(answer, 401)["errors"][0]["field"] == "Authorization"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer", "Bearer x", "Basic YTpi", "Bearer a.b.c", "bearer  ", "Bearer \xff"])
async def test_a_token_that_is_none_is_a_problem(http: httpx.AsyncClient, header: str) -> None:
    answer = await http.get("/transactions", headers={b"Authorization": header.encode("latin-1")})

    problem(answer, 401)


async def test_who_asks_is_looked_at_before_what_is_asked(http: httpx.AsyncClient) -> None:
    problem(await http.post("/transactions", content=b"nonsense", headers=JSON), 401)


@pytest.mark.parametrize("key", ["", " ", " x", "x" * 256, "a\tb", "caf\xe9"])
async def test_an_idempotency_key_that_cannot_be_one_is_a_problem(http: httpx.AsyncClient, key: str) -> None:
    body = {"email": "ann@example.org", "base_currency": "EUR", "time_zone": "UTC"}
    answer = await http.post("/registrations", json=body, headers={b"Idempotency-Key": key.encode("latin-1")})

    assert problem(answer, 400)["errors"][0]["field"] == "Idempotency-Key"


async def test_a_write_gets_its_key_back_whatever_the_answer(http: httpx.AsyncClient) -> None:
    made = await http.post("/transactions", content=b"nonsense", headers=JSON)
    given = await http.post("/registrations", content=b"nonsense", headers=JSON | {"Idempotency-Key": "mine"})

    assert problem(made, 401)["idempotency_key"] == made.headers["idempotency-key"]
    assert problem(given, 400)["idempotency_key"] == given.headers["idempotency-key"] == "mine"


async def test_limits_that_cannot_be_counted_let_nobody_in(http: httpx.AsyncClient) -> None:
    body = {"email": "ann@example.org", "base_currency": "EUR", "time_zone": "UTC"}
    answer = await http.post("/registrations", json=body, headers={"Idempotency-Key": "mine"})

    assert problem(answer, 503)["idempotency_key"] == "mine"
    assert answer.headers["idempotency-key"] == "mine"
    assert int(answer.headers["retry-after"]) > 0


async def test_a_defect_says_nothing_but_its_trace(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("gateway.readiness.Readiness.problems", broken)
    answer = await http.get("http://gateway/health/ready")

    problem(answer, 500)
    assert "hunter2" not in answer.text


async def test_a_trace_goes_on_where_a_request_brought_one(http: httpx.AsyncClient) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    answer = await http.get("/nothing", headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})

    assert answer.json()["trace_id"] == trace_id
    assert (await http.get("/nothing", headers={"traceparent": "junk"})).json()["trace_id"] != trace_id


@pytest.mark.parametrize("host", ["x:99999999", "a:b:c", "[", "", "caf\xe9"])
async def test_whatever_stands_in_host_is_no_defect(http: httpx.AsyncClient, host: str) -> None:
    headers = {b"Host": host.encode("latin-1")}

    problem(await http.post("/sessions", content=b"", headers=headers | {b"Content-Type": b"application/json"}), 400)
    assert (await http.get("/transactions?limit=x", headers=headers)).status_code in (400, 401)


async def test_not_ready_says_why(http: httpx.AsyncClient) -> None:
    answer = await http.get("http://gateway/health/ready")

    assert answer.status_code == 503
    assert {reason.split(" does")[0] for reason in answer.json()["because"]} >= {
        "Kafka",
        "the users database",
        "the ledger database",
    }
    # Without it most goes on, so it takes no gateway out of service.
    assert "Redis does not answer" in answer.json()["without"]
    assert (await http.get("http://gateway/health/live")).json() == {"status": "alive"}


async def test_the_documentation_asks_nobody_but_us(http: httpx.AsyncClient) -> None:
    pages = await asyncio.gather(
        *(http.get(f"http://gateway{path}") for path in ("/docs", "/docs/page.css", "/docs/page.js"))
    )

    for page in pages:
        assert page.status_code == 200
        assert "//" not in page.text.replace("// ", "").replace("http://www.w3.org", "")
        assert "default-src 'none'" in page.headers["content-security-policy"]
