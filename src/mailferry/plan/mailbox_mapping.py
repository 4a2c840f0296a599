"""Which mailbox of the source becomes which mailbox of the target.

By role (SPECIAL-USE, RFC 6154), then by the names of the provider and the ones known in many
languages, then by path: delimiter and personal namespace (RFC 2342) translated, components that the
target cannot hold rewritten. The mapping is injective (no two mailboxes are merged) and stable: what
was mapped before keeps its target. The raw wire name is the key; a name that is no modified UTF-7 is
read as the octets' plain text, because a target refuses to create it as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mailferry.model.mail import Mailbox
from mailferry.model.profile import Profile
from mailferry.plan.special_names import DEFAULT_NAMES, KNOWN_NAMES, ROLES, VIEWS
from mailferry.wire.imap_names import BadMailboxName, decode_strict, encode_mailbox
from mailferry.wire.server_text import decode_text

INBOX = b"INBOX"
ALL_MAIL = "\\all"
"""The attribute of a mailbox that holds everything (RFC 6154): what has labels stands in others as well."""
MAX_COMPONENT_OCTETS = 200
"""Longer components are cut: servers keep one in a file name of at most 255 octets."""
MAX_FLAT_OCTETS = 230
"""The same for a whole path where `.` is the delimiter, as Maildir++ keeps a path in one file name."""
MAX_PATH_OCTETS = 1000


class MappedBy(StrEnum):
    """Why a mailbox got its target."""

    INBOX = "inbox"
    KEPT = "kept"  # mapped in an earlier run
    ROLE = "role"  # the source says its role
    PROFILE = "profile"  # the provider's own name for a role
    NAME = "name"  # a name known for a role
    PATH = "path"


class LeftOut(StrEnum):
    """Why a listed mailbox is not copied."""

    NOT_SELECTABLE = "not_selectable"
    NO_MAIL = "no_mail"  # the profile says so: calendars, contacts
    VIEW = "view"  # shows messages of other mailboxes
    SAME_AS_INBOX = "same_as_inbox"  # INBOX in another letter case
    LISTED_TWICE = "listed_twice"


@dataclass(frozen=True, slots=True)
class Namespace:
    """The personal namespace of one server: prefix such as `INBOX.` and hierarchy delimiter."""

    prefix: bytes = b""
    delimiter: bytes | None = b"/"


@dataclass(frozen=True, slots=True)
class MailboxPair:
    """One mailbox to copy. `role` is set where the target's mailbox plays it."""

    source: Mailbox
    target_name: bytes
    role: str | None
    mapped_by: MappedBy

    @property
    def source_shown(self) -> str:
        """The source's name for people."""
        return shown_name(self.source.name)

    @property
    def target_shown(self) -> str:
        """The target's name for people."""
        return shown_name(self.target_name)


@dataclass(frozen=True, slots=True)
class MailboxPlan:
    """The pairs in the order of copying (INBOX first), and what is left out with its reason."""

    pairs: tuple[MailboxPair, ...]
    left_out: tuple[tuple[Mailbox, LeftOut], ...]


@dataclass(slots=True)
class _Names:
    """Names at the target that are taken; roles that are played."""

    target: Namespace
    taken: set[bytes] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)

    def free(self, name: bytes, raw: bytes) -> bytes:
        """Return `name`, or it with the smallest `-2`, `-3` ... that is free; then it is taken."""
        name = _short_enough(name, raw, self.target)
        candidate, number = name, 1
        while candidate in self.taken or candidate.upper() == INBOX:
            number += 1
            candidate = name + b"-%d" % number
        self.taken.add(candidate)
        return candidate


