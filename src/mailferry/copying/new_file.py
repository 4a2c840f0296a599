"""A file that is there whole or not at all, never in place of another one, and readable by its owner alone."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK})


class NewFile:
    """Write to `stream`, then `keep`; what is not kept when the `with` ends is gone without a trace.

    It lies beside its place under a hidden name meanwhile. Raises OSError, FileExistsError among them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() or path.is_symlink():
            raise FileExistsError(errno.EEXIST, "exists already", str(path))
        try:
            descriptor, self._beside = tempfile.mkstemp(prefix=".unfinished-", dir=path.parent)  # mode 0600
        except OSError as error:  # about the file that was asked for
            raise OSError(error.errno, error.strerror, str(path)) from error
        self.stream = os.fdopen(descriptor, "w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    def keep(self) -> None:
        """Put the file in its place; raises FileExistsError when something is there by now."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        try:
            os.link(self._beside, self.path, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # a file system without links: our own empty file is the only one that is replaced
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            Path(self._beside).replace(self.path)
        self.drop()
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def drop(self) -> None:
        """Close it and take away what lies beside its place."""
        if not self.stream.closed:
            try:
                self.stream.close()
            except OSError:  # a full disk: nothing of it is wanted any more
                pass
        Path(self._beside).unlink(missing_ok=True)
