"""Reads the configuration file and the environment's overrides; reports every fault at once.

`MAILFERRY_SECTION__KEY` in the environment replaces a key: numbers and words as they are, lists
and secret references as TOML (`MAILFERRY_COPY__BATCH_MESSAGES=20`,
`MAILFERRY_TARGET__MASTER_PASSWORD='{env = "PW"}'`). A dash in a table's name is written as `_`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mailferry.config.faults import BadConfiguration, Fault
from mailferry.config.field_types import Section
from mailferry.config.known_names import advice_for, fields_of, section_in
from mailferry.config.secret_sources import SecretSources
from mailferry.config.settings import Settings

PREFIX = "MAILFERRY_"
NOT_OVERRIDES = frozenset({"MAILFERRY_CONFIG", "MAILFERRY_CRASH_AT"})
"""Variables of ours that are no keys."""

_LIST_SECTIONS = frozenset({"LISTEN"})

AnySection = TypeVar("AnySection", bound=Section)


def load(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the file at `path` under `environ` (the process's own by default).

    Raises BadConfiguration with every fault that was found.
    """
    environ = os.environ if environ is None else environ
    table = read_toml(path)
    replaced, faults = _overrides(environ)
    origin = _merge(table, replaced)
    sources = SecretSources(path.absolute().parent, environ)
    settings: Settings | None = None
    try:
        settings = validated(Settings, table, path, sources, origin)
    except BadConfiguration as bad:
        faults.extend(bad.faults)
    if faults or settings is None:
        raise BadConfiguration(faults)
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """Return the file's table; raises BadConfiguration when it cannot be read or is no TOML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadConfiguration([Fault(str(path), "", error.strerror or "cannot be read")]) from error
    except UnicodeDecodeError as error:
        raise BadConfiguration([Fault(str(path), "", f"not UTF-8 at octet {error.start}")]) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfiguration([Fault(str(path), "", f"not TOML: {error}")]) from error


def validated(
    model: type[AnySection],
    table: Mapping[str, Any],
    path: Path,
    sources: SecretSources,
    origin: Mapping[tuple[str, ...], str] | None = None,
) -> AnySection:
    """Return `table` as a `model`; raises BadConfiguration naming for each fault its file and key.

    `origin` names, for keys that did not come from the file, where they came from.
    """
    try:
        return model.model_validate(table, context=sources)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        raise BadConfiguration([_fault(model, detail, path, origin or {}) for detail in details]) from None


def _fault(
    model: type[Section], detail: ErrorDetails, path: Path, origin: Mapping[tuple[str, ...], str]
) -> Fault:
    location = detail["loc"]
    names = tuple(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        message = advice_for(model, location)
    elif detail["type"] == "missing":
        message = "is missing"
    else:
        message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return Fault(origin.get(names, str(path)), _dotted(location), message)


def _dotted(location: tuple[str | int, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _overrides(environ: Mapping[str, str]) -> tuple[dict[tuple[str, ...], tuple[str, Any]], list[Fault]]:
    """Return key path -> (variable, value) for the environment's overrides, and what is wrong with them."""
    known = {"__".join(part.replace("-", "_") for part in path).upper(): path for path in _plain_keys()}
    found: dict[tuple[str, ...], tuple[str, Any]] = {}
    faults: list[Fault] = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in NOT_OVERRIDES or "__" not in variable:
            continue
        name = variable.removeprefix(PREFIX)
        if name.upper() in known:
            path = known[name.upper()]
            found[path] = (variable, _value(environ[variable]))
        elif name.partition("__")[0].upper() in _LIST_SECTIONS:
            faults.append(Fault("environment", variable, "[[listen]] tables stand in the file only"))
        else:
            parts = tuple(part.lower() for part in name.split("__"))
            faults.append(Fault("environment", variable, advice_for(Settings, parts)))
    return found, faults


def _plain_keys(section: type[Section] = Settings, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    keys: list[tuple[str, ...]] = []
    for key, field in fields_of(section).items():
        inner = section_in(field.annotation)
        if inner is None:
            keys.append((*path, key))
        elif key.upper() not in _LIST_SECTIONS:
            keys.extend(_plain_keys(inner, (*path, key)))
    return keys


def _value(text: str) -> Any:
    """Return lists and tables as TOML reads them, anything else as the word it is."""
    if text.lstrip()[:1] not in {"[", "{"}:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # the key's own check says what is expected


def _merge(
    table: dict[str, Any], replaced: Mapping[tuple[str, ...], tuple[str, Any]]
) -> dict[tuple[str, ...], str]:
    origin: dict[tuple[str, ...], str] = {}
    for path, (variable, value) in replaced.items():
        here = table
        for part in path[:-1]:
            inner = here.setdefault(part, {})
            if not isinstance(inner, dict):
                break
            here = inner
        else:
            here[path[-1]] = value
            origin[path] = f"environment variable {variable}"
    return origin
