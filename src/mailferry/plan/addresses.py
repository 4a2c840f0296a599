"""One spelling for each account, and the name an account has at the source.

Two spellings of one mailbox are one account here, and count together at every limit: letter case,
full-width forms and Unicode composition are folded (NFKC), blanks around are dropped, the domain
goes to its IDNA form. Look-alikes that folding does not join (dotless i, Cyrillic а) stay other
accounts, which the servers then do not know.
"""

from __future__ import annotations

import re
import unicodedata

MAX_ADDRESS_OCTETS = 320
"""64 octets of local part, `@`, 255 of domain (RFC 5321 4.5.3.1)."""

MASTER_SEPARATORS = frozenset("*%")
"""Characters that servers take for `user*master` logins (Dovecot's and Cyrus's defaults)."""


_PLAIN = re.compile(r"[a-z0-9._+=-]{1,64}@(?:[a-z0-9][a-z0-9-]{0,61}\.){1,3}[a-z0-9-]{1,62}", re.ASCII)
"""What most names are, and what folding leaves as it is."""


class BadAddress(ValueError):
    """A login name that no account can have; it is refused at the door and never sent on."""


def canonical_address(name: str, default_domain: str | None = None) -> str:
    """Return the one spelling of the account that `name` means.

    Raises BadAddress for control or invisible characters, blanks inside, a master-user separator,
    more than one `@`, an empty part, or a missing domain when there is no default.
    """
    if _PLAIN.fullmatch(lowered := name.lower()) and name.isascii():
        return lowered
    folded = unicodedata.normalize("NFKC", name).strip().casefold()
    folded = unicodedata.normalize("NFKC", folded)
    if not folded:
        raise BadAddress("an empty login name")
    if any(unicodedata.category(c)[0] == "C" or c.isspace() for c in folded):
        raise BadAddress("a control, invisible or blank character in the login name")
    if MASTER_SEPARATORS & set(folded):
        raise BadAddress("a master-user separator in the login name")
    local, at, domain = folded.partition("@")
    if not at:
        if default_domain is None:
            raise BadAddress("a login name without a domain")
        domain = default_domain.casefold()
    if not local or not domain or "@" in domain:
        raise BadAddress("a login name is local-part@domain")
    try:
        domain = domain.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise BadAddress("a domain name that cannot be") from error
    address = f"{local}@{domain}"
    if len(address.encode()) > MAX_ADDRESS_OCTETS:
        raise BadAddress("a login name longer than an address can be")
    return address


def domain_of(address: str) -> str:
    """Return the domain of a canonical address."""
    return address.rpartition("@")[2]


def source_login(address: str, login_form: str, override: str | None = None) -> str:
    r"""Return the name that the account logs in with at the source.

    `login_form` is `full`, `local`, or a template with `{address}`, `{local}` and `{domain}`, such
    as `CORP\{local}` for Exchange. `override` is the account's own entry of the mapping table: a
    complete address or name, to which the form still applies when it is an address.
    """
    mapped = override or address
    local, at, domain = mapped.rpartition("@")
    if not at:
        return mapped
    if login_form == "full":
        return mapped
    if login_form == "local":
        return local
    return login_form.replace("{address}", mapped).replace("{local}", local).replace("{domain}", domain)
