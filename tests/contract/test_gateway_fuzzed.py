"""The running gateway keeps to its OpenAPI document, whatever is sent to it: schemathesis over every operation."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks

from gateway.openapi import document
from infra.local.stack import LocalStack
from tests.builders.gateway import Person, a_client, a_person

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

load_all_checks()
#: What only a consumer or a list of names can know is refused with 400, 412 or 422 though the document allows it.
#: Litestar's answer to OPTIONS has the methods of one handler only where an address has several.
_EXCLUDED = {"positive_data_acceptance", "allow_header_conformance"}
UNCHECKED = [check for check in CHECKS.get_all() if check.__name__ in _EXCLUDED]
_AS_IT_SHOULD_BE = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[1-9][0-9]*")

schema = schemathesis.openapi.from_dict(document())
# What is too large is refused before it is read.
rejecting = schema.config.checks.negative_data_rejection
rejecting.expected_statuses = [*rejecting.expected_statuses, "413"]


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    """Somebody whose ledger has something of everything."""
    with a_person(stack) as person:
        yield person


@pytest.fixture(scope="module")
def known(ann: Person) -> dict[str, str]:
    """Ids that exist, by the names of the parameters; without them nothing is found and little is tested."""
    ledger = f"/ledgers/{ann.ledger_id}"
    wait = {"prefer": "wait=10"}
    transaction = ann.record(category="Groceries")
    account = ann.post(f"{ledger}/accounts", {"name": "Checking", "kind": "asset", "opening_balance": "10"}, **wait)
    assertion = ann.post(f"{ledger}/assertions", {"account": "Checking", "balance": "10", "date": "2026-03-31"}, **wait)
    invitation = ann.post(f"{ledger}/invitations", {"email": "bob@example.org", "role": "viewer"}, **wait)
    for answer in (account, assertion, invitation):
        assert answer.status_code == 201, answer.text
    return {
        "ledger_id": str(ann.ledger_id),
        "transaction_id": transaction["id"],
        "account_id": account.json()["id"],
        "assertion_id": assertion.json()["id"],
        "invitation_id": invitation.json()["id"],
        "sequence": str(transaction["version"]),
        "user_id": str(ann.user_id),
    }


@pytest.fixture(scope="module")
def tokens(stack: LocalStack, ann: Person) -> dict[str, str]:
    """The token every operation is asked with, and one for the operation that may end its session."""
    with a_person(stack) as other:
        return {"any": ann.tokens["access_token"], "end_session": other.tokens["access_token"]}


@schema.parametrize()
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_gets_what_the_document_does_not_say(
    case: Any, stack: LocalStack, tokens: dict[str, str], known: dict[str, str]
) -> None:
    name = case.operation.definition.raw["operationId"]
    is_meant_wrong = case.meta is not None and case.meta.generation.mode.is_negative
    for parameter, value in () if is_meant_wrong else (case.path_parameters or {}).items():
        # Which ones follows from the case, so that it can be seen again.
        if parameter in known and _AS_IT_SHOULD_BE.fullmatch(str(value)) and str(value)[-1:] not in "0123":
            case.path_parameters[parameter] = known[parameter]
    sent = {
        "base_url": f"http://127.0.0.1:{stack.ports['gateway']}",
        "headers": {"Authorization": f"Bearer {tokens.get(name, tokens['any'])}"},
    }
    if name != "stream_events":
        case.call_and_validate(**sent, excluded_checks=UNCHECKED, timeout=15)
        return
    with requests.request(**case.as_transport_kwargs(**sent), stream=True, timeout=15) as response:
        # The stream itself never ends.
        if response.status_code == requests.codes.ok:
            assert response.headers["Content-Type"].startswith("text/event-stream")
        else:
            case.validate_response(response, excluded_checks=UNCHECKED)


def test_the_document_is_the_one_that_is_served(stack: LocalStack) -> None:
    with a_client(stack) as http:
        served = http.get(f"http://127.0.0.1:{stack.ports['gateway']}/openapi.json")

    assert served.status_code == 200
    assert served.json()["info"]["title"] == "cash-flow"
