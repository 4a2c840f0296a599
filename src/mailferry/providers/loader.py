"""Reads the provider profiles: the program's own TOML files and a site's own folder beside them.

A file states every fact with its confidence, or names another profile that it is `based_on` and states
what differs. A site's file with the id of one of ours takes its place. The only file of this room that
touches the disk.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from mailferry.model.profile import FACTS, Confidence, Profile
from mailferry.providers.values import ID, LANGUAGES, READERS, Reader, names_of, text_of

T = TypeVar("T")

_FACT_KEYS = ("value", "confidence", "note")
_FILE_KEYS = ("names", "based_on", *FACTS)
LISTS = frozenset({"error_rules", "checklist"})
"""Facts that may be written as tables, each with a confidence of its own; the least sure counts for all."""

_RANK = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)


class BadProfile(ValueError):
    """Profile files that cannot be used; `faults` names each file, key and what to write."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


def load_profiles(extra_dir: str | None = None) -> dict[str, Profile]:
    """Return id -> profile, ours and those of `extra_dir`; raises BadProfile with every fault."""
    faults: list[str] = []
    ours = _read(_own(), {}, faults)
    theirs = _read(_of_the_site(extra_dir, faults), ours, faults)
    if faults:
        raise BadProfile(faults)
    return {**ours, **theirs}


@dataclass(frozen=True, slots=True)
class _File:
    """One file: its path, its text as a table."""

    path: str
    table: dict[str, Any]

    @property
    def profile_id(self) -> str:
        """The file's name."""
        return Path(self.path).stem

    @property
    def base(self) -> Any:
        """What it is based on, None for a whole profile."""
        return self.table.get("based_on")


