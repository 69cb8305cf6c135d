"""Holding what is stored against the journal: the journal's entries are added up anew and must come to the same."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cli.books.event_lines import EventReader
from cli.books.ledger_choice import Ledger
from cli.connection.client import Client, Unanswered
from cli.connection.pages import list_pages, read_pages
from cli.terminal.output import ExitCode, fail
from contracts.accounts import AccountKind

#: So long nothing may come while there is more to come; a sign of life comes every 15 seconds only.
_SILENT_S = 10.0
_TRIES = 5
Amounts = dict[tuple[str, str], Decimal]


@dataclass
class Folded:
    """What the entries of a ledger's journal come to, in their order."""

    sequence: int = 0
    transactions: dict[str, dict[str, Any]] = field(default_factory=dict)
    amounts: Amounts = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    user_ids: set[str] = field(default_factory=set)
    _merged_into: dict[str, str | None] = field(default_factory=dict)

    def take(self, entry: Mapping[str, Any]) -> None:
        """Add an entry; refuses one that does not follow the last."""
        if entry["sequence"] != self.sequence + 1:
            fail(f"the journal has entry {entry['sequence']} after entry {self.sequence}; keep a copy of the data")
        self.sequence = entry["sequence"]
        self.user_ids.add(entry["user_id"])
        for posting in entry.get("postings") or ():
            amount = Decimal(posting["amount"])
            self._add(posting["source_account_id"], posting["currency"], -amount)
            self._add(posting["destination_account_id"], posting["currency"], amount)
        match entry["type"]:
            case "transaction.recorded":
                self.transactions[entry["transaction_id"]] = dict(entry)
            case "transaction.annotated":
                self.transactions[entry["transaction_id"]] |= entry
            case "transaction.reversed" if entry["deleted"]:
                del self.transactions[entry["transaction_id"]]
            case "account.opened":
                self.kinds[entry["account_id"]] = entry["kind"]
            case "account.changed":
                self._merged_into[entry["account_id"]] = entry.get("merged_into")

    def balances(self) -> Amounts:
        """Return what each account holds of each currency, where that is not nothing; a merged one in the other."""
        found: Amounts = {}
        for (account, currency), amount in self.amounts.items():
            while into := self._merged_into.get(account):
                account = into
            found[account, currency] = found.get((account, currency), Decimal(0)) + amount
        return {place: amount for place, amount in found.items() if amount}

    def _add(self, account: str, currency: str, amount: Decimal) -> None:
        self.amounts[account, currency] = self.amounts.get((account, currency), Decimal(0)) + amount


@dataclass(frozen=True)
class Stored:
    """What the database says of a ledger at one moment."""

    sequence: int
    transactions: Sequence[Mapping[str, Any]]
    balances: Sequence[Mapping[str, Any]]
    user_ids: frozenset[str]


def read_stored(client: Client, books: Ledger) -> Stored:
    """Read all transactions and balances of a ledger as they stand between two changes."""
    newest = _newest(client, books)
    for _ in range(_TRIES):
        before = newest
        transactions, _ = read_pages(list_pages(client, books.path("/transactions"), None))
        balances = client.call("GET", books.path("/balances")).body["items"]
        newest = _newest(client, books)
        if newest == before:
            break
    else:
        fail("the ledger changes all the time, so no two readings are of one moment; try again later")
    return Stored(newest, transactions, balances, _members(client, books))


def read_journal(client: Client, books: Ledger, until: int) -> Iterator[Any]:
    """Yield the entries of a ledger's journal up to one, from the first on.

    Raises:
        Failure: the journal does not reach so far, or the server ends it.
    """
    if not until:
        return
    reader = EventReader("0")
    is_open = False
    try:
        with client.stream(books.path("/events"), headers={"Last-Event-ID": "0"}, silent_s=_SILENT_S) as parts:
            is_open = True
            for event in (event for part in parts for event in reader.feed(part)):
                entry = json.loads(event.data)
                if event.type == "end":
                    fail(str(entry["detail"]).rstrip("."))
                yield entry
                if entry["sequence"] >= until:
                    return
    except Unanswered:
        if not is_open:
            raise
    fail(f"entry {until} is stored, and the journal does not bring it: is the relay running?", ExitCode.PENDING)


def differences(stored: Stored, folded: Folded) -> list[str]:
    """Return what is stored otherwise than the journal says, a sentence each."""
    known = {item["id"]: item for item in stored.transactions}
    found = [
        f"transaction {transaction_id} is stored, and the journal has none of it"
        for transaction_id in known.keys() - folded.transactions.keys()
    ]
    for transaction_id, entry in folded.transactions.items():
        item = known.get(transaction_id)
        if item is None:
            found.append(f"transaction {transaction_id} is in the journal and not stored")
        else:
            otherwise = [name for name, (one, other) in _facts(item, entry).items() if one != other]
            if otherwise:
                found.append(f"transaction {transaction_id} is stored with another {' and '.join(otherwise)}")
    found += _other_balances(stored.balances, folded.balances(), folded.kinds)
    found += [
        f"the journal names the user {user_id}, who is no member of this ledger"
        for user_id in folded.user_ids - stored.user_ids
    ]
    return found


def _facts(item: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, tuple[object, object]]:
    """Return what the two say of a transaction, side by side."""
    stored = Counter((each["source"]["id"], each["destination"]["id"], each["amount"]) for each in item["postings"])
    written = Counter(
        (each["source_account_id"], each["destination_account_id"], each["amount"]) for each in entry["postings"]
    )
    texts = {name: (item.get(name), entry.get(name)) for name in ("description", "payee", "note", "status")}
    return {
        "version": (item["version"], entry["sequence"]),
        "date": (item["date"], entry["booked_on"]),
        "amount or category": (stored, written),
        **texts,
    }


def _other_balances(stored: Sequence[Mapping[str, Any]], written: Amounts, kinds: Mapping[str, str]) -> Iterator[str]:
    listed = {(line["account"]["id"], line["currency"]): line for line in stored}
    for place, line in listed.items():
        amount = written.get(place, Decimal(0))
        if Decimal(line["amount"]) != amount:
            held, come_to = (f"{each:f} {line['currency']}" for each in (Decimal(line["amount"]), amount))
            yield f"{line['account']['name']} holds {held}, and the journal comes to {come_to}"
    for (account, currency), amount in written.items():
        # The ledger's own accounts, which its exchanges and opening balances go through, are not listed.
        if (account, currency) not in listed and kinds.get(account) != AccountKind.EQUITY:
            yield f"account {account} holds {amount:f} {currency} by the journal, and nothing of it is stored"


def _newest(client: Client, books: Ledger) -> int:
    changes = client.call("GET", books.path("/changes"), parameters={"limit": 1}).body["items"]
    return int(changes[0]["sequence"]) if changes else 0


def _members(client: Client, books: Ledger) -> frozenset[str]:
    items = client.call("GET", books.path("/members")).body["items"]
    return frozenset(item["user_id"] for item in items)
