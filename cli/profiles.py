"""Profiles: which server, ledger and form of output belong together, as ``config.toml`` keeps them.

profile = "home"

[profiles.home]
url = "https://cash.example.org"
ledger = "Home"
output = "table"
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from cli.connection.folders import config_folder
from cli.terminal.output import ExitCode, Form, fail

#: What a name may look like: it is typed on command lines, and is a key of the file.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile says; ``None`` where it leaves it to what comes after it."""

    url: str | None = None
    ledger: str | None = None
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Profiles:
    """The whole file: profiles by name, and the one that is used unasked."""

    path: Path
    chosen: str | None = None
    by_name: Mapping[str, Profile] = field(default_factory=dict)


def profiles_file() -> Path:
    """Return where profiles are kept, whether the file is there or not."""
    return config_folder() / "config.toml"


def find_profile(name: str | None) -> Profile:
    """Return the profile of a name, the chosen one without a name, and an empty one where there is none of them."""
    profiles = read_profiles()
    name = name or profiles.chosen
    if not name:
        return Profile()
    if name not in profiles.by_name:
        _fail_unknown(profiles, name)
    return profiles.by_name[name]


def get_profile(profiles: Profiles, name: str) -> Profile:
    """Return the profile of a name; refuses when there is none."""
    if name not in profiles.by_name:
        _fail_unknown(profiles, name)
    return profiles.by_name[name]


def read_profiles() -> Profiles:
    """Return what the file says; an absent one says nothing, a wrong one is refused with the line to repair."""
    path = profiles_file()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Profiles(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        fail(f"{path} cannot be read ({reason}); repair it, or remove it", ExitCode.USAGE)
    return _read(path, text)


def _read(path: Path, text: str) -> Profiles:
    import tomllib

    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error))
        line = int(said[2] or text.count("\n") + 1) if said else None
        _fail_line(path, line, said[1] if said else str(error))
    settings: dict[str, str | None] = {}
    for name, value in content.items():
        if name == "profile" and isinstance(value, str):
            settings["chosen"] = value
        elif name != "profiles" or not isinstance(value, dict):
            wanted = 'profile = "NAME" and [profiles.NAME]'
            _fail_line(path, _line_of(text, name), f"'{name}' is not a setting; there are {wanted}")
    profiles = content.get("profiles", {})
    by_name = {name: _read_profile(path, text, name, said) for name, said in profiles.items()}
    chosen = settings.get("chosen") or None
    if chosen and chosen not in by_name:
        _fail_line(path, _line_of(text, "profile"), f"there is no profile '{chosen}' in it")
    return Profiles(path, chosen, by_name)


def _read_profile(path: Path, text: str, name: str, said: Any) -> Profile:
    known = [each.name for each in fields(Profile)]
    if not isinstance(said, dict) or not NAME.fullmatch(name):
        wanted = "[profiles.NAME] with letters, digits, - and _ in its name"
        _fail_line(path, _line_of(text, name), f"'{name}' is not a profile; it looks like {wanted}")
    for key, value in said.items():
        line = _line_of(text, key, below=name)
        if key not in known:
            _fail_line(path, line, f"a profile has no '{key}'; it has {', '.join(known)}")
        if not isinstance(value, str) or not value.isprintable():
            _fail_line(path, line, f"'{key}' is not a text in quotation marks")
        if key == "output" and value not in tuple(Form):
            _fail_line(path, line, f"'{value}' is not a form of output; there are {', '.join(Form)}")
    return Profile(**{key: value.rstrip("/") if key == "url" else value or None for key, value in said.items()})


def _line_of(text: str, key: str, *, below: str | None = None) -> int | None:
    """Return the number of the line that sets a key, or opens a table of that name, below the table of a profile."""
    wanted = re.compile(rf"""\s*(\[\s*(profiles\s*\.\s*)?)?["']?{re.escape(key)}["']?\s*(=|\.|\])""")
    opened = re.compile(rf"""\s*\[\s*profiles\s*\.\s*["']?{re.escape(below or "")}["']?\s*\]""")
    inside = below is None
    for number, line in enumerate(text.splitlines(), start=1):
        inside = inside or opened.match(line) is not None
        if inside and wanted.match(line):
            return number
    return None


def _fail_line(path: Path, line: int | None, wrong: str) -> NoReturn:
    where = f"line {line} of {path}" if line else str(path)
    fail(f"{where}: {wrong[:1].lower()}{wrong[1:]}; repair it, or remove the file", ExitCode.USAGE)


def _fail_unknown(profiles: Profiles, name: str) -> NoReturn:
    there = ", ".join(profiles.by_name) or "none yet"
    fail(
        f"there is no profile '{name}' in {profiles.path} (there are: {there}); make it with "
        f"`cash config set {name} --url URL`",
        ExitCode.USAGE,
    )
