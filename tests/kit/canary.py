"""Canary passwords: each is unique, and a search finds it in any file, whatever encoding carried it there.

A password that a test typed must stand nowhere afterwards: not in logs, the database, its journal, or
the arguments of a process.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes


def canary(label: str = "canary") -> str:
    """Return a password that exists nowhere else; its quotes and blanks show up in every encoding."""
    return f'{label} {secrets.token_urlsafe(12)} "é%/'


@dataclass(frozen=True)
class Sighting:
    """Where a canary was seen."""

    place: str
    encoding: str
    offset: int

    def __str__(self) -> str:
        return f"{self.place}: {self.encoding} at octet {self.offset}"


def encodings(password: str | bytes) -> Mapping[str, bytes]:
    """Return what the password looks like in each encoding that might carry it away."""
    octets = password.encode() if isinstance(password, str) else password
    text = octets.decode(errors="surrogateescape")
    seen = {
        "raw": octets,
        "url": quote_from_bytes(octets, safe="").encode(),
        "hex": octets.hex().encode(),
        "json": json.dumps(octets.decode("latin-1") if max(text) >= "\udc80" else text)[1:-1].encode(),
        "repr": repr(octets)[2:-1].encode(),
    }
    escaped = octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    if escaped != octets:
        seen["quoted"] = escaped
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + octets)
        first = (0, 2, 3)[shift]  # letters that also depend on the octets before
        last = len(whole) - (0, 3, 2)[(len(octets) + shift) % 3]  # and on those behind, or on padding
        last -= 1 if (len(octets) + shift) % 3 else 0
        seen[f"base64+{shift}"] = whole[first:last]
    return seen


def search(octets: bytes, passwords: Iterable[str | bytes], place: str = "octets") -> Iterator[Sighting]:
    """Yield each encoding of each password that stands in `octets`; hex and URL in either case."""
    lower = octets.lower()
    for password in passwords:
        for name, needle in encodings(password).items():
            either_case = name in {"hex", "url"}
            offset = (lower if either_case else octets).find(needle.lower() if either_case else needle)
            if offset >= 0:
                yield Sighting(place, name, offset)


def search_files(root: Path, passwords: Iterable[str | bytes], *, but: Iterable[Path] = ()) -> list[Sighting]:
    """Search every file below `root` but those named (such as the passwd-file of a test's own server)."""
    wanted, spared = list(passwords), {path.resolve() for path in but}
    found: list[Sighting] = []
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and path.resolve() not in spared:
                found += search(path.read_bytes(), wanted, str(path))
    return found


def search_processes(pids: Iterable[int], passwords: Iterable[str | bytes]) -> list[Sighting]:
    """Search the arguments and the environment of running processes."""
    wanted = list(passwords)
    found: list[Sighting] = []
    for pid in pids:
        for part in ("cmdline", "environ"):
            try:
                octets = Path(f"/proc/{pid}/{part}").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            except PermissionError:
                assert part == "environ", "arguments are for everybody to see"
                continue  # not even the same user may look into this process
            found += search(octets, wanted, f"/proc/{pid}/{part}")
    return found
