"""Days and moments as people type them, in the ledger's zone."""

import re
from datetime import date, datetime, timedelta

from cli.terminal.output import ExitCode, fail

_DAY_LENGTH = len("2026-03-31")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: ``-3d`` and ``2 weeks ago``. Months have no fixed length, so none are counted back.
_BACK = re.compile(r"[-−](?P<short>[0-9]{1,4}) ?(?P<unit>[dw])|(?P<long>[0-9]{1,4}) (?P<word>day|week)s? ago")
#: What can be typed; the example is the day it is.
HOW = "type it as {today}, or today, yesterday, last friday, -3d, 2 weeks ago"


def read_day(typed: str, now: datetime) -> str:
    """Return the day somebody typed as the API wants it.

    Args:
        typed: ``2026-03-31``, ``today``, ``yesterday``, ``last friday`` (the newest one before today), ``-3d``,
            ``2 weeks ago``, or a moment such as ``2026-03-31T18:30``, which is in the zone of ``now`` where it says no
            offset.
        now: the current moment in the ledger's zone.
    """
    day = _find_day(typed, now)
    if day is not None:
        return day.isoformat()
    return _moment(typed, now, "a day").isoformat()


def read_calendar_day(typed: str, now: datetime) -> str:
    """Return the calendar day somebody typed; a moment is none."""
    day = _find_day(typed, now)
    if day is None:
        fail(_not(typed, "a day", now), ExitCode.USAGE)
    return day.isoformat()


def read_moment(typed: str, now: datetime) -> str:
    """Return the moment somebody typed; a day means its end, and so does ``yesterday``."""
    day = _find_day(typed, now)
    if day is None:
        return _moment(typed, now, "a moment").isoformat()
    next_day = day + timedelta(days=1)
    return datetime(next_day.year, next_day.month, next_day.day, tzinfo=now.tzinfo).isoformat()


def _find_day(typed: str, now: datetime) -> date | None:
    text = " ".join(typed.lower().split())
    today = now.date()
    if text in ("today", "yesterday"):
        return today - timedelta(days=text == "yesterday")
    if (last := text.removeprefix("last ")) != text:
        found = [number for number, day in enumerate(_WEEKDAYS) if last in (day, day[:3])]
        if found:
            return today - timedelta(days=(today.weekday() - found[0] - 1) % 7 + 1)
    if back := _BACK.fullmatch(text):
        count = int(back["short"] or back["long"])
        return today - timedelta(weeks=count) if (back["unit"] or back["word"])[0] == "w" else today - timedelta(count)
    if len(text) > _DAY_LENGTH:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(_not(typed, "a day", now), ExitCode.USAGE)


def _moment(typed: str, now: datetime, wanted: str) -> datetime:
    try:
        moment = datetime.fromisoformat(typed.strip().upper())
    except ValueError:
        fail(_not(typed, wanted, now), ExitCode.USAGE)
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


def _not(typed: str, wanted: str, now: datetime) -> str:
    if wanted == "a moment":
        return f"'{typed}' is not a moment; type it as {now:%Y-%m-%dT%H:%M}, or a day for its end"
    return f"'{typed}' is not {wanted}; {HOW.format(today=now.date().isoformat())}"
