"""The OpenAPI document: committed as it is served, and complete."""

import json
from typing import Any

import pytest

from gateway.openapi import PATH, document

DOCUMENT: dict[str, Any] = document()
OPERATIONS = [
    pytest.param(path, method, operation, id=f"{method} {path}")
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
OPEN_TO_ALL = {
    "start_registration",
    "resend_code",
    "verify_registration",
    "choose_user",
    "get_registration_operation",
    "sign_in",
    "refresh_session",
    "list_keys",
    "get_live",
    "get_ready",
    "get_metrics",
}


def test_the_committed_document_is_the_one_the_code_makes() -> None:
    assert json.loads(PATH.read_text(encoding="utf-8")) == DOCUMENT, "run: python -m gateway.openapi"


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_operation_is_described_and_its_errors_are_problems(path: str, method: str, operation: Any) -> None:
    assert operation["summary"].endswith(".")
    assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}
    for status, response in operation["responses"].items():
        if status.startswith("4"):
            assert response["content"].keys() == {"application/problem+json"}, status


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_operation_asks_who_it_is_but_for_the_few_that_are_open(path: str, method: str, operation: Any) -> None:
    assert ("security" in operation) is (operation["operationId"] not in OPEN_TO_ALL)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_body_refuses_fields_it_does_not_know(path: str, method: str, operation: Any) -> None:
    if "requestBody" in operation:
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        assert DOCUMENT["components"]["schemas"][name]["additionalProperties"] is False


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if reference := node.get("$ref"):
                assert reference.removeprefix("#/components/schemas/") in schemas
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    walk(DOCUMENT)