def plan_mailboxes(
    source: Sequence[Mailbox],
    target: Sequence[Mailbox],
    *,
    profile: Profile,
    source_namespace: Namespace,
    target_namespace: Namespace,
    kept: Mapping[bytes, bytes] | None = None,
) -> MailboxPlan:
    """Return what is copied where.

    `kept` is the mapping of earlier runs, raw source name to raw target name; it always stands.
    """
    kept = kept or {}
    names = _Names(target_namespace, set(kept.values()))
    copied, left_out = _sorted_out(source, profile, source_namespace)
    known_roles = _source_roles(copied, profile, source_namespace)
    pairs: list[MailboxPair] = []
    for mailbox in copied:
        if mailbox.name in kept:
            role = known_roles.get(mailbox.name, (None, MappedBy.KEPT))[0]
            pairs.append(MailboxPair(mailbox, kept[mailbox.name], role, MappedBy.KEPT))
            if role:
                names.roles.add(role)
    for mailbox in copied:
        if mailbox.name.upper() == INBOX and mailbox.name not in kept:
            pairs.append(MailboxPair(mailbox, INBOX, None, MappedBy.INBOX))
            names.taken.add(INBOX)
    done = {pair.source.name for pair in pairs}
    homes = _target_roles(target, target_namespace)
    for mailbox in copied:
        role, why = known_roles.get(mailbox.name, (None, MappedBy.PATH))
        if mailbox.name in done or role is None or role in names.roles:
            continue
        home = homes.get(role) or _placed((DEFAULT_NAMES[role],), target_namespace)
        if home in names.taken:
            continue
        names.taken.add(home)
        names.roles.add(role)
        pairs.append(MailboxPair(mailbox, home, role, why))
        done.add(mailbox.name)
    for mailbox in sorted((m for m in copied if m.name not in done), key=lambda m: m.name):
        path = _path(mailbox, profile, source_namespace)
        name = names.free(_placed(path, target_namespace), mailbox.name)
        pairs.append(MailboxPair(mailbox, name, None, MappedBy.PATH))
    return MailboxPlan(tuple(sorted(pairs, key=_copy_order)), tuple(left_out))


def plainer_names(source: Mailbox, wanted: bytes, target: Namespace) -> tuple[bytes, ...]:
    """Return names to fall back to for a mailbox that the target would not make as `wanted`.

    Cyrus refuses many signs, Courier what lies beyond the first plane of Unicode: first such signs go,
    then everything but a digest of the source's raw name.
    """
    prefix, delimiter = target.prefix, target.delimiter or b""
    below = wanted.removeprefix(prefix)
    parts = below.split(delimiter) if delimiter else [below]
    plain = [encode_mailbox(_plain(shown_name(part))) for part in parts]
    digest = hashlib.sha256(source.name).hexdigest()[:8].encode()
    return prefix + delimiter.join(plain), prefix + b"Mailbox-" + digest


def _plain(part: str) -> str:
    clean = "".join(c if (c.isalnum() and c <= "\uffff") or c in " -_" else "_" for c in part)
    return clean.strip() or "_"


def shown_name(raw: bytes) -> str:
    """Return a mailbox name for people, whatever its octets are."""
    text = _decoded(raw)
    return text if text is not None else decode_text(raw)


def guessed_namespace(mailboxes: Sequence[Mailbox]) -> Namespace:
    """Return the personal namespace of a server that does not tell it (no NAMESPACE command).

    Courier and old Cyrus put everything under INBOX: then each other name begins with `INBOX.`.
    """
    delimiter = next((m.delimiter for m in mailboxes if m.delimiter), None)
    others = [m.name for m in mailboxes if m.name.upper() != INBOX]
    if delimiter and others and all(name.upper().startswith(INBOX + delimiter) for name in others):
        return Namespace(INBOX + delimiter, delimiter)
    return Namespace(b"", delimiter)


def _copy_order(pair: MailboxPair) -> tuple[int, bytes]:
    """INBOX first; what holds everything (\\All) last, so that other mailboxes come before it."""
    first = 0 if pair.source.name.upper() == INBOX else 2 if ALL_MAIL in pair.source.attributes else 1
    return first, pair.source.name


