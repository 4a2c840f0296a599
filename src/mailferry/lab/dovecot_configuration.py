"""The configuration of a Dovecot 2.3 that runs from a directory of its own: no root, no system service."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LOCATIONS = {"maildir": "maildir:~/Maildir", "sdbox": "sdbox:~/sdbox", "mdbox": "mdbox:~/mdbox"}


@dataclass(frozen=True, slots=True)
class DovecotTerms:
    """What one Dovecot is set up as. Its mail, its sockets and its log lie below `home`, which `owner` owns."""

    home: Path
    owner: pwd.struct_passwd
    ports: Mapping[str, int]
    """Service (imap, imaps, pop3, pop3s, lmtp) to loopback port."""
    users: Path
    """passwd-file, read again at each login."""
    masters: Path | None = None
    """passwd-file of master users: `user*master`, or SASL PLAIN with the user as authzid."""
    tls: tuple[Path, Path] | None = None
    """Certificate and key."""
    programs: Path | None = None
    """Where its other programs are, when the system did not install it."""
    location: str = "maildir"
    """`maildir`, `sdbox` or `mdbox`."""
    separator: str | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    """Mailbox name to role (`\\Sent`, ...)."""
    plaintext_login: bool = True
    mail_fsync: str = "never"
    uidl_format: str = "%08Xu%08Xv"
    raw_logs: Path | None = None
    """Folder in which every session's octets are kept."""
    settings: str = ""
    """Lines added to the end."""


def dovecot_configuration(terms: DovecotTerms) -> str:
    """Return the text of dovecot.conf."""
    return "\n".join(
        [*_general(terms), *_judges(terms), *_services(terms), *_namespace(terms), terms.settings, ""]
    )


def _general(terms: DovecotTerms) -> Iterator[str]:
    home, owner = terms.home, terms.owner
    yield from (f"{kind}_dir = {home}/run" for kind in ("base", "state"))
    yield f"log_path = {home}/log"
    if terms.programs is not None:
        yield f"libexec_dir = {terms.programs}"
        yield f"mail_plugin_dir = {terms.programs}/modules"
        yield f"login_plugin_dir = {terms.programs}/modules/login"
    yield from (f"default_{kind}_user = {owner.pw_name}" for kind in ("internal", "login"))
    yield f"default_internal_group = {grp.getgrgid(owner.pw_gid).gr_name}"
    yield f"mail_uid = {owner.pw_uid}"
    yield f"mail_gid = {owner.pw_gid}"
    yield "first_valid_uid = 1"
    yield "first_valid_gid = 0"
    yield f"mail_home = {home}/mail/%u"
    yield f"mail_location = {LOCATIONS[terms.location]}"
    yield f"mail_fsync = {terms.mail_fsync}"
    yield "mail_max_userip_connections = 200"
    if terms.raw_logs is not None:
        yield f"rawlog_dir = {terms.raw_logs}"
    yield f"pop3_uidl_format = {terms.uidl_format}"
    yield "listen = 127.0.0.1"
    yield f"protocols = {' '.join(name for name in ('imap', 'pop3', 'lmtp') if name in terms.ports)}"
    if terms.tls is None:
        yield "ssl = no"
    else:
        yield from ("ssl = yes", f"ssl_cert = <{terms.tls[0]}", f"ssl_key = <{terms.tls[1]}", "ssl_dh =")


def _judges(terms: DovecotTerms) -> Iterator[str]:
    yield "auth_mechanisms = plain login"
    yield "auth_failure_delay = 0"
    yield f"disable_plaintext_auth = {'no' if terms.plaintext_login else 'yes'}"
    if terms.masters is not None:
        yield "auth_master_user_separator = *"
        yield from ("passdb {", "  driver = passwd-file", f"  args = {terms.masters}")
        yield from ("  master = yes", "  result_success = continue", "}")
    yield from ("passdb {", "  driver = passwd-file", f"  args = username_format=%u {terms.users}", "}")
    owner = f"uid={terms.owner.pw_uid} gid={terms.owner.pw_gid}"
    yield from ("userdb {", "  driver = static", f"  args = {owner} home={terms.home}/mail/%u", "}")


def _services(terms: DovecotTerms) -> Iterator[str]:
    yield from (
        "service anvil {",
        "  chroot =",
        "  unix_listener anvil-auth-penalty {",
        "    mode = 0",
        "  }",
        "}",
    )
    yield from ("service stats {", "  chroot =", "}")
    yield from ("service auth {", "  unix_listener auth-userdb {", "    mode = 0600")
    yield from (f"    user = {terms.owner.pw_name}", "  }", "}")
    for protocol in ("imap", "pop3"):
        if protocol not in terms.ports:
            continue
        yield from (f"service {protocol}-login {{", "  chroot =")
        for name in (protocol, f"{protocol}s"):
            yield from (f"  inet_listener {name} {{", f"    port = {terms.ports.get(name, 0)}")
            if name.endswith("s") and name in terms.ports:
                yield "    ssl = yes"
            yield "  }"
        yield "}"
    if "lmtp" in terms.ports:
        yield from (
            "service lmtp {",
            "  inet_listener lmtp {",
            f"    port = {terms.ports['lmtp']}",
            "  }",
            "}",
        )


def _namespace(terms: DovecotTerms) -> Iterator[str]:
    yield from ("namespace inbox {", "  inbox = yes")
    if terms.separator is not None:
        yield f"  separator = {terms.separator}"
    for mailbox, role in terms.roles.items():
        yield from (f'  mailbox "{mailbox}" {{', f"    special_use = {role}", "  }")
    yield "}"
