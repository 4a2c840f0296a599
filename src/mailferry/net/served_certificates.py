"""Our certificates as files: read again when they change, and chosen by the name that a client asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from mailferry.net.certificate_names import NameTable, names_of

LOOK_AGAIN_SECONDS = 1.0

C = TypeVar("C")

_Stamp = tuple[tuple[int, int, int], ...]


class BadTlsFiles(Exception):
    """The certificate or its key cannot be used; the text names the file and the fault."""


class _Pair(Generic[C]):
    """One certificate with its key, and what was made of the files when they were read last."""

    def __init__(self, certificate: Path, key: Path, load: Callable[[Path, Path], C], *, named: bool) -> None:
        """Read the files, and the certificate's names where it is one of several; raises BadTlsFiles."""
        self._certificate = certificate
        self._key = key
        self._load = load
        self._named = named
        self._stamp = self._look()
        self.context, self.names = self._read()

    def read_again(self) -> bool:
        """Whether the files changed and were read; raises BadTlsFiles, once, for new ones that cannot be used."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self.context, self.names = self._read()
        return True

    def _read(self) -> tuple[C, tuple[str, ...]]:
        for path in (self._certificate, self._key):
            try:
                with path.open("rb"):
                    pass
            except OSError as error:
                raise BadTlsFiles(f"{path}: {error.strerror}") from error
        context = self._load(self._certificate, self._key)
        return context, _names(self._certificate) if self._named else ()

    def _look(self) -> _Stamp:
        found = []
        for path in (self._certificate, self._key):
            try:
                entry = path.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((entry.st_mtime_ns, entry.st_size, entry.st_ino))
        return tuple(found)


class ServedCertificates(Generic[C]):
    """Pairs of certificate and key, the default first, each as what `load` made of it (raising BadTlsFiles).

    The files are looked at no more than once a second and read again when their time, size or inode
    changed. New files that cannot be used leave the old certificate in place and are reported once
    to `on_problem`. `seconds` is a clock that runs forward.
    """

    def __init__(
        self,
        files: Sequence[tuple[Path, Path]],
        load: Callable[[Path, Path], C],
        *,
        seconds: Callable[[], float],
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        """Read all files; raises BadTlsFiles."""
        self._seconds = seconds
        self._on_problem = on_problem
        self.several = len(files) > 1
        self._pairs = [_Pair(*pair, load, named=self.several) for pair in files]
        self._table = self._names()
        self._looked_at = seconds()

    def named(self, asked: str) -> C:
        """Return what belongs to the name that a client asks for; the default for one that no certificate has."""
        return self._pairs[self._table.find(asked)].context

    @property
    def default(self) -> C:
        """What the first certificate made."""
        return self._pairs[0].context

    def refresh(self) -> None:
        """Read again what changed."""
        now = self._seconds()
        if now - self._looked_at < LOOK_AGAIN_SECONDS:
            return
        self._looked_at = now
        changed = False
        for pair in self._pairs:
            try:
                changed = pair.read_again() or changed
            except BadTlsFiles as problem:
                # Certificate first, key a moment later is how renewals write: the next look sees both.
                if self._on_problem is not None:
                    self._on_problem(str(problem))
        if changed:
            self._table = self._names()

    def _names(self) -> NameTable:
        return NameTable([pair.names for pair in self._pairs])


def _names(certificate: Path) -> tuple[str, ...]:
    try:
        return names_of(certificate.read_bytes())
    except OSError as error:
        raise BadTlsFiles(f"{certificate}: {error.strerror}") from error
    except ValueError as error:
        raise BadTlsFiles(f"{certificate}: its names cannot be read") from error
