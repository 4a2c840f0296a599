"""A real Postfix that takes mail on submission ports, run by the lines of `conf/postfix`; it drops what it takes.

Postfix starts as root only: its programs change to other users by themselves.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.kit import debian
from tests.kit.daemon import Daemon, answers
from tests.kit.peer_process import PeerProcess
from tests.kit.site_files import as_it_stands
from tests.kit.tls_files import Issued

_MAIN = """compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {folder}/etc
import_environment = MAIL_CONFIG TZ LD_LIBRARY_PATH
mail_owner = nobody
setgid_group = mail
default_privs = daemon
myhostname = mail.example.com
inet_protocols = ipv4
mydestination =
mynetworks =
alias_maps =
default_transport = discard:
maillog_file_prefixes = {folder}
maillog_file = {folder}/log
"""
_MASTER = """cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
discard unix - - n - - discard
postlog unix-dgram n - n - 1 postlogd
"""
_QUEUES = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace",
)  # fmt: skip


class Postfix(PeerProcess):
    """A running Postfix. `ports` has `submission` and `behind_nginx`."""

    name = "postfix"

    def __init__(self, tmp_path: Path, *, sasl: str, issued: Issued) -> None:
        """Start it; `sasl` is where it asks, as `smtpd_sasl_path` names it."""
        if os.getuid() != 0:
            raise debian.PeerMissing("postfix starts as root only")
        super().__init__(tmp_path)
        self._sasl = sasl
        self._issued = issued
        queue = self.directory / "queue"
        for folder in (*_QUEUES, "public", "maildrop", "pid"):
            (queue / folder).mkdir(parents=True)
            if folder != "pid":
                shutil.chown(queue / folder, "nobody")
        shutil.chown(self.directory, "root")
        shutil.chown(queue / "public", "nobody", "mail")
        shutil.chown(queue / "maildrop", "nobody", "mail")
        (self.directory / "data").mkdir()
        shutil.chown(self.directory / "data", "nobody")
        (self.directory / "etc").mkdir()
        self.start()

    def _services(self) -> tuple[str, ...]:
        return ("submission", "behind_nginx")

    def _ready(self, ports: Mapping[str, int]) -> bool:
        """Whether it greets; the server behind nginx asks for mechanisms at once, which nobody may offer yet."""
        return answers(ports["submission"])

    def _spawn(self, ports: Mapping[str, int]) -> Daemon:
        etc = self.directory / "etc"
        own = _MAIN.format(folder=self.directory, root=self._found.root)
        lines = as_it_stands(
            "postfix/main.cf",
            {
                "inet:127.0.0.1:8587": self._sasl,
                "/etc/mailferry/tls/fullchain.pem": str(self._issued.certificate),
                "/etc/mailferry/tls/privkey.pem": str(self._issued.key),
            },
        )
        (etc / "main.cf").write_text(own + lines)
        services = as_it_stands(
            "postfix/master.cf",
            {
                "587       inet": f"127.0.0.1:{ports['submission']} inet",
                "127.0.0.1:10587 inet": f"127.0.0.1:{ports['behind_nginx']} inet",
            },
        )
        (etc / "master.cf").write_text(_MASTER + services)
        for file in ("dynamicmaps.cf", "postfix-files"):
            (etc / file).touch()
        master = self._found.root / "usr/lib/postfix/sbin/master"
        return Daemon(
            [str(master), "-c", str(etc), "-d"], log=self.log, env=self._found.env, cwd=self.directory
        )
