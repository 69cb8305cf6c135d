"""The running gateway keeps to its OpenAPI document, whatever is sent to it: schemathesis over every operation."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS

from gateway.openapi import document
from infra.local.stack import LocalStack
from tests.builders.gateway import a_client, a_person

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

# What only a consumer or a list of names can know is refused with 400 or 422 though the document allows it.
CHECKED = [check for check in CHECKS.get_all() if check.__name__ != "positive_data_acceptance"]


schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def tokens(stack: LocalStack) -> dict[str, str]:
    """The token every operation is asked with, and one for the operation that may end its session."""
    found = {}
    for name in ("any", "end_session"):
        with a_person(stack) as person:
            found[name] = person.tokens["access_token"]
    return found


@schema.parametrize()
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_gets_what_the_document_does_not_say(case: Any, stack: LocalStack, tokens: dict[str, str]) -> None:
    token = tokens.get(case.operation.definition.raw["operationId"], tokens["any"])

    case.call_and_validate(
        base_url=f"http://127.0.0.1:{stack.ports['gateway']}",
        headers={"Authorization": f"Bearer {token}"},
        checks=CHECKED,
        timeout=15,
    )


def test_the_document_is_the_one_that_is_served(stack: LocalStack) -> None:
    with a_client(stack) as http:
        served = http.get(f"http://127.0.0.1:{stack.ports['gateway']}/openapi.json")

    assert served.status_code == 200
    assert served.json()["info"]["title"] == "cash-flow"
