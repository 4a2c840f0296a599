"""A real Roundcube behind PHP's own web server, with SQLite, by `conf/roundcube` as it stands."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.kit.daemon import Daemon, answers
from tests.kit.peer_process import PeerProcess
from tests.kit.site_files import CONF, as_it_stands

_MODULES = (
    "ctype", "dom", "fileinfo", "iconv", "intl", "mbstring", "pdo", "pdo_sqlite", "posix", "sockets", "sqlite3",
    "tokenizer", "xml", "simplexml", "xmlwriter",
)  # fmt: skip
_STARTS_WITH = """<?php
define('INSTALL_PATH', '{site}/');
"""
_OWN = """
$config['enable_installer'] = false;
$config['log_driver'] = 'stdout';
$config['temp_dir'] = '{folder}/temp';
$config['log_dir'] = '{folder}/logs';
$config['login_rate_limit'] = 100;
"""


class Roundcube(PeerProcess):
    """A running Roundcube. `ports` has `web`."""

    name = "roundcube"
    ready_seconds = 30.0

    def __init__(self, tmp_path: Path, *, imap: int, api: int, token: str, patience: int = 2) -> None:
        """Start it: `imap` is the door it logs in at, `api` the port of the web role, `token` for its API.

        The plugin waits `patience` seconds for the API, for a test's machine may be busy.
        """
        super().__init__(tmp_path)
        for folder in ("temp", "logs", "config"):
            (self.directory / folder).mkdir()
        self._lay_out()
        config = as_it_stands(
            "roundcube/config.inc.php",
            {
                "/var/lib/roundcube/roundcube.db": str(self.directory / "roundcube.db"),
                "localhost:9243": f"127.0.0.1:{imap}",
            },
        )
        etc = self._found.root / "etc/roundcube"
        for name in ("defaults.inc.php", "mimetypes.php"):
            shutil.copyfile(etc / name, self.directory / "config" / name)
        (self.directory / "config/config.inc.php").write_text(config + _OWN.format(folder=self.directory))
        (self.directory / "token").write_text(token + "\n")
        plugin = as_it_stands(
            "roundcube/plugins/mailferry_state/config.inc.php.dist",
            {
                "http://127.0.0.1:8025/": f"http://127.0.0.1:{api}/",
                "/etc/roundcube/mailferry.token": str(self.directory / "token"),
                "['mailferry_state_timeout'] = 2": f"['mailferry_state_timeout'] = {patience}",
            },
        )
        (self._site / "plugins/mailferry_state/config.inc.php").write_text(plugin)
        (self.directory / "prepend.php").write_text(_STARTS_WITH.format(site=self._site))
        self._give_away()
        self.start()

    @property
    def _site(self) -> Path:
        return self.directory / "site"

    def _lay_out(self) -> None:
        """Lay the packaged files out as they stand below /var/lib/roundcube, with our plugin beside its own."""
        packaged = self._found.root / "usr/share/roundcube"
        self._site.mkdir()
        for entry in packaged.iterdir():
            if entry.name != "plugins":
                (self._site / entry.name).symlink_to(entry)
        (self._site / "plugins").mkdir()
        for entry in (packaged / "plugins").iterdir():
            (self._site / "plugins" / entry.name).symlink_to(entry)
        shutil.copytree(CONF / "roundcube/plugins", self._site / "plugins", dirs_exist_ok=True)

    def _services(self) -> tuple[str, ...]:
        return ("web",)

    def _ready(self, ports: Mapping[str, int]) -> bool:
        return answers(ports["web"], greeting=False)

    def _spawn(self, ports: Mapping[str, int]) -> Daemon:
        root = self._found.root
        modules = next((root / "usr/lib/php").glob("20*"))
        options = {
            **{
                f"extension={modules}/{name}.so": "" for name in _MODULES if (modules / f"{name}.so").exists()
            },
            "include_path": f"{root}/usr/share/php",
            "auto_prepend_file": str(self.directory / "prepend.php"),
            "session.save_path": str(self.directory / "temp"),
            "display_errors": "stderr",
            "date.timezone": "UTC",
        }
        words = [f"-d{key}={value}" if value else f"-d{key}" for key, value in options.items()]
        return Daemon(
            [
                str(self._found.program),
                "-n",
                *words,
                "-S",
                f"127.0.0.1:{ports['web']}",
                "-t",
                str(self._site),
            ],
            log=self.log,
            env={
                **self._found.env,
                "ROUNDCUBE_CONFIG_DIR": str(self.directory / "config"),
                "PHP_CLI_SERVER_WORKERS": "4",
            },
            cwd=self._site,
            user=self._user,
        )
