"""The names that a configuration may use, and the one that an unknown name was probably meant to be."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from typing import Union, get_args, get_origin

from pydantic.fields import FieldInfo

from mailferry.config.field_types import Section

_CLOSE = 0.6


def key_of(name: str, field: FieldInfo) -> str:
    """Return how a field is written in the file."""
    return field.alias or name


def section_in(annotation: object) -> type[Section] | None:
    """Return the table that a field holds (also in a list or as an option), or None for a plain key."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if get_origin(annotation) in {Union, types.UnionType, tuple, list}:
        for inner in get_args(annotation):
            if (found := section_in(inner)) is not None:
                return found
    return None


def fields_of(section: type[Section]) -> dict[str, FieldInfo]:
    """Return the keys of a table with their fields."""
    return {key_of(name, field): field for name, field in section.model_fields.items()}


def every_key(
    section: type[Section], path: tuple[str, ...] = (), *, lists: bool = True
) -> Iterator[tuple[str, ...]]:
    """Return the path of every plain key under `section`; those of tables in lists only with `lists`."""
    for key, field in fields_of(section).items():
        inner = section_in(field.annotation)
        if inner is None:
            yield (*path, key)
        elif lists or not _is_list(field):
            yield from every_key(inner, (*path, key), lists=lists)


def every_list(section: type[Section], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Return the path of every list of tables under `section`."""
    for key, field in fields_of(section).items():
        inner = section_in(field.annotation)
        if inner is not None and _is_list(field):
            yield (*path, key)
        if inner is not None:
            yield from every_list(inner, (*path, key))


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) in {tuple, list}


def table_at(root: type[Section], path: tuple[str | int, ...]) -> type[Section] | None:
    """Return the table that `path` leads to; numbers of list items are passed over."""
    here: type[Section] | None = root
    for part in path:
        if isinstance(part, int):
            continue
        if here is None or part not in fields_of(here):
            return None
        here = section_in(fields_of(here)[part].annotation)
    return here


def advice_for(root: type[Section], path: tuple[str | int, ...]) -> str:
    """Return what to say of the unknown key at `path`: its likely spelling or its right table."""
    unknown, table = str(path[-1]), table_at(root, path[:-1])
    near = difflib.get_close_matches(
        unknown.lower(), list(fields_of(table)) if table else [], n=1, cutoff=_CLOSE
    )
    if near:
        return f"unknown key; did you mean {near[0]}?"
    elsewhere = [known for known in every_key(root) if known[-1] == unknown]
    if elsewhere:
        return f"unknown key here; it belongs to [{'.'.join(elsewhere[0][:-1])}]"
    names = sorted(fields_of(table)) if table else []
    near = difflib.get_close_matches(unknown.lower(), names, n=1, cutoff=0.0)
    return f"unknown key; the nearest known is {near[0]}" if near else "unknown key"
