"""Which of several certificates is meant by the name that a client asks for (SNI, RFC 6066 section 3).

A certificate's names are those of its subjectAltName, as clients compare them (RFC 9525): a common name is
not one of them, and a `*` stands for exactly one label, the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

_WILD = "*."


def names_of(pem: bytes) -> tuple[str, ...]:
    """Return the host names of the first certificate in `pem`, in lower case and in their order.

    Raises ValueError where there is none, or one whose names cannot be read.
    """
    first = x509.load_pem_x509_certificates(pem)[0]
    try:
        found = first.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


class NameTable:
    """The names of certificates by their numbers; what two of them hold is the earlier one's."""

    def __init__(self, certificates: Sequence[Sequence[str]]) -> None:
        self._by_name: dict[str, int] = {}
        for number, names in enumerate(certificates):
            for name in names:
                self._by_name.setdefault(name, number)

    def find(self, asked: str) -> int:
        """Return the number of the certificate for `asked`: by its own name, by a wildcard, else 0, the default."""
        name = asked.lower().removesuffix(".")
        exact = self._by_name.get(name)
        if exact is not None:
            return exact
        _, dot, parent = name.partition(".")
        return self._by_name.get(_WILD + parent, 0) if dot else 0
