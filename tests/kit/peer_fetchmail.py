"""fetchmail: the mail client that remembers which messages it has seen, by their POP3 UIDLs."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kit import debian
from tests.kit.run_process import Command, Ran

NOTHING_NEW = 1
"""fetchmail's exit status when there was no mail to fetch."""
_BREAK = re.compile(rb"\0.\n", re.DOTALL)
"""What fetchmail 6.4 puts where it breaks a line of more than 8 KiB: mail itself holds no NUL."""


class Fetchmail:
    """One user's fetchmail, with `keep`: run it again and it fetches only what it has not seen.

    `command()` runs it once; `fetched` holds the messages delivered so far, in order of arrival.
    """

    def __init__(
        self,
        home: Path,
        *,
        host: str = "127.0.0.1",
        port: int,
        user: str,
        password: str,
        protocol: str = "pop3",
        ca: Path | None = None,
        options: str = "",
    ) -> None:
        """Write the configuration into `home`; with `ca` STARTTLS/STLS is required and checked.

        `protocol` is `pop3` or `imap`; `options` are further words of the user's line.
        """
        self._found = debian.find("fetchmail")
        self.home = home
        home.mkdir(exist_ok=True, parents=True)
        self._inbox = home / "delivered"
        self._inbox.mkdir(exist_ok=True)
        deliver = home / "deliver"
        deliver.write_text(f'#!/bin/sh\nexec cat >"{self._inbox}/$(date +%s.%N)"\n')
        deliver.chmod(0o755)
        tls = f'sslproto "auto" sslcertck sslcertfile "{ca}"' if ca else 'sslproto ""'
        uidl = "uidl" if protocol == "pop3" else ""
        self._rc = home / "fetchmailrc"
        self._rc.write_text(
            f'set no bouncemail\nset no syslog\nset invisible\npoll "{host}" protocol {protocol} port {port} {uidl}\n'
            f'  username "{user}" password "{password}" {tls} keep no rewrite {options}\n'
            f'  mda "{deliver}"\n'
        )
        self._rc.chmod(0o600)

    def command(self) -> Command:
        """Return one run; exit status 0 when mail came, NOTHING_NEW when there was none."""
        argv = (
            str(self._found.program), "-v", "--nodetach", "--fetchmailrc", str(self._rc),
            "--idfile", str(self.home / "ids"), "--pidfile", str(self.home / "pid"),
        )  # fmt: skip
        env = {**self._found.env, "HOME": str(self.home), "LC_ALL": "C", "FETCHMAILHOME": str(self.home)}
        return Command(argv, env)

    def fetched_by(self, run: Ran) -> bool:
        """Say whether this run brought mail; fails when it neither did nor found none."""
        assert run.code in {0, NOTHING_NEW}, run.text
        return run.code == 0

    @property
    def fetched(self) -> list[bytes]:
        """The messages delivered so far, their long lines whole again."""
        return [_BREAK.sub(b"", path.read_bytes()) for path in sorted(self._inbox.iterdir())]