def _sorted_out(
    source: Iterable[Mailbox], profile: Profile, namespace: Namespace
) -> tuple[list[Mailbox], list[tuple[Mailbox, LeftOut]]]:
    copied: list[Mailbox] = []
    left_out: list[tuple[Mailbox, LeftOut]] = []
    seen: set[bytes] = set()
    listed = sorted(source, key=lambda m: m.name != INBOX)
    has_inbox = False
    for mailbox in listed:
        if mailbox.name in seen:
            left_out.append((mailbox, LeftOut.LISTED_TWICE))
            continue
        seen.add(mailbox.name)
        is_inbox = mailbox.name.upper() == INBOX
        if not mailbox.selectable:
            left_out.append((mailbox, LeftOut.NOT_SELECTABLE))
        elif is_inbox and has_inbox:
            left_out.append((mailbox, LeftOut.SAME_AS_INBOX))
        elif mailbox.attributes & VIEWS:
            left_out.append((mailbox, LeftOut.VIEW))
        elif not is_inbox and _holds_no_mail(mailbox, profile, namespace):
            left_out.append((mailbox, LeftOut.NO_MAIL))
        else:
            copied.append(mailbox)
            has_inbox = has_inbox or is_inbox
    return copied, left_out


def _holds_no_mail(mailbox: Mailbox, profile: Profile, namespace: Namespace) -> bool:
    path = _components(mailbox, namespace)
    names = {name.casefold() for name in profile.skip_mailboxes}
    deepest = max(
        (name.count("/") + 1 for name in names), default=0
    )  # a hostile path has any number of levels
    return any(
        "/".join(path[:length]).casefold() in names for length in range(1, min(len(path), deepest) + 1)
    )


def _source_roles(
    mailboxes: Sequence[Mailbox], profile: Profile, namespace: Namespace
) -> dict[bytes, tuple[str, MappedBy]]:
    """Return the role of each mailbox that plays one; each role is played once."""
    roles: dict[bytes, tuple[str, MappedBy]] = {}
    played: set[str] = set()

    def cast(mailbox: Mailbox, role: str, why: MappedBy) -> None:
        if role not in played and mailbox.name not in roles and mailbox.name.upper() != INBOX:
            roles[mailbox.name] = (role, why)
            played.add(role)

    for mailbox in mailboxes:
        for role in ROLES:
            if f"\\{role}" in mailbox.attributes:
                cast(mailbox, role, MappedBy.ROLE)
    by_path = _by_path(mailboxes, namespace)
    tables = ((profile.special_mailboxes, MappedBy.PROFILE), (KNOWN_NAMES, MappedBy.NAME))
    for table, why in tables:
        for role in ROLES:
            for name in table.get(role, ()):
                for mailbox in by_path.get(name.casefold(), ()):
                    cast(mailbox, role, why)
    return roles


def _by_path(mailboxes: Sequence[Mailbox], namespace: Namespace) -> dict[str, list[Mailbox]]:
    """Return the mailboxes by their decoded path, in one letter case, joined by `/`."""
    found: dict[str, list[Mailbox]] = {}
    for mailbox in mailboxes:
        found.setdefault("/".join(_components(mailbox, namespace)).casefold(), []).append(mailbox)
    return found


def _target_roles(mailboxes: Sequence[Mailbox], namespace: Namespace) -> dict[str, bytes]:
    """Return the target's own mailbox for each role that it says or names."""
    homes: dict[str, bytes] = {}
    usable = [m for m in mailboxes if m.selectable and m.name.upper() != INBOX]
    for mailbox in usable:
        for role in ROLES:
            if f"\\{role}" in mailbox.attributes:
                homes.setdefault(role, mailbox.name)
    by_path = _by_path(usable, namespace)
    for role in ROLES:
        for name in KNOWN_NAMES[role]:
            for mailbox in by_path.get(name.casefold(), ()):
                homes.setdefault(role, mailbox.name)
    return homes


