"""Commands of the file of profiles: look at it, change it, choose one."""

from typing import Annotated, Any

import typer

from cli.connection.folders import config_folder
from cli.profiles import NAME, get_profile, profiles_file, read_profiles
from cli.terminal.output import ExitCode, Form, Json, fail, note, say, show_json, show_table
from infra.local.home import write_whole

ProfileName = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, - and _.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    group = typer.Typer(help="Keep servers, ledgers and forms as profiles; choose one.")
    group.command("show")(show)
    group.command("set")(set_profile)
    group.command("use")(use)
    app.add_typer(group, name="config")


def show(json: Json = False) -> None:
    """Show the profiles, and which one is used unasked.

    Examples:
        cash config show
    """
    profiles = read_profiles()
    rows = [
        {"name": name, "chosen": name == profiles.chosen, "url": said.url, "ledger": said.ledger, "output": said.output}
        for name, said in profiles.by_name.items()
    ]
    if json:
        show_json(rows)
    elif not rows:
        say(f"No profiles yet; make one: cash config set home --url https://cash.example.org ({profiles.path})")
    else:
        columns = ["", "Profile", "Server", "Ledger", "Output"]
        cells = [("*" if row["chosen"] else "", row["name"], row["url"], row["ledger"], row["output"]) for row in rows]
        show_table(columns, cells, whole=("Profile",), spare=("Output",))
        note(f"They stand in {profiles.path}.")


def set_profile(
    name: ProfileName,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Address of the API; '' for none.")] = None,
    ledger: Annotated[
        str | None, typer.Option("--ledger", metavar="LEDGER", help="Name or id of a ledger; '' for none.")
    ] = None,
    form: Annotated[Form | None, typer.Option("--form", help="What --output is where nothing else says it.")] = None,
) -> None:
    """Make a profile, or change one.

    Examples:
        cash config set home --url https://cash.example.org --ledger Home
        cash config set scripts --form json
    """
    from cli.connection.servers import checked_url

    if not NAME.fullmatch(name):
        fail(f"'{name}' is no name for a profile: use up to 32 letters, digits, - and _", ExitCode.USAGE)
    said = {
        "url": checked_url(url) if url else url,
        "ledger": ledger,
        "output": form.value if form else None,
    }
    if all(value is None for value in said.values()):
        fail("say what the profile is to hold: --url, --ledger or --form", ExitCode.USAGE)
    document = _document()
    profiles = document.setdefault("profiles", _table())
    profile = profiles.setdefault(name, _table())
    for key, value in said.items():
        if value:
            profile[key] = value
        elif value is not None:
            profile.pop(key, None)
    _write(document)
    say(f"Saved; use it with --profile {name}, or for every command: cash config use {name}")


def use(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The profile; none when left out.")] = None,
) -> None:
    """Choose the profile that commands use unasked, or none.

    Examples:
        cash config use home
        cash config use
    """
    if name is not None:
        get_profile(read_profiles(), name)
    document = _document()
    if name is None:
        document.pop("profile", None)
    elif "profile" in document:
        document["profile"] = name
    else:
        document = _begun_with(name, document)
    _write(document)
    say(f"Commands use the profile {name} now." if name else "Commands use no profile now.")


def _document() -> Any:
    """Return the file to be changed, its comments and order with it; refuses one that is wrong."""
    import tomlkit

    read_profiles()
    path = profiles_file()
    return tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()


def _table() -> Any:
    import tomlkit

    return tomlkit.table()


def _begun_with(name: str, document: Any) -> Any:
    """Return the file with the chosen profile above the tables: below one it would be part of it."""
    import tomlkit

    return tomlkit.parse(f"{tomlkit.dumps({'profile': name})}\n{tomlkit.dumps(document)}")


def _write(document: Any) -> None:
    import tomlkit

    path = profiles_file()
    try:
        config_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, tomlkit.dumps(document))
    except OSError as error:
        fail(f"{path} cannot be written ({error.strerror}); set CASH_CONFIG_HOME to a folder of yours")
