"""Finding the Chinese of an English sentence that another room made, with its values in their places.

A sentence is compared with the catalogue's (`web/told_words.py`) from its beginning to its end, in one pass
and without going back, because some of what stands in it was written by strangers. What is not in the
catalogue, such as a server's own words, stays as it is.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailferry.web.console_terms import TERMS
from mailferry.web.told_words import CONNECTIONS, REFUSALS
from mailferry.web.words import SHARED

_NAMES = {**SHARED, **TERMS}
_NAMED = frozenset({"state", "phase"})
"""Values that are words with a name of their own."""
_SENTENCE, _PERHAPS = "why", "reason"
"""A value that is a sentence itself, and one that may be."""
_WORD = "name"
"""A value without blanks; a server that says "this message is too long" does not name a field of a form."""
_LONGEST = 2000
"""Characters; whatever is longer is not ours."""
_DEEPEST = 3
"""Sentences inside of one another; ours are never more."""
_BETWEEN = "; "
"""Stands between sentences that are told together."""


@dataclass(frozen=True, slots=True)
class _Sentence:
    """One sentence of the catalogue: what stands before, between and behind the values, and its Chinese."""

    literals: tuple[str, ...]
    names: tuple[str, ...]
    chinese: str

    @property
    def letters(self) -> int:
        """How much of it is its own: the sentence with most of it is the one that is meant."""
        return sum(character.isalpha() for literal in self.literals for character in literal)

    def values_in(self, text: str) -> dict[str, str] | None:
        """Return the values with which it reads `text`, None when it does not."""
        if not self.names:
            return {} if text == self.literals[0] else None
        first, *between, last = self.literals
        if not text.startswith(first) or not text.endswith(last):
            return None
        at, end = len(first), len(text) - len(last)
        values = []
        for literal in between:
            found = text.find(literal, at + 1, end)
            if found < 0:
                return None
            values.append(text[at:found])
            at = found + len(literal)
        if at >= end:
            return None
        return dict(zip(self.names, [*values, text[at:end]], strict=True))


def _sentence(english: str, chinese: str) -> _Sentence:
    literals, names = [""], []
    for literal, name, _, _ in string.Formatter().parse(english):
        literals[-1] += literal
        if name is not None:
            names.append(name)
            literals.append("")
    return _Sentence(tuple(literals), tuple(names), chinese)


def _catalogue(told: Mapping[str, str]) -> list[_Sentence]:
    made = (_sentence(english, chinese) for english, chinese in told.items())
    return sorted(made, key=lambda one: one.letters, reverse=True)


_FAILURES = _catalogue(CONNECTIONS)
_EVERYTHING = _catalogue({**REFUSALS, **CONNECTIONS})


def in_chinese(text: str) -> str:
    """Return the Chinese of what we refuse or find wrong: of one sentence, or of several in a row."""
    return _told(text, _EVERYTHING, _DEEPEST)


def failure_in_chinese(text: str) -> str:
    """Return the Chinese of a failure that we found ourselves; a server's words stay what they are."""
    return _told(text, _FAILURES, _DEEPEST)


def _told(text: str, catalogue: Sequence[_Sentence], depth: int) -> str:
    if len(text) > _LONGEST or not depth:
        return text
    whole = _one_told(text, catalogue, depth)
    if whole is not None:
        return whole
    parts = text.split(_BETWEEN)
    told = [_one_told(part, catalogue, depth) for part in parts]
    if not any(told):
        return text
    return "；".join(part if chinese is None else chinese for part, chinese in zip(parts, told, strict=True))


def _one_told(text: str, catalogue: Sequence[_Sentence], depth: int) -> str | None:
    for sentence in catalogue:
        values = sentence.values_in(text)
        shown = None if values is None else _shown(values, catalogue, depth)
        if shown is not None:
            return sentence.chinese.format(**shown)
    return None


def _shown(values: Mapping[str, str], catalogue: Sequence[_Sentence], depth: int) -> dict[str, str] | None:
    """Return the values as they stand in a Chinese sentence, None when one is not of its kind."""
    shown = dict(values)
    for name, value in values.items():
        if name in _NAMED:
            words = _NAMES.get(f"{name}.{value}")
            shown[name] = value if words is None else words.zh
        elif name in {_SENTENCE, _PERHAPS}:
            shown[name] = _told(value, catalogue, depth - 1)
            if name == _SENTENCE and shown[name] == value:
                return None
        elif name == _WORD and " " in value:
            return None
    return shown
