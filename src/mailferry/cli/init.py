"""`mailferry init`: asks for the old and the new host, probes them, and writes a first configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from mailferry.cli.program import Failed
from mailferry.config.faults import BadConfiguration
from mailferry.config.loader import load
from mailferry.config.toml_text import toml_value
from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.store.file_owner import give_to_folders_owner

Found = dict[Protocol, Server]

BEHIND_US = (10143, 10110)
"""Where README.md lets a new host on this machine listen, whose own ports are ours."""


def init(
    directory: Annotated[Path, typer.Option(help="Where the files are written.")] = Path("/etc/mailferry"),
    state_dir: Annotated[Path, typer.Option(help="Where the service keeps its state.")] = Path(
        "/var/lib/mailferry"
    ),
) -> None:
    """Ask, probe, and write mailferry.toml and domains.toml; existing files are never overwritten."""
    config, domains, secret = (directory / n for n in ("mailferry.toml", "domains.toml", "master.secret"))
    there = [str(path) for path in (config, domains, secret) if path.exists()]
    if there:
        raise Failed(f"{', '.join(there)} exists already: move it away, or give another --directory")
    typer.echo("The new host, where the mail lives after the move.")
    target_host = typer.prompt("  its IMAP host name", default="127.0.0.1")
    target_port = typer.prompt("  its IMAP port (0: find out)", default=0, type=int)
    typer.echo("The master login opens every mailbox there, so that the copy needs no user's password.")
    master_user = typer.prompt("  master user (empty: none)", default="", show_default=False)
    master_password = ""
    if master_user:
        master_password = typer.prompt("  its password", hide_input=True)
    users_file = typer.prompt("  Dovecot's passwd-file (empty: set later)", default="", show_default=False)
    typer.echo("The domain that moves, and its old host.")
    domain = typer.prompt("  domain")
    source_host = typer.prompt("  IMAP host name of the old host", default=f"imap.{domain}")
    certificate = typer.prompt("Our certificate (PEM; empty: none yet)", default="", show_default=False)
    key = typer.prompt("Its key (PEM)") if certificate else ""
    from mailferry.cli.in_reactor import in_reactor  # loads the network rooms: only when asked for

    target, source = in_reactor(lambda reactor: _probe(reactor, target_host, target_port, source_host))
    directory.mkdir(parents=True, exist_ok=True)
    _write(
        config,
        _configuration(state_dir, target, target_host, master_user, secret, users_file, certificate, key),
    )
    if master_user:
        _write(secret, master_password + "\n", reader=state_dir)
    _write(domains, _domain(domain, source, source_host))
    _read_back(config)
    typer.echo(f"\nWritten: {config} and {domains}. Look through both, then:")
    typer.echo(f"  mailferry --config {config} check")
    typer.echo(f"  mailferry --config {config} domain apply {domains}")


async def _probe(reactor: Any, target: str, port: int, source: str) -> tuple[Found, Found]:
    from mailferry.app.probing import find_servers

    found = []
    behind_us = BEHIND_US if target in {"127.0.0.1", "localhost"} else ()
    ports_here = (port, *behind_us) if port else behind_us
    for name, host, ports in (("new", target, ports_here), ("old", source, ())):
        servers, faults = await find_servers(host, reactor, ports=ports)
        for server in servers.values():
            typer.echo(f"  {name} host: {server} answers")
        if not servers:
            typer.echo(f"  {name} host: nothing answers; written as it should be, correct it later")
            for fault in faults:
                typer.echo(f"    {fault}")
        found.append(servers)
    return found[0], found[1]


def _url(server: Server) -> str:
    return f"{server}?tls=none" if server.tls is TlsMode.NONE else str(server)


def _configuration(
    state_dir: Path,
    target: Found,
    host: str,
    master_user: str,
    secret: Path,
    users_file: str,
    certificate: str,
    key: str,
) -> str:
    """Return the text of mailferry.toml."""
    tls = "starttls" if certificate else "none"
    where = "0.0.0.0" if certificate else "127.0.0.1"
    imap = _url(target[Protocol.IMAP]) if Protocol.IMAP in target else f"imaps://{host}"
    pop3 = _url(target[Protocol.POP3]) if Protocol.POP3 in target else ""
    lines = ["# mailferry; every key is explained in docs/settings.md", "", "[service]"]
    lines += [
        f"state_dir = {toml_value(state_dir)}",
        "allow_networks = []   # private networks that hold a host",
        "",
    ]
    ports = [("imap", 143, tls), ("pop3", 110, tls)]
    if certificate:
        ports += [("imap", 993, "implicit"), ("pop3", 995, "implicit")]
    for service, port, mode in ports:
        lines += ["[[listen]]", f'service = "{service}"', f'endpoint = "tcp:{port}:interface={where}"']
        lines += [f'tls = "{mode}"', ""]
    for service, port in (("web", 8025), ("metrics", 9025)):
        lines += ["[[listen]]", f'service = "{service}"', f'endpoint = "tcp:{port}:interface=127.0.0.1"', ""]
    if certificate:
        lines += ["[tls]", f"certificate = {toml_value(certificate)}", f"key = {toml_value(key)}", ""]
    lines += ["[target]", f"imap = {toml_value(imap)}", *([f"pop3 = {toml_value(pop3)}"] if pop3 else [])]
    if master_user:
        lines += ['login = "dovecot-master"', f"master_user = {toml_value(master_user)}"]
        lines += [f"master_password = {{file = {toml_value(secret)}}}"]
    else:
        lines += ['login = "user"   # without a master the copy needs each user\'s own password']
    lines += ["", "[passwords]", f'backend = "{"passwd-file" if users_file else "none"}"']
    if users_file:
        lines += ['scheme = "ARGON2ID"', "", "[passwords.passwd-file]", f"path = {toml_value(users_file)}"]
    return "\n".join(lines) + "\n"


def _domain(domain: str, source: Found, host: str) -> str:
    """Return the text of domains.toml."""
    imap = source.get(Protocol.IMAP)
    lines = ["# the domains that move: mailferry domain apply domains.toml", "", "[[domain]]"]
    lines += [
        f"name = {toml_value(domain)}",
        f"source = {toml_value(_url(imap) if imap else f'imaps://{host}')}",
    ]
    if Protocol.POP3 in source:
        lines.append(f"source_pop3 = {toml_value(_url(source[Protocol.POP3]))}")
    return "\n".join([*lines, 'provider = "generic"', "window_days = 30"]) + "\n"


def _write(path: Path, text: str, *, reader: Path | None = None) -> None:
    """Write a new file: for everybody, or for the owner of the folder `reader` alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644 if reader is None else 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if reader is not None and reader.is_dir():
            give_to_folders_owner(descriptor, reader)
        file.write(text)


def _read_back(config: Path) -> None:
    try:
        load(config)
    except BadConfiguration as bad:
        typer.echo("To be completed before the service starts:")
        for fault in bad.faults:
            typer.echo(f"  {fault}")