def _path(mailbox: Mailbox, profile: Profile, namespace: Namespace) -> tuple[str, ...]:
    path = _components(mailbox, namespace)
    parents = {parent.casefold() for parent in profile.strip_parents}
    return path[1:] if len(path) > 1 and path[0].casefold() in parents else path


def _components(mailbox: Mailbox, namespace: Namespace) -> tuple[str, ...]:
    """Return the decoded path below the personal namespace.

    The delimiter is looked for in the raw name: no delimiter in use is part of modified base64.
    """
    raw, delimiter = mailbox.name, mailbox.delimiter or namespace.delimiter
    prefix = namespace.prefix
    if prefix and len(raw) > len(prefix) and raw[: len(prefix)].upper() == prefix.upper():
        raw = raw[len(prefix) :]
    parts = raw.split(delimiter) if delimiter else [raw]
    return tuple(shown_name(part) for part in parts)


def _placed(path: Sequence[str], target: Namespace) -> bytes:
    """Return the raw name of `path` at the target."""
    delimiter = target.delimiter or b""
    parts = list(path)
    if target.prefix and len(parts) > 1 and parts[0].upper() == "INBOX":
        parts = parts[1:]  # `INBOX.` stands in the prefix already
    elif len(parts) > 1 and parts[0].upper() == "INBOX":
        parts[0] = "INBOX"  # servers list it so, whatever they were asked to create
    cleaned = [_holdable(part, delimiter.decode("latin-1")) for part in parts]
    return target.prefix + (delimiter or b"-").join(encode_mailbox(part) for part in cleaned)


def _holdable(part: str, delimiter: str) -> str:
    """Return a component without what servers refuse in one.

    Dovecot refuses control characters everywhere, `/` where mailboxes are files, empty components,
    and a leading `~`; `*` and `%` cannot be listed again (RFC 3501 6.3.8).
    """
    bad = {"/", "*", "%", delimiter} - {""}
    clean = "".join("_" if c in bad or ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 else c for c in part)
    if not clean.strip() or clean in {".", ".."}:
        return clean.replace(" ", "_").replace(".", "_") or "_"
    return "_" + clean[1:] if clean[0] == "~" else clean


def _short_enough(name: bytes, raw: bytes, target: Namespace) -> bytes:
    """Return `name` cut where a component or the whole path is longer than servers keep.

    What is cut off is replaced by a digest of the source's raw name, so that the same name always
    gives the same result and two long names stay two.
    """
    delimiter = target.delimiter
    limit = MAX_FLAT_OCTETS if delimiter == b"." else MAX_PATH_OCTETS
    parts = name.split(delimiter) if delimiter else [name]
    if len(name) <= limit and all(len(part) <= MAX_COMPONENT_OCTETS for part in parts):
        return name
    mark = "-" + hashlib.sha256(raw).hexdigest()[:8]
    if len(name) > limit and len(parts) > 1:
        # the innermost name says most; it moves directly below the namespace
        parts = [*target.prefix.rstrip(delimiter or b"").split(delimiter), parts[-1]]
        parts = [part for part in parts if part]
        parts[-1] = _cut(parts[-1], mark)
        return (delimiter or b"").join(parts)
    return (delimiter or b"").join(
        _cut(part, mark) if len(part) > MAX_COMPONENT_OCTETS else part for part in parts
    )


def _cut(part: bytes, mark: str) -> bytes:
    text = shown_name(part)[:MAX_COMPONENT_OCTETS]  # no character is encoded in less than an octet
    while len(encode_mailbox(text + mark)) > MAX_COMPONENT_OCTETS:
        text = text[:-1]
    return encode_mailbox(text + mark)


def _decoded(raw: bytes) -> str | None:
    """Return the text of proper modified UTF-7, None for anything else (RFC 3501 5.1.3)."""
    try:
        return decode_strict(raw)
    except BadMailboxName:
        return None
