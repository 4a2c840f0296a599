"""A site's own program for the backend `command`: sets one password in a users file, as its arguments say.

    set_password.py FILE [slow|deaf|fails|spawns]

Written for the tests, and shown in docs/password-backends.md in short.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    users, how = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    if how == "deaf":
        return os.EX_UNAVAILABLE  # without reading what it was told
    told = json.load(sys.stdin)
    if how == "fails":
        print(told)  # nobody may show this
        print(told, file=sys.stderr)
        return os.EX_TEMPFAIL
    if how == "slow":
        time.sleep(60)
    if how == "spawns":
        subprocess.run([sys.executable, "-c", "import time; time.sleep(60)", str(users)], check=True)
    stored = told["hash"] if "hash" in told else "{PLAIN}" + told["password"]
    if "against the rules" in stored:
        return os.EX_DATAERR
    with users.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lines = dict(line.split("\t", 1) for line in users.read_text().splitlines())
        if told["address"] not in lines and not told["create"]:
            return os.EX_NOUSER
        lines[told["address"]] = stored
        fresh = users.with_suffix(".new")
        fresh.write_text("".join(f"{address}\t{one}\n" for address, one in lines.items()))
        fresh.replace(users)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
