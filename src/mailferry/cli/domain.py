"""`mailferry domain`: the domains that move."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mailferry.cli.database import open_database
from mailferry.cli.domain_detect import detect_source
from mailferry.cli.long_work import long_work
from mailferry.cli.program import Failed, WrongUse, invocation
from mailferry.cli.showing import AsJson, show_facts, show_json, show_table
from mailferry.cli.who import operator
from mailferry.cli.words import an_address
from mailferry.config.domains import DomainEntry, domain_entry, load_domains, unknown_provider
from mailferry.config.faults import BadConfiguration
from mailferry.model.access import Secret
from mailferry.model.profile import Profile
from mailferry.providers.loader import load_profiles
from mailferry.providers.remedies import no_passwords
from mailferry.roster import domains as roster
from mailferry.roster import switching
from mailferry.store.flips_log import LOG_FILE

commands = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Domains: add, list, show, set, test, apply, ..."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The domain.")]
SourceUrl = Annotated[
    str | None,
    typer.Option("--source", metavar="URL", help="Old host: imaps://host, imap://, pop3s://, pop3://."),
]
SourcePop3 = Annotated[str | None, typer.Option("--source-pop3", metavar="URL", help="The old host's POP3.")]
Provider = Annotated[
    str | None, typer.Option(metavar="ID", help="Profile of the old host, such as netease_qiye.")
]
TargetUrl = Annotated[
    str | None, typer.Option("--target", metavar="URL", help="New host, if not the one of the table target.")
]
TargetPop3 = Annotated[str | None, typer.Option("--target-pop3", metavar="URL", help="The new host's POP3.")]
LoginForm = Annotated[
    str | None,
    typer.Option("--login-form", metavar="FORM", help="full, local, or a template such as CORP\\{local}."),
]
Switch = Annotated[str | None, typer.Option(metavar="WHEN", help="when-copied or at-once.")]
Language = Annotated[
    str | None, typer.Option(metavar="LANG", help="en, zh or both: what mail programs show.")
]
Plaintext = Annotated[
    bool | None, typer.Option("--accept-plaintext/--no-accept-plaintext", help="An old host without TLS.")
]
UsesCodes = Annotated[
    bool | None,
    typer.Option("--uses-codes/--no-uses-codes", help="Users log in there with authorization codes."),
]
PushCodes = Annotated[
    bool | None,
    typer.Option("--push-codes/--no-push-codes", help="Set such codes at the new host like passwords."),
]

OnlyListed = Annotated[
    bool | None,
    typer.Option(
        "--only-listed/--no-only-listed", help="Move imported accounts only; others are not migrating."
    ),
]

Notices = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Messages in the new mailbox: started,done,failed or none."),
]


@commands.command()
def add(
    context: typer.Context,
    name: Name,
    source: Annotated[str, typer.Option("--source", metavar="URL", help="Old host: imaps://host ...")],
    source_pop3: SourcePop3 = None,
    provider: Provider = None,
    target: TargetUrl = None,
    target_pop3: TargetPop3 = None,
    window_days: Annotated[int, typer.Option(help="Days in which a move may begin.")] = 30,
    login_form: LoginForm = None,
    switch: Switch = None,
    language: Language = None,
    accept_plaintext: Plaintext = None,
    uses_codes: UsesCodes = None,
    push_codes: PushCodes = None,
    only_listed: OnlyListed = None,
    notices: Notices = None,
    as_json: AsJson = False,
) -> None:
    """Add a domain and open its window."""
    given = {
        "name": name,
        "source": source,
        "source_pop3": source_pop3,
        "provider": provider,
        "target": target,
        "target_pop3": target_pop3,
        "window_days": window_days,
        "login_form": login_form,
        "switch": switch,
        "language": language,
        "accept_plaintext": accept_plaintext,
        "uses_codes": uses_codes,
        "push_codes": push_codes,
        "only_listed": only_listed,
        "notices": notices,
    }
    entry = domain_entry({key: value for key, value in given.items() if value is not None})
    _known_provider(context, entry, "domain add")
    database = open_database(context)
    database.upgrade()
    _tell(roster.add(database, entry, who=operator()), as_json)
    _warn_of_passwords(_profiles(context)[entry.provider])


def _profiles(context: typer.Context) -> dict[str, Profile]:
    return load_profiles(invocation(context).settings.service.profiles_folder)


def _warn_of_passwords(profile: Profile) -> None:
    """Say on stderr that the domain's users cannot be moved as they are, and what to do instead."""
    words = no_passwords(profile)
    if words is not None:
        typer.echo(f"{words.en}\n{words.zh}", err=True)


def _known_provider(context: typer.Context, entry: DomainEntry, where: str) -> None:
    fault = unknown_provider(entry, _profiles(context), where)
    if fault is not None:
        raise BadConfiguration([fault])


@commands.command(name="list")
def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List all domains."""
    found = roster.listing(open_database(context))
    if as_json:
        show_json(found)
        return
    rows = (
        (
            one["name"],
            one["provider"],
            one["source"],
            one["window_ends_at"],
            _window_in_a_word(one),
            sum(one["accounts"].values()),
            one["accounts"].get("done", 0),
            one["accounts"].get("failed", 0),
        )
        for one in found
    )
    columns = ("domain", "provider", "source", "window ends", "window", "accounts", "done", "failed")
    show_table(columns, rows)


def _window_in_a_word(one: dict[str, Any]) -> str:
    if one["blocked_since"] is not None:
        return "blocked"
    return "paused" if one["paused"] else "open" if one["window_open"] else "over"


@commands.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show one domain."""
    _tell(roster.show(open_database(context), name), as_json)


