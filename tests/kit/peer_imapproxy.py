"""A real imapproxy between a webmail and us, by `conf/roundcube/imapproxy.conf` as it stands."""

from __future__ import annotations

import grp
from collections.abc import Mapping
from pathlib import Path

from tests.kit.daemon import Daemon
from tests.kit.peer_process import PeerProcess
from tests.kit.site_files import as_it_stands


class ImapProxy(PeerProcess):
    """A running imapproxy. `ports` has `imap`."""

    name = "imapproxy"

    def __init__(self, tmp_path: Path, *, imap: int) -> None:
        """Start it: `imap` is the door that it logs in at."""
        super().__init__(tmp_path)
        self._imap = imap
        self.start()

    def _services(self) -> tuple[str, ...]:
        return ("imap",)

    def _spawn(self, ports: Mapping[str, int]) -> Daemon:
        sample = as_it_stands(
            "roundcube/imapproxy.conf",
            {
                "server_port 9243": f"server_port {self._imap}",
                "listen_port 9343": f"listen_port {ports['imap']}",
                "proc_username nobody": f"proc_username {self._user.pw_name}",
                "proc_groupname nogroup": f"proc_groupname {grp.getgrgid(self._user.pw_gid).gr_name}",
                "/run/imapproxy.stats": str(self.directory / "stats"),
                "/var/log/imapproxy_protocol.log": str(self.directory / "protocol"),
                "foreground_mode no": "foreground_mode yes",
            },
        )
        config = self.directory / "imapproxy.conf"
        config.write_text(sample)
        command = [str(self._found.program), "-f", str(config), "-p", str(self.directory / "pid")]
        return Daemon(command, log=self.log, env=self._found.env, cwd=self.directory)
