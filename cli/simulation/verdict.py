"""What was sent, held against what is read back: transactions one by one, and the balances that follow from them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

from cli.development.household import Entry
from cli.simulation.tally import DONE, Outcome
from contracts.ledgers import DEFAULT_ACCOUNT_NAME
from contracts.transactions import TransactionKind

#: By name of the account and currency.
_Amounts: TypeAlias = dict[tuple[str, str], Decimal]


class Fault(StrEnum):
    """How what is read back can differ from what was sent."""

    MISSING = "missing"
    """Accepted, and not there."""
    DOUBLED = "doubled"
    """Sent under one key, and there more than once."""
    CHANGED = "changed"
    """There, with other content than was sent."""
    FOREIGN = "foreign"
    """There, and nobody of this simulation sent it, or it was refused."""
    BALANCE = "balance"
    """An account holds something else than the sum of what was recorded."""


_Differ: TypeAlias = Callable[[Fault, str], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: whose, which one, and what is otherwise, in words."""

    username: str
    fault: Fault
    what: str

    def __str__(self) -> str:
        return f"{self.username}: {self.fault}: {self.what}"


@dataclass(slots=True)
class Sent:
    """A transaction of the plan, and what came of it; ``id`` is what the server called it."""

    entry: Entry
    outcome: Outcome = Outcome.UNSENT
    id: str | None = None


@dataclass(slots=True)
class Findings:
    """What holding one person's books, or those of all, against what was sent came to."""

    people: int = 0
    transactions: int = 0
    balances: int = 0
    #: Whose answer never came, and which were recorded, or were not.
    unknown_recorded: int = 0
    unknown_absent: int = 0
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Add another person's."""
        self.people += other.people
        self.transactions += other.transactions
        self.balances += other.balances
        self.unknown_recorded += other.unknown_recorded
        self.unknown_absent += other.unknown_absent
        self.differences += other.differences

    def by_fault(self) -> dict[Fault, int]:
        """Return how many differences of each kind there are; all kinds are named."""
        counted = Counter(each.fault for each in self.differences)
        return {fault: counted[fault] for fault in Fault}


def examine(
    username: str,
    sent: Sequence[Sent],
    earlier: Mapping[str, Entry],
    found: Sequence[Mapping[str, Any]],
    accounts: Sequence[Mapping[str, Any]],
) -> Findings:
    """Hold somebody's books against what was sent to them.

    Args:
        username: whose they are.
        sent: the plan, and what came of each.
        earlier: what other runs of this seed may have sent, by key: it may be there or not, but not otherwise.
        found: all transactions, as the API lists them.
        accounts: all accounts, as the API lists them.
    """
    findings = Findings(people=1, transactions=len(found))

    def differ(fault: Fault, what: str) -> None:
        findings.differences.append(Difference(username, fault, what))

    by_key: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in found:
        by_key[each["external_id"] or each["id"]].append(each)
    planned = {one.entry.key: one for one in sent}
    stands: list[Entry] = []
    for key, one in planned.items():
        there = by_key.pop(key, [])
        if not there:
            if one.outcome in DONE:
                differ(Fault.MISSING, _named(one.entry))
            elif one.outcome is Outcome.UNKNOWN:
                findings.unknown_absent += 1
            continue
        if one.outcome is Outcome.REFUSED or (one.outcome is Outcome.UNSENT and key not in earlier):
            differ(Fault.FOREIGN, f"{_named(one.entry)} was {one.outcome}, and is there")
        elif one.outcome is Outcome.UNKNOWN:
            findings.unknown_recorded += 1
        _compare(one.entry, there, differ, id=one.id)
        stands.append(one.entry)
    for key, there in by_key.items():
        entry = earlier.get(key)
        if entry is None:
            differ(Fault.FOREIGN, f"{there[0]['date']} {there[0]['amount']} {there[0]['currency']} ({there[0]['id']})")
        else:
            _compare(entry, there, differ)
            stands.append(entry)
    _compare_balances(stands, accounts, findings, differ)
    return findings