def _tell(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    accounts = ", ".join(f"{state} {count}" for state, count in found["accounts"].items() if count)
    checks = [_check_in_words(check) for check in found["source_checks"]]
    show_facts(
        {**found, "accounts": accounts or "none yet", "source_checks": ", ".join(checks) or "none yet"}
    )


def _check_in_words(check: dict[str, Any]) -> str:
    said = "refuses" if check["refuses_made_up_password"] else "TAKES"
    variants = (
        f", takes variants ({' '.join(check['accepts_variants'])})" if check["accepts_variants"] else ""
    )
    return f"{check['protocol']} {said} a made-up password{variants}"


@commands.command(name="set")
def set_rules(
    context: typer.Context,
    name: Name,
    source: SourceUrl = None,
    source_pop3: SourcePop3 = None,
    provider: Provider = None,
    target: TargetUrl = None,
    target_pop3: TargetPop3 = None,
    login_form: LoginForm = None,
    switch: Switch = None,
    language: Language = None,
    accept_plaintext: Plaintext = None,
    uses_codes: UsesCodes = None,
    push_codes: PushCodes = None,
    only_listed: OnlyListed = None,
    notices: Notices = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given, leave the rest."""
    given = {
        "source": source,
        "source_pop3": source_pop3,
        "provider": provider,
        "target": target,
        "target_pop3": target_pop3,
        "login_form": login_form,
        "switch": switch,
        "language": language,
        "accept_plaintext": accept_plaintext,
        "uses_codes": uses_codes,
        "push_codes": push_codes,
        "only_listed": only_listed,
        "notices": notices,
    }
    if provider is not None and provider not in _profiles(context):
        raise WrongUse(f"provider {provider} is not known; known are {', '.join(sorted(_profiles(context)))}")
    values = {key: value for key, value in given.items() if value is not None}
    if not values:
        raise WrongUse("nothing to change was given; mailferry domain set --help lists what can be")
    _tell(roster.change(open_database(context), name, values, who=operator()), as_json)
    if provider is not None:
        _warn_of_passwords(_profiles(context)[provider])


@commands.command()
def apply(
    context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help="domains.toml")]
) -> None:
    """Bring all domains of a file into the store; running it again changes nothing."""
    entries = load_domains(file)
    for entry in entries:
        _known_provider(context, entry, str(file))
    database = open_database(context)
    database.upgrade()
    for applied in roster.apply(database, entries, who=operator()):
        keys = f" ({', '.join(applied.keys)})" if applied.keys else ""
        typer.echo(f"{applied.name}: {applied.what}{keys}")


@commands.command()
def pause(context: typer.Context, name: Name) -> None:
    """Copy nothing for the domain until it is resumed; logins go on."""
    roster.pause(open_database(context), name, who=operator())
    typer.echo(f"{name}: nothing is copied until it is resumed; logins go on")


@commands.command()
def resume(context: typer.Context, name: Name) -> None:
    """Go on copying."""
    roster.pause(open_database(context), name, who=operator(), paused=False)
    typer.echo(f"{name}: goes on")


@commands.command()
def extend(
    context: typer.Context,
    name: Name,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days from the window's end, or from now.")] = 30,
) -> None:
    """Let the window end later, or open it again."""
    found = roster.extend(open_database(context), name, days, who=operator())
    typer.echo(f"{name}: the window ends {found['window_ends_at']}")


@commands.command()
def switch(context: typer.Context, name: Name) -> None:
    """Serve all accounts whose password is at the target from there, before their copies are complete."""
    flips = invocation(context).settings.service.state_dir / LOG_FILE
    with long_work(f"{name}: ending sessions"):
        found = switching.switch_domain(open_database(context), name, who=operator(), flips_file=flips)
    typer.echo(f"{len(found.moved)} accounts live on the target now")
    for address, why in found.left:
        typer.echo(f"  {address} stays: {why}")


@commands.command()
def remove(
    context: typer.Context,
    name: Name,
    force: Annotated[bool, typer.Option(help="Also when accounts have started their move.")] = False,
) -> None:
    """Remove a domain with its accounts; nothing changes at either host."""
    from mailferry.app.parts import key_ring  # loads every role: only where keys are destroyed

    ring = key_ring(invocation(context).settings)
    count = roster.remove(open_database(context), ring, name, who=operator(), force=force)
    typer.echo(f"{name} and {count} accounts are removed")


@commands.command()
def test(
    context: typer.Context,
    name: Name,
    account: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", callback=an_address, help="A real account to log in with."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Really log in at the old host and look around; the password comes from the terminal or standard input."""
    import dataclasses

    from mailferry.app.preflight import Sign, preflight
    from mailferry.cli.in_reactor import in_reactor
    from mailferry.cli.secrets import ask_password

    password: Secret | None = None if account is None else ask_password("Password at the old host")
    settings = invocation(context).settings
    with long_work(f"{name}: looking at the old host"):
        lines = in_reactor(lambda reactor: preflight(settings, reactor, name, account, password))
    if as_json:
        show_json([dataclasses.asdict(line) for line in lines])
    else:
        for line in lines:
            fixes = "".join(f"\n      -> {words}" for words in (line.fix, line.fix_zh) if words)
            typer.echo(f"{line.sign.value:<5} {line.what}: {line.found}{fixes}")
    if any(line.sign is Sign.FAULT for line in lines):
        raise Failed("the old host cannot be moved from as things stand")


commands.command(name="detect")(detect_source)
