"""Which mailbox of an account becomes which at the target: what the copy would do, told before anything is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailferry.app.parts import Parts
from mailferry.app.preflight_look import Look
from mailferry.model.access import Protocol
from mailferry.model.causes import RemoteFailure
from mailferry.model.mail import Mailbox
from mailferry.model.profile import Profile
from mailferry.plan.mailbox_mapping import Namespace, guessed_namespace, plan_mailboxes, shown_name
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.open import open_session
from mailferry.remote.target_login import NoTargetAccess, target_credentials
from mailferry.store.domains import Domain
from mailferry.wire.server_text import visible


@dataclass(frozen=True, slots=True)
class MappedRow:
    """One mailbox. `why` is a word of `MappedBy`, or of `LeftOut` where there is no `target`."""

    source: str
    target: str | None
    role: str | None
    why: str


async def mapping_preview(
    parts: Parts, domain: Domain, profile: Profile, look: Look, address: str
) -> list[MappedRow]:
    """Return the mapping of what was listed; a target that cannot be asked is taken for an empty one."""
    target, space = await _target(parts, domain, address)
    plan = plan_mailboxes(
        look.listed, target, profile=profile, source_namespace=look.space, target_namespace=space
    )
    pairs = [
        MappedRow(visible(pair.source_shown), visible(pair.target_shown), pair.role, pair.mapped_by.value)
        for pair in plan.pairs
    ]
    left = [
        MappedRow(visible(shown_name(mailbox.name)), None, None, why.value) for mailbox, why in plan.left_out
    ]
    return [*pairs, *left]


async def _target(parts: Parts, domain: Domain, address: str) -> tuple[Sequence[Mailbox], Namespace]:
    """Return what the target has for the account already, seen as its master."""
    server = parts.target.serving(domain, Protocol.IMAP)
    generic = parts.profiles["generic"]
    try:
        credentials = target_credentials(parts.target_access, address)
        assert server is not None, "every target speaks IMAP"
        session = await open_session(
            parts.connector, server, credentials, generic, reactor=parts.reactor, personal=False
        )
        client = ImapClient(session, generic, parts.reactor)
        try:
            listed = await client.list_mailboxes()
            told = await client.namespace()
            await client.logout()
        finally:
            client.close()
    except (NoTargetAccess, RemoteFailure):
        return (), Namespace()
    return listed, guessed_namespace(listed) if told is None else Namespace(*told)