def _compare(entry: Entry, there: Sequence[Mapping[str, Any]], differ: _Differ, id: str | None = None) -> None:
    if len(there) > 1:
        differ(Fault.DOUBLED, f"{_named(entry)} is there {len(there)} times")
    first = next((each for each in there if each["id"] == id), there[0])
    wanted, read = _wanted(entry), _read(first)
    if id is not None:
        wanted, read = wanted | {"id": id}, read | {"id": first["id"]}
    for name, value in wanted.items():
        if read[name] != value:
            differ(Fault.CHANGED, f"{_named(entry)}: {name} is {_in_words(read[name])}, not {_in_words(value)}")


def _compare_balances(
    stands: Iterable[Entry], accounts: Sequence[Mapping[str, Any]], findings: Findings, differ: _Differ
) -> None:
    wanted: _Amounts = defaultdict(Decimal)
    for entry in stands:
        for source, destination, amount in _postings(entry):
            wanted[source, entry.currency] -= Decimal(amount)
            wanted[destination, entry.currency] += Decimal(amount)
    read: _Amounts = {
        (account["name"], balance["currency"]): Decimal(balance["amount"])
        for account in accounts
        for balance in account["balances"]
    }
    for name, currency in sorted({*wanted, *read}):
        findings.balances += 1
        held, sum_ = read.get((name, currency), Decimal()), wanted.get((name, currency), Decimal())
        if held != sum_:
            differ(Fault.BALANCE, f"{name} holds {held:f} {currency}, not {sum_:f} {currency}")


def _wanted(entry: Entry) -> dict[str, Any]:
    """Return what the API is to answer for a transaction, written down from what was sent."""
    has_parts, moves = entry.part is not None, entry.kind is TransactionKind.TRANSFER
    return {
        "kind": entry.kind.value,
        "amount": entry.text(entry.minor),
        "currency": entry.currency,
        "account": DEFAULT_ACCOUNT_NAME,
        "category": None if has_parts or moves else entry.category,
        "splits": [(entry.text(minor), name) for name, minor in entry.parts()] if has_parts else [],
        "to account": entry.category if moves else None,
        "description": entry.description,
        "payee": entry.payee,
        "tags": list(entry.tags),
        "day": entry.day.isoformat(),
        "external id": entry.external_id,
        "postings": [(*posting, entry.currency) for posting in _postings(entry)],
    }


def _read(found: Mapping[str, Any]) -> dict[str, Any]:
    splits = found.get("splits") or ()
    return {
        "kind": found["kind"],
        "amount": found["amount"],
        "currency": found["currency"],
        "account": _name(found["account"]),
        "category": None if splits else _name(found.get("category")),
        "splits": [(split["amount"], _name(split["category"])) for split in splits],
        "to account": _name(found.get("to_account")),
        "description": found["description"],
        "payee": found["payee"],
        "tags": found["tags"],
        "day": found["date"],
        "external id": found["external_id"],
        "postings": [
            (_name(each["source"]), _name(each["destination"]), each["amount"], each["currency"])
            for each in found["postings"]
        ],
    }


def _postings(entry: Entry) -> Iterator[tuple[str, str, str]]:
    """Yield from which account to which how much is to be posted."""
    comes_in = entry.kind in (TransactionKind.INCOME, TransactionKind.REFUND)
    for name, minor in entry.parts():
        source, destination = (name, DEFAULT_ACCOUNT_NAME) if comes_in else (DEFAULT_ACCOUNT_NAME, name)
        yield source, destination, entry.text(minor)


def _name(account: Mapping[str, Any] | None) -> str | None:
    return account["name"] if account else None


def _named(entry: Entry) -> str:
    return f"{entry.key} ({entry.day} {entry.text(entry.minor)} {entry.currency} {entry.category})"


def _in_words(value: object) -> str:
    return "nothing" if value in (None, [], "") else str(value)
