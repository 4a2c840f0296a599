"""The folder through which all processes of the service share their metrics.

prometheus-client decides at its first import whether values live in files; so the parent calls
`share_metrics_in` before anything imports `observe.metrics`, and the children inherit it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics_in(folder: Path) -> bool:
    """Make `folder` ready, empty of an earlier run's files, and name it to the metrics library.

    Returns False when the library was imported before: its values stay inside this process then, and
    the program must begin anew in the environment that now names the folder.
    """
    if os.environ.get(VARIABLE) == str(folder):
        return True  # begun anew already; files in the folder are this run's own
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink(missing_ok=True)
    os.environ[VARIABLE] = str(folder)
    return "prometheus_client.values" not in sys.modules