def _own() -> list[tuple[str, str]]:
    folder = resources.files("mailferry.providers") / "profiles"
    files = sorted(
        (item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name
    )
    return [(item.name, item.read_text(encoding="utf-8")) for item in files]


def _of_the_site(extra_dir: str | None, faults: list[str]) -> list[tuple[str, str]]:
    if extra_dir is None:
        return []
    try:
        return [
            (str(path), path.read_text(encoding="utf-8")) for path in sorted(Path(extra_dir).glob("*.toml"))
        ]
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{extra_dir}: {error}")
        return []


def _read(
    texts: Iterable[tuple[str, str]], known: Mapping[str, Profile], faults: list[str]
) -> dict[str, Profile]:
    """Return the profiles of these files. A base is one of `known` or, before that, whole among them."""
    files = [file for path, text in texts if (file := _parsed(path, text, faults)) is not None]
    made: dict[str, Profile] = {}
    for file in sorted(files, key=lambda file: file.base is not None):  # whole ones first
        bases = {**made, **known} if file.base == file.profile_id else {**known, **made}
        profile = _profile(file, bases, faults)
        if profile is not None:
            made[file.profile_id] = profile
    return made


def _parsed(path: str, text: str, faults: list[str]) -> _File | None:
    if not ID.fullmatch(Path(path).stem):
        faults.append(f"{path}: a profile's file name is its id: small letters, digits and _")
        return None
    try:
        return _File(path, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{path}: not TOML: {error}")
        return None


def _profile(file: _File, bases: Mapping[str, Profile], faults: list[str]) -> Profile | None:
    before = len(faults)
    base: Profile | None = None
    if file.base is not None:
        base = bases.get(file.base) if isinstance(file.base, str) else None
        if base is None:
            faults.append(
                f"{file.path}: based_on: no profile {file.base!r}{nearest(str(file.base), bases)}; "
                f"known are {', '.join(sorted(bases))}"
            )
    for key in file.table:
        if key not in _FILE_KEYS:
            faults.append(f"{file.path}: {key}: unknown key{nearest(key, _FILE_KEYS)}")
    names = base.names if base is not None else None
    if "names" in file.table:
        names = _tried(file.path, "names", lambda: names_of(file.table["names"]), faults)
    elif file.base is None:
        faults.append(
            f"{file.path}: names is missing: write a name for each of {' and '.join(sorted(LANGUAGES))}"
        )
    facts = _facts(file, faults)
    if len(faults) > before or names is None:
        return None
    empty = Profile(profile_id=file.profile_id, names=names)
    whole = empty if base is None else replace(base, profile_id=file.profile_id, names=names)
    return replace(
        whole,
        **{name: fact.value for name, fact in facts.items() if fact.confidence is not Confidence.UNKNOWN},
        # a base's fact that is unknown here goes back to the standard's behaviour
        **{
            name: getattr(empty, name)
            for name, fact in facts.items()
            if fact.confidence is Confidence.UNKNOWN
        },
        confidence={**whole.confidence, **{name: fact.confidence for name, fact in facts.items()}},
        notes={
            **{name: note for name, note in whole.notes.items() if name not in facts},
            **{name: fact.note for name, fact in facts.items() if fact.note},
        },
    )


@dataclass(frozen=True, slots=True)
class _Fact:
    """One fact as a file states it."""

    value: Any
    confidence: Confidence
    note: str


def _facts(file: _File, faults: list[str]) -> dict[str, _Fact]:
    facts: dict[str, _Fact] = {}
    for name in FACTS:
        if name in file.table:
            fact = _fact(file, name, faults)
            if fact is not None:
                facts[name] = fact
        elif file.base is None:
            # a misspelt key is one fault, not two
            meant = difflib.get_close_matches(name, [key for key in file.table if key not in _FILE_KEYS], 1)
            near = f" (is {meant[0]} meant to be it?)" if meant else ""
            faults.append(
                f'{file.path}: {name} is missing{near}: write {{ confidence = "unknown" }} where nobody knows, '
                'or base the file on another profile with based_on = "ID"'
            )
    return facts


def _fact(file: _File, name: str, faults: list[str]) -> _Fact | None:
    stated = file.table[name]
    if name in LISTS and isinstance(stated, list):
        found = _tried(file.path, name, lambda: READERS[name](stated), faults)
        return (
            None
            if found is None
            else _Fact(found, min((one.confidence for one in found), key=_RANK.index), "")
        )
    if not isinstance(stated, dict):
        faults.append(
            f"{file.path}: {name}: write {{ value = ..., confidence = "
            f'"{"|".join(known.value for known in Confidence)}" }}'
        )
        return None
    for key in stated:
        if key not in _FACT_KEYS:
            faults.append(f"{file.path}: {name}.{key}: unknown key{nearest(key, _FACT_KEYS)}")
            return None
    confidence = _tried(file.path, f"{name}.confidence", lambda: _confidence(stated), faults)
    if confidence is None:
        return None
    note = _tried(
        file.path, f"{name}.note", lambda: text_of(stated["note"]) if "note" in stated else "", faults
    )
    if (confidence is Confidence.UNKNOWN) == ("value" in stated):
        what = "has a value though it is unknown" if "value" in stated else "has no value"
        faults.append(f"{file.path}: {name} {what}")
        return None
    if confidence is Confidence.UNKNOWN:
        return _Fact(None, confidence, note or "")
    reader: Reader = READERS[name]
    failed = len(faults)
    value = _tried(file.path, name, lambda: reader(stated["value"]), faults)
    return _Fact(value, confidence, note or "") if len(faults) == failed else None


def _confidence(stated: dict[str, Any]) -> Confidence:
    if "confidence" not in stated:
        raise ValueError("is missing: every fact says how sure it is")
    word = text_of(stated["confidence"])
    if word not in set(Confidence):
        words = [known.value for known in Confidence]
        raise ValueError(f"{word!r} is none{nearest(word, words)}; known are {', '.join(words)}")
    return Confidence(word)


def _tried(path: str, key: str, read: Callable[[], T], faults: list[str]) -> T | None:
    try:
        return read()
    except (ValueError, TypeError, KeyError) as error:
        faults.append(f"{path}: {key}: {error}")
        return None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` for a word that is nearly one of `known`, else nothing."""
    close = difflib.get_close_matches(word, list(known), 1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
