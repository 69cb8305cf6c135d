"""What somebody prefers while one command runs: its form, its profile, a pager, a line for each request."""

import os
from dataclasses import dataclass, replace
from typing import Literal

from cli.profiles import Profile, find_profile
from cli.terminal.output import ExitCode, Form, fail


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the options said that every command takes; ``None`` and ``False`` where they said nothing."""

    profile: str | None = None
    output: Form | None = None
    verbose: bool = False
    no_pager: bool = False


_said = Preferences()


def forget() -> None:
    """Begin anew: nothing was said."""
    global _said  # noqa: PLW0603 - one command line runs in a process; tests run some after each other
    _said = Preferences()


def prefer(
    *, profile: str | None = None, output: Form | None = None, verbose: bool = False, no_pager: bool = False
) -> None:
    """Take note of what options said, before the command's name or after it."""
    global _said  # noqa: PLW0603
    _said = replace(
        _said,
        profile=profile or _said.profile,
        output=output or _said.output,
        verbose=verbose or _said.verbose,
        no_pager=no_pager or _said.no_pager,
    )


def chosen_profile() -> Profile:
    """Return the profile that --profile, CASH_PROFILE or the file of profiles chooses; an empty one where none does."""
    return find_profile(_said.profile or os.environ.get("CASH_PROFILE"))


def said(setting: Literal["url", "ledger", "output"]) -> str | None:
    """Return what is said about a setting where its own option says nothing.

    That is by the profile which --profile names, since it was typed; else by the environment (``CASH_URL``); else by
    the profile that is chosen unasked.
    """
    profile: str | None = getattr(chosen_profile(), setting)
    typed = profile if _said.profile else None
    return typed or os.environ.get(f"CASH_{setting.upper()}") or profile


def form() -> Form:
    """Return the form that --output, CASH_OUTPUT or the profile says."""
    if _said.output:
        return _said.output
    wanted = said("output") or Form.TABLE
    try:
        return Form(wanted)
    except ValueError:
        fail(f"CASH_OUTPUT is '{wanted}'; set it to one of {', '.join(Form)}", ExitCode.USAGE)


def is_verbose() -> bool:
    """Return whether each request is told about: by --verbose or CASH_VERBOSE."""
    return _said.verbose or os.environ.get("CASH_VERBOSE", "0") not in ("", "0")


def wants_pager() -> bool:
    """Return whether long lists go through a pager at a terminal."""
    return not _said.no_pager


def option() -> str:
    """Return what to add to a proposed command so that it uses the same profile; nothing where it does so anyway."""
    return f" --profile {_said.profile}" if _said.profile else ""
