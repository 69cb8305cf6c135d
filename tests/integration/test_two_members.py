"""Two members and an import at once in one ledger: every conflict is told to exactly one, and nothing breaks."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Barrier
from typing import Any
from uuid import UUID

import httpx
import pytest

from contracts import topics
from contracts.catalog import read_journal_entry
from infra.kafka.producer import Producer
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.postgres.ledger_checks import check_ledgers
from infra.settings import KafkaSettings, LedgerDatabaseSettings
from tests.builders.gateway import Person, a_bulk_grant, a_person
from tests.builders.kafka import header, read_whole
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record, a_submission

pytestmark = pytest.mark.stack

SEED = int(os.environ.get("CASH_HISTORIES_SEED", Random().randrange(10**6)))
ACTS = 60
CONFLICTS = 20
IMPORTED = 1500
WAIT = {"Prefer": "wait=10"}


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        person.record()
        yield person


@pytest.fixture(scope="module")
def bob(stack: LocalStack, ann: Person) -> Iterator[Person]:
    """Bob, an editor of Ann's ledger."""
    with a_person(stack) as person:
        books = f"/ledgers/{ann.ledger_id}"
        invited = ann.http.post(f"{books}/invitations", json={"email": person.email, "role": "editor"}, headers=WAIT)
        assert invited.status_code == 201, invited.text
        joined = person.http.post(f"{books}/invitations/{invited.json()['id']}/accept", json={}, headers=WAIT)
        assert joined.status_code == 200, joined.text
        yield person


class Fuzzing:
    """One member who does whatever comes to mind with what both of them have recorded."""

    def __init__(self, person: Person, ledger_id: UUID, shared: list[str], seed: str) -> None:
        self._person, self._shared, self._chance = person, shared, Random(seed)
        self._path = f"/ledgers/{ledger_id}"
        self.answers: Counter[tuple[str, int, str | None]] = Counter()

    def __call__(self) -> None:
        for _ in range(ACTS):
            act = self._chance.choices(
                (self._record, self._edit, self._delete, self._undo, self._account), (5, 6, 2, 5, 1)
            )[0]
            answer = act()
            assert answer.status_code < 500, answer.text
            code = answer.json().get("code") if answer.status_code >= 400 else None
            self.answers[act.__name__, answer.status_code, code] += 1

    def _send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self._person.http.request(method, self._path + path, json=body, headers={**WAIT, **headers})

    def _record(self) -> httpx.Response:
        chance = self._chance
        body = chance.choice(
            [
                {"amount": f"{chance.randrange(1, 9999)}.47", "category": chance.choice(["Groceries", "Rent", "Fuel"])},
                {"splits": [{"amount": "1.50", "category": "Rent"}, {"amount": "2", "category": "Fuel"}]},
                {"amount": "3", "category": "Salary", "kind": "income", "tags": ["work"]},
            ]
        )
        answer = self._send("POST", "/transactions", body)
        if answer.status_code == 201:
            self._shared.append(answer.json()["id"])
        return answer

    def _one(self) -> tuple[str, dict[str, str]]:
        """Choose a transaction, with the version seen a moment ago, or without one."""
        chosen = self._chance.choice(self._shared)
        if self._chance.random() < 0.3:
            return chosen, {}
        return chosen, {"If-Match": self._send("GET", f"/transactions/{chosen}").headers["etag"]}

    def _edit(self) -> httpx.Response:
        chosen, headers = self._one()
        body = self._chance.choice([{"amount": "7.77"}, {"category": "Rent"}, {"payee": "Market"}, {"note": None}])
        return self._send("PATCH", f"/transactions/{chosen}", body, **headers)

    def _delete(self) -> httpx.Response:
        chosen, headers = self._one()
        return self._send("DELETE", f"/transactions/{chosen}", **headers)

    def _undo(self) -> httpx.Response:
        changes = self._send("GET", "/changes").json()["items"]
        chosen = self._chance.choice(changes[:10])
        return self._send("POST", f"/changes/{chosen['sequence']}/undo", {})

    def _account(self) -> httpx.Response:
        accounts = [each for each in self._send("GET", "/accounts").json()["items"] if each["kind"] == "expense"]
        body = self._chance.choice([{"name": f"Fuel {self._chance.randrange(3)}"}, {"group": "Home"}])
        return self._send("PATCH", f"/accounts/{self._chance.choice(accounts)['id']}", body)


