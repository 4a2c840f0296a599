"""A real nginx with its mail module, run by `conf/nginx/mailferry-mail.conf`."""

from __future__ import annotations

import grp
from collections.abc import Mapping
from pathlib import Path

from tests.kit.daemon import Daemon
from tests.kit.peer_process import PeerProcess
from tests.kit.site_files import as_it_stands
from tests.kit.tls_files import Issued

_AROUND = """daemon off;
user {user} {group};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/log info;
load_module {modules}/ngx_mail_module.so;
events {{ worker_connections 256; }}
include {folder}/mailferry-mail.conf;
"""


class Nginx(PeerProcess):
    """A running nginx. `ports` has `imap`, `imaps`, `pop3`, `pop3s` and `submission`."""

    name = "nginx"

    def __init__(self, tmp_path: Path, *, auth_http: int, issued: Issued) -> None:
        """Start it; `auth_http` is the port to ask at."""
        super().__init__(tmp_path)
        self._auth_http = auth_http
        self._issued = issued
        self.start()

    def _services(self) -> tuple[str, ...]:
        return ("imap", "imaps", "pop3", "pop3s", "submission")

    def _spawn(self, ports: Mapping[str, int]) -> Daemon:
        numbers = {"imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995, "submission": 587}
        listens = {f"listen {number}": f"listen 127.0.0.1:{ports[name]}" for name, number in numbers.items()}
        sample = as_it_stands(
            "nginx/mailferry-mail.conf",
            {
                **listens,
                "auth_http 127.0.0.1:8143/auth;": f"auth_http 127.0.0.1:{self._auth_http}/auth;",
                "/etc/mailferry/tls/fullchain.pem": str(self._issued.certificate),
                "/etc/mailferry/tls/privkey.pem": str(self._issued.key),
            },
        )
        (self.directory / "mailferry-mail.conf").write_text(sample)
        config = self.directory / "nginx.conf"
        modules = self._found.root / "usr/lib/nginx/modules"
        config.write_text(
            _AROUND.format(
                user=self._user.pw_name,
                group=grp.getgrgid(self._user.pw_gid).gr_name,
                folder=self.directory,
                modules=modules,
            )
        )
        command = [str(self._found.program), "-p", str(self.directory), "-c", str(config)]
        return Daemon(command, log=self.log, env=self._found.env, cwd=self.directory)
