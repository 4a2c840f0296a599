"""Faults inside the processes of a service: steps that raise while a file names them.

`BrokenSteps(folder).environment` puts a folder on PYTHONPATH; each `serve` that starts with it wraps `STEPS`.
What the wrapped functions were given stands in the frames of the traceback, as it would in a real fault.
"""

from __future__ import annotations

from pathlib import Path

STEPS = (
    "mailferry.login.imap_backend:login_form",
    "mailferry.frontends.visit:Visit._ask",
    "mailferry.gate.judges:Judges.ask_source",
    "mailferry.gate.judges:open_session",
    "mailferry.gate.penalty:Penalty._keys",
    "mailferry.login.imap_backend:ImapBackend._login",
    "mailferry.passwords.push:PasswordKeeper.accepted_at_source",
    "mailferry.passwords.sealing:KeyRing.seal",
    "mailferry.passwords.verifiers:make_verifier",
    "mailferry.passwords.schemes:make_hash",
)

_SITE = """
import functools, importlib, os, sys
from pathlib import Path

def wrap(place, file):
    module, _, names = place.partition(":")
    owner = importlib.import_module(module)
    *path, last = names.split(".")
    for name in path:
        owner = getattr(owner, name)
    original = getattr(owner, last)

    @functools.wraps(original)
    def step(*given, **named):
        if file.exists() and file.read_text() == place:
            raise RuntimeError("forced at " + place)
        return original(*given, **named)

    setattr(owner, last, step)

if "BROKEN_STEP" in os.environ and "serve" in sys.orig_argv:
    for place in os.environ["BROKEN_STEPS"].split():
        wrap(place, Path(os.environ["BROKEN_STEP"]))
"""


class BrokenSteps:
    """The faults of one service."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "site"
        self._folder.mkdir()
        (self._folder / "sitecustomize.py").write_text(_SITE)
        self._step = folder / "broken-step"

    @property
    def environment(self) -> dict[str, str]:
        """What the service needs in its environment."""
        return {
            "PYTHONPATH": str(self._folder),
            "BROKEN_STEP": str(self._step),
            "BROKEN_STEPS": " ".join(STEPS),
        }

    def at(self, step: str | None) -> None:
        """Break `step` from now on, and no other; None: none."""
        self._step.write_text(step or "")