async def imported(stack: LocalStack, user_id: UUID) -> None:
    """Write an import to the bulk topic while people work."""
    grant = a_bulk_grant(stack.environment("gateway"), user_id)
    producer = Producer(settings_from(stack.environment("importer"), KafkaSettings), client_id="tests")
    await producer.start()
    try:
        for start in range(0, IMPORTED, 100):
            await producer.send_all(
                [
                    a_record(
                        a_submission(user_id, amount="1.00", category=f"Imported {number % 7}"),
                        user_id,
                        key=f"import-{number}",
                        topic=topics.LEDGER_BULK,
                        grant=grant,
                    )
                    for number in range(start, start + 100)
                ]
            )
    finally:
        await producer.stop()


async def found_wrong(stack: LocalStack, ledger_id: UUID) -> tuple[int, list[str]]:
    """Wait for the import, and return how many transactions there are and what is wrong with the books."""
    settings = settings_from(stack.environment("ledger-consumer"), LedgerDatabaseSettings)
    database = Database(settings, application="tests")
    await database.start()
    try:
        async with asyncio.timeout(60):
            while True:
                async with database.connection("count an import") as connection:
                    count: int = await connection.fetchval(
                        "SELECT count(*) FROM operations WHERE subject_id = $1 AND idempotency_key LIKE 'import-%'",
                        ledger_id,
                    )
                    sequence: int = await connection.fetchval("SELECT sequence FROM ledgers WHERE id = $1", ledger_id)
                if count == IMPORTED:
                    return sequence, await check_ledgers(database, [ledger_id])
                await asyncio.sleep(0.2)
    finally:
        await database.stop()


async def sequences_of(stack: LocalStack, ledger_id: UUID, last: int) -> list[int]:
    """Return the sequences that the journal has of a ledger, once it has the last one."""
    settings = settings_from(stack.environment("operator"), KafkaSettings)
    async with asyncio.timeout(30):
        while True:
            records = await read_whole(settings, topics.LEDGER_JOURNAL.name)
            found = [
                read_journal_entry(header(record, "ce_type") or "", record.value).model_dump()["sequence"]
                for record in records
                if record.key == str(ledger_id).encode()
            ]
            if last in found:
                return list(dict.fromkeys(found))
            await asyncio.sleep(0.2)


@pytest.mark.timeout(240)
def test_whatever_two_members_and_an_import_do_at_once_the_books_stay_right(
    stack: LocalStack, ann: Person, bob: Person
) -> None:
    print(f"CASH_HISTORIES_SEED={SEED}")
    shared = [ann.record()["id"] for _ in range(5)]
    members = [Fuzzing(ann, ann.ledger_id, shared, f"{SEED} ann"), Fuzzing(bob, ann.ledger_id, shared, f"{SEED} bob")]

    with ThreadPoolExecutor(3) as threads:
        working = [threads.submit(member) for member in members]
        working.append(threads.submit(asyncio.run, imported(stack, ann.user_id)))
        for each in working:
            each.result()

    sequence, findings = asyncio.run(found_wrong(stack, ann.ledger_id))
    assert findings == []
    assert asyncio.run(sequences_of(stack, ann.ledger_id, sequence)) == list(range(1, sequence + 1))
    answers = members[0].answers + members[1].answers
    taken = sum(count for (_, status, _), count in answers.items() if status < 300)
    assert taken > ACTS // 2, answers


def test_of_two_edits_of_one_version_one_is_taken_and_the_other_one_is_told(
    stack: LocalStack, ann: Person, bob: Person
) -> None:
    path = f"/ledgers/{ann.ledger_id}/transactions"
    together = Barrier(2)

    def edit(person: Person, transaction: Any, amount: str) -> httpx.Response:
        together.wait()
        return person.http.patch(
            f"{path}/{transaction['id']}",
            json={"amount": amount},
            headers={**WAIT, "If-Match": f'"{transaction["version"]}"'},
        )

    with ThreadPoolExecutor(2) as threads:
        for _ in range(CONFLICTS):
            transaction = ann.record(amount="10.00")
            both = [
                threads.submit(edit, person, transaction, amount) for person, amount in ((ann, "11.00"), (bob, "12.00"))
            ]
            answers = sorted((each.result() for each in both), key=lambda answer: answer.status_code)
            assert [answer.status_code for answer in answers] == [200, 412]
            stands = ann.get(f"{path}/{transaction['id']}").json()
            assert stands["amount"] == answers[0].json()["amount"]
            assert stands["amount"] in answers[1].json()["detail"]
            assert answers[1].json()["code"] == "version_stale"
