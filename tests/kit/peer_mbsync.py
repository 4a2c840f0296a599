"""mbsync: an IMAP client that keeps a Maildir in step with a mailbox and remembers UIDs and UIDVALIDITY."""

from __future__ import annotations

from pathlib import Path

from tests.kit import debian
from tests.kit.run_process import Command


class Mbsync:
    """One user's mbsync that pulls every mailbox into `directory`."""

    def __init__(
        self,
        home: Path,
        *,
        host: str = "127.0.0.1",
        port: int,
        user: str,
        password: str,
        ca: Path | None = None,
        sync: str = "Pull",
        patterns: str = "*",
    ) -> None:
        """Write the configuration into `home`; with `ca` STARTTLS is required and checked."""
        self._found = debian.find("mbsync")
        self.home = home
        self.directory = home / "mail"
        self.directory.mkdir(parents=True, exist_ok=True)
        tls = f'SSLType STARTTLS\nCertificateFile "{ca}"\nSystemCertificates no' if ca else "SSLType None"
        self._rc = home / "mbsyncrc"
        self._rc.write_text(
            f'IMAPAccount far\nHost {host}\nPort {port}\nUser "{user}"\nPass "{password}"\nAuthMechs LOGIN PLAIN\n'
            f"{tls}\nTimeout 30\n\nIMAPStore far\nAccount far\n\n"
            f"MaildirStore near\nPath {self.directory}/\nInbox {self.directory}/INBOX\nSubFolders Verbatim\n\n"
            f"Channel all\nFar :far:\nNear :near:\nPatterns {patterns}\nSync {sync}\nCreate Near\nSyncState *\n"
        )
        self._rc.chmod(0o600)

    def command(self) -> Command:
        """Return one run over all mailboxes."""
        argv = (str(self._found.program), "-c", str(self._rc), "-V", "all")
        return Command(argv, {**self._found.env, "HOME": str(self.home), "LC_ALL": "C"})

    def messages(self) -> dict[str, list[bytes]]:
        """Return what was pulled: folder on disk to message octets, without mbsync's own header line."""
        found: dict[str, list[bytes]] = {}
        for path in sorted(self.directory.rglob("*")):
            if path.is_file() and path.parent.name in {"cur", "new"}:
                lines = path.read_bytes().splitlines(keepends=True)
                kept = b"".join(line for line in lines if not line.startswith(b"X-TUID: "))
                found.setdefault(str(path.parent.parent.relative_to(self.directory)), []).append(kept)
        return found
