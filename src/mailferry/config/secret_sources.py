"""Secrets stand outside the configuration: `{file = ...}`, `{env = ...}` or `{credential = ...}`.

A credential is a file that systemd puts into $CREDENTIALS_DIRECTORY (LoadCredential=). A command that an
administrator types has no such folder, and reads what systemd reads: `/etc/credstore`. What is read becomes
a `Secret` at once; a single line end at its end is dropped, nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationInfo

from mailferry.model.access import Secret

CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"

CREDSTORE = "/etc/credstore"
"""Where systemd looks for what LoadCredential= names without a path."""

_KINDS = ("file", "env", "credential")
_HOW = 'write {file = "..."}, {env = "..."} or {credential = "..."}'
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class SecretSources:
    """Where references are looked up: the folder of the configuration file and the environment."""

    folder: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def fetch(self, kind: str, name: str) -> Secret:
        """Return the secret that `{kind = name}` refers to; raises ValueError with what to do."""
        if kind == "env":
            if name not in self.environ:
                raise ValueError(f"the environment has no variable {name}")
            octets = self.environ[name].encode("utf-8", "surrogateescape")
        else:
            octets = _read(self.folder / name if kind == "file" else self._credential(name))
        octets = octets.removesuffix(b"\n").removesuffix(b"\r")
        if not octets:
            raise ValueError(f"{kind} {name} is empty")
        return Secret(octets)

    def _credential(self, name: str) -> Path:
        if not _CREDENTIAL_NAME.fullmatch(name) or name in {".", ".."}:
            raise ValueError(f"{name!r} is not the name of a credential")
        given = self.environ.get(CREDENTIALS_DIRECTORY)
        path = Path(given or CREDSTORE) / name
        if not given and not os.access(path, os.R_OK):
            raise ValueError(f"credential {name} needs systemd's LoadCredential={name}, or the file {path}")
        return path


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            octets = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or 'cannot be read'}") from error
    if len(octets) > _LARGEST:
        raise ValueError(f"{path}: larger than a secret can be")
    return octets


def _resolve(value: object, info: ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str):
        raise ValueError(f"a secret does not stand in the configuration itself: {_HOW}")  # noqa: TRY004 - a fault
    return _from_reference(value, info)


def _resolve_or_text(value: object, info: ValidationInfo) -> Secret:
    if isinstance(value, str):
        return Secret(value.encode())
    return _resolve(value, info)


def _from_reference(value: object, info: ValidationInfo) -> Secret:
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(_HOW)
    ((kind, name),) = value.items()
    if kind not in _KINDS or not isinstance(name, str) or not name:
        raise ValueError(_HOW)
    return sources_of(info.context).fetch(kind, name)


def sources_of(context: Any) -> SecretSources:
    """Return the sources that a validation was started with."""
    return context if isinstance(context, SecretSources) else SecretSources()


_HIDDEN = PlainSerializer(lambda _secret: "***", return_type=str)

SecretSetting = Annotated[Secret, PlainValidator(_resolve), _HIDDEN]
"""A secret that must be referred to."""

SecretOrText = Annotated[Secret, PlainValidator(_resolve_or_text), _HIDDEN]
"""A value that may hold a secret, such as a database URL, or may be written as it is."""
