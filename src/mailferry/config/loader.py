"""Reads the configuration file and the environment's overrides; reports every fault at once.

`MAILFERRY_SECTION__KEY` in the environment replaces a key: numbers and words as they are, lists
and secret references as TOML (`MAILFERRY_COPY__BATCH_MESSAGES=20`,
`MAILFERRY_TARGET__MASTER_PASSWORD='{env = "PW"}'`). A dash in a table's name is written as `_`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from mailferry.config.faults import BadConfiguration, Fault
from mailferry.config.field_types import Section
from mailferry.config.known_names import advice_for, every_key, every_list, fields_of, key_of, section_in
from mailferry.config.secret_sources import SecretSources
from mailferry.config.settings import Settings

PREFIX = "MAILFERRY_"

AnySection = TypeVar("AnySection", bound=Section)

_IN_WORDS = {
    "missing": "is missing",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "write a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "write a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "write true or false"),
    "string_type": "write a text in quotes",
    "path_type": "write a path in quotes, beginning with /",
    "tuple_type": 'write a list, such as ["...", "..."]',
    **dict.fromkeys(
        ("model_type", "model_attributes_type"), "write a table, its keys in lines below its [name]"
    ),
}
"""What the library says of a value's kind, in words that somebody can act on."""


def load(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the file at `path` under `environ` (the process's own by default).

    Raises BadConfiguration with every fault that was found.
    """
    environ = os.environ if environ is None else environ
    if not path.exists():
        advice = "there is no such file; `mailferry init` writes one, --config FILE names another"
        raise BadConfiguration([Fault(str(path), "", advice)])
    table = read_toml(path)
    overrides, faults = _overrides(environ)
    given = list(_lay_over(table, overrides, Settings))
    origin = {key: f"environment variable {_variable(key)}" for key in given}
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
    elif detail["type"] in _IN_WORDS:
        message = _IN_WORDS[detail["type"]]
    else:
        message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    given = (origin[names[:length]] for length in range(len(names), 0, -1) if names[:length] in origin)
    return Fault(next(given, str(path)), _dotted(location), message)


def _dotted(location: tuple[str | int, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class _Overridable(Settings, BaseSettings):
    """The keys as pydantic-settings reads them from variables; values stay the text that they are."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_prefix_target="all", env_nested_delimiter="__", enable_decoding=False
    )


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + "__".join(path).replace("-", "_").upper()


def _overrides(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[Fault]]:
    """Return the keys that variables give, by field name, and a fault for each variable that names none."""
    known = {_variable(path) for path in every_key(Settings, lists=False)}
    lists = {path: ".".join(path) for path in every_list(Settings)}
    given = [name for name in sorted(environ) if name.startswith(PREFIX) and "__" in name]
    faults: list[Fault] = []
    for variable in given:
        path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
        inside = next((name for start, name in lists.items() if path[: len(start)] == start), None)
        if inside is not None:
            faults.append(Fault("environment", variable, f"[[{inside}]] tables stand in the file only"))
        elif variable.upper() not in known:
            faults.append(Fault("environment", variable, advice_for(Settings, path)))
    reader = EnvSettingsSource(_Overridable)
    reader.env_vars = {name.lower(): environ[name] for name in given if name.upper() in known}
    return reader(), faults


def _lay_over(
    table: dict[str, Any], overrides: Mapping[str, Any], section: type[Section], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Put the overrides into the file's table; yields the path of each key that they gave."""
    for name, value in overrides.items():
        fields = {
            **fields_of(section),
            **section.model_fields,
        }  # the reader names inner keys as the file does
        field = fields[name]
        key, inner = key_of(name, field), section_in(field.annotation)
        if inner is None:
            table[key] = _value(value)
            yield (*path, key)
        elif isinstance(here := table.setdefault(key, {}), dict):
            yield from _lay_over(here, value, inner, (*path, key))


def _value(text: str) -> Any:
    """Return lists and tables as TOML reads them, anything else as the word it is."""
    if text.lstrip()[:1] not in {"[", "{"}:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # the key's own check says what is expected
