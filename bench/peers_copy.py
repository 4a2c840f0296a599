"""The copiers that a user could pick instead, each as its own documentation sets it up for a migration."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

from bench.measuring import Cost, Program, measured
from bench.peer import CopierKind, Job
from bench.servers import PASSWORD
from tests.kit import debian


@dataclass(slots=True)
class Runs:
    """A copier that is a program run anew each time."""

    program: Program
    keeps_octets: bool

    def run(self) -> Cost:
        """Run the program once."""
        return measured(self.program)

    def finish(self) -> None:
        """Nothing runs between two runs."""


class Mbsync(CopierKind):
    """isync's mbsync, pulling new, changed and deleted mail from one IMAP server into another."""

    name = "mbsync"
    protocols = ("imap",)
    repeats = ("imap",)
    asks_target = True

    def version(self) -> str:
        """Return the version."""
        return debian.find("mbsync").version

    def prepare(self, job: Job) -> Runs:
        """Write the configuration; the state lies beside it. It adds an X-TUID header to each message."""
        found = debian.find("mbsync")
        (job.folder / "state").mkdir()
        rc = job.folder / "mbsyncrc"
        rc.write_text(
            _mbsync_store("far", job.source.ports["imap"], job.source_user)
            + _mbsync_store("near", job.target.ports["imap"], job.target_user)
            + "Channel all\nFar :far:\nNear :near:\nPatterns *\nSync Pull\nCreate Near\nExpunge Near\n"
            f"CopyArrivalDate yes\nSyncState {job.folder}/state/\n"
        )
        rc.chmod(0o600)
        program = Program(
            (str(found.program), "-q", "-c", str(rc), "all"),
            {**found.env, "HOME": str(job.folder), "LC_ALL": "C"},
        )
        return Runs(program, keeps_octets=False)


def _mbsync_store(name: str, port: int, user: str) -> str:
    return (
        f'IMAPAccount {name}\nHost 127.0.0.1\nPort {port}\nUser "{user}"\nPass "{PASSWORD}"\n'
        f"AuthMechs LOGIN\nSSLType None\nTimeout 600\n\nIMAPStore {name}\nAccount {name}\n\n"
    )


class Dsync(CopierKind):
    """Dovecot's dsync on the target's own host: it writes into the store without a target server."""

    name = "dsync"
    protocols = ("imap", "pop3")
    repeats = ("imap",)
    asks_target = False

    def version(self) -> str:
        """Return Dovecot's version."""
        return debian.find("dovecot").version

    def prepare(self, job: Job) -> Runs:
        """Name the source; POP3 is a plain import, which cannot be repeated."""
        far = {
            "host": "127.0.0.1",
            "port": str(job.source.ports[job.protocol]),
            "user": job.source_user,
            "password": PASSWORD,
        }
        words = []
        if job.protocol == "imap":
            far["features"] = "rfc822.size fetch-headers"
            words = ["backup", "-u", job.target_user, "-R", "imapc:"]
        else:
            words = ["import", "-u", job.target_user, "pop3c:", "", "ALL"]
        kind = "imapc" if job.protocol == "imap" else "pop3c"
        options = [part for key, value in far.items() for part in ("-o", f"{kind}_{key}={value}")]
        argv = job.target.doveadm_command(*options, *words)
        return Runs(Program(tuple(map(str, argv)), as_server=True), keeps_octets=True)


class Getmail(CopierKind):
    """getmail6, reading a maildrop over POP3 and handing each message to the target by LMTP."""

    name = "getmail6"
    protocols = ("pop3",)
    repeats = ("pop3",)
    asks_target = False

    def version(self) -> str:
        """Return the version."""
        return debian.find("getmail6").version

    def prepare(self, job: Job) -> Runs:
        """Write the configuration. It adds headers to each message."""
        found = debian.find("getmail6")
        rc = job.folder / "getmailrc"
        rc.write_text(
            f"[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {job.source.ports['pop3']}\n"
            f"username = {job.source_user}\npassword = {PASSWORD}\n\n"
            f"[destination]\ntype = MDA_lmtp\nhost = 127.0.0.1\nport = {job.target.ports['lmtp']}\n"
            f"override = {job.target_user}\n\n"
            "[options]\nread_all = false\ndelete = false\nverbose = 0\n"
        )
        rc.chmod(0o600)
        program = Program(
            (str(found.program), "--getmaildir", str(job.folder), "--rcfile", str(rc)),
            {**found.env, "HOME": str(job.folder)},
        )
        return Runs(program, keeps_octets=False)


class Imapsync(CopierKind):
    """imapsync, when `$IMAPSYNC` names its script."""

    name = "imapsync"
    protocols = ("imap",)
    repeats = ("imap",)
    asks_target = True

    def version(self) -> str:
        """Return the version; raises PeerMissing when `$IMAPSYNC` names no script that runs."""
        script = os.environ.get("IMAPSYNC", "")
        if not script:
            raise debian.PeerMissing("imapsync is not measured: set IMAPSYNC to its script")
        try:
            ran = subprocess.run(
                ["perl", script, "--version"], capture_output=True, text=True, check=False, timeout=60
            )
        except OSError as error:
            raise debian.PeerMissing(f"imapsync: {error}") from error
        found = re.search(r"\d+\.\d+", ran.stdout)
        if found is None:
            raise debian.PeerMissing(f"imapsync: {script} does not run: {ran.stderr.strip()[-200:]}")
        return found[0]

    def prepare(self, job: Job) -> Runs:
        """Name both sides; what vanished at the source is deleted at the target, as the others do it."""
        for side in ("1", "2"):
            (job.folder / f"password{side}").write_text(PASSWORD + "\n")
        argv = [
            "perl", os.environ["IMAPSYNC"],
            "--host1", "127.0.0.1", "--port1", str(job.source.ports["imap"]), "--user1", job.source_user,
            "--host2", "127.0.0.1", "--port2", str(job.target.ports["imap"]), "--user2", job.target_user,
            "--passfile1", str(job.folder / "password1"), "--passfile2", str(job.folder / "password2"),
            "--nossl1", "--nossl2", "--notls1", "--notls2", "--delete2", "--noreleasecheck", "--nolog",
            "--tmpdir", str(job.folder), "--pidfile", str(job.folder / "pid"),
        ]  # fmt: skip
        return Runs(Program(tuple(argv), {"LC_ALL": "C"}), keeps_octets=True)


OTHERS: tuple[CopierKind, ...] = (Mbsync(), Dsync(), Getmail(), Imapsync())
