"""The other proxies, each as its manual has it for this job, in front of the same server as mailferry.

All have two processes or threads, one port in clear and one with TLS from the first octet, and no
TLS behind them. What each writes to its log by default is left as it is.
"""

from __future__ import annotations

import os
import shutil
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from bench.load_generator import Place
from mailferry.lab.certificates import CertificateFiles
from mailferry.lab.free_ports import free_port
from tests.kit import debian, peers
from tests.kit.daemon import Daemon, answers, plain_user

PROCESSES = 2
MOST_CONNECTIONS = 6_000


class RunningProxy(Protocol):
    """A proxy that serves."""

    plain: Place
    secure: Place

    @property
    def pids(self) -> Sequence[int]:
        """Its first processes; what these started belongs to it."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


class ProxyKind(Protocol):
    """A kind of proxy."""

    name: str

    def version(self) -> str:
        """Return the version; raises PeerMissing when the program is not on this machine."""
        ...

    def start(self, folder: Path, backend: int, certificates: CertificateFiles) -> RunningProxy:
        """Start it in an empty folder of its own before the server at the loopback port `backend`."""
        ...


class _Daemons:
    """Daemons from one configuration, as the user that servers run as."""

    program: ClassVar[str]

    def __init__(self, folder: Path, backend: int, certificates: CertificateFiles) -> None:
        self.folder = folder
        self.backend = backend
        self.plain, self.secure = Place(free_port(), tls=False), Place(free_port(), tls=True)
        found = debian.find(self.program)
        self._owner = plain_user()
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        shutil.copyfile(certificates.certificate, self.certificate)
        self.key.write_bytes(certificates.key.read_bytes())
        self.both = folder / "both.pem"
        self.both.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
        commands = self.commands(found)
        if os.getuid() == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        self._daemons = [self._begin(words, found.env) for words in commands]
        self._daemons[-1].wait_ready(self._ready)

    @property
    def pids(self) -> Sequence[int]:
        return [daemon.pid for daemon in self._daemons]

    def stop(self) -> None:
        for daemon in self._daemons:
            daemon.stop()

    @abstractmethod
    def commands(self, found: debian.Found) -> Sequence[Sequence[str]]:
        """Write the configuration and return what is to be started."""

    def _begin(self, words: Sequence[str], env: Mapping[str, str]) -> Daemon:
        return Daemon(words, log=self.folder / "log", env=env, cwd=self.folder, user=self._owner)

    def _ready(self) -> bool:
        return answers(self.plain.port) and answers(self.secure.port, greeting=False)


class _Haproxy(_Daemons):
    program = "haproxy"

    def commands(self, found: debian.Found) -> Sequence[Sequence[str]]:
        config = self.folder / "haproxy.cfg"
        config.write_text(f"""
global
  nbthread {PROCESSES}
  maxconn {MOST_CONNECTIONS}
defaults
  mode tcp
  option splice-auto
  timeout connect 10s
  timeout client 30m
  timeout server 30m
listen plain
  bind 127.0.0.1:{self.plain.port}
  server backend 127.0.0.1:{self.backend}
listen secure
  bind 127.0.0.1:{self.secure.port} ssl crt {self.both}
  server backend 127.0.0.1:{self.backend}
""")
        return [[str(found.program), "-db", "-f", str(config)]]


class _Nginx(_Daemons):
    program = "nginx"

    def commands(self, found: debian.Found) -> Sequence[Sequence[str]]:
        config, judge, place = self.folder / "nginx.conf", free_port(), self.folder
        temporary = "\n".join(
            f"  {kind}_temp_path {place}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config.write_text(f"""
load_module {found.beside("usr/lib/nginx/modules/ngx_mail_module.so")};
daemon off;
worker_processes {PROCESSES};
worker_rlimit_nofile {MOST_CONNECTIONS * 2};
pid {place}/pid;
error_log {place}/log;
events {{ worker_connections {MOST_CONNECTIONS}; }}
http {{
  access_log off;
{temporary}
  server {{
    listen 127.0.0.1:{judge};
    location / {{
      add_header Auth-Status OK;
      add_header Auth-Server 127.0.0.1;
      add_header Auth-Port {self.backend};
      return 204;
    }}
  }}
}}
mail {{
  auth_http 127.0.0.1:{judge}/;
  proxy_buffer 64k;
  imap_capabilities IMAP4rev1 UIDPLUS;
  server {{ listen 127.0.0.1:{self.plain.port}; protocol imap; }}
  server {{
    listen 127.0.0.1:{self.secure.port} ssl;
    protocol imap;
    ssl_certificate {self.certificate};
    ssl_certificate_key {self.key};
    ssl_protocols TLSv1.2 TLSv1.3;
  }}
}}
""")
        return [[str(found.program), "-e", f"{place}/log", "-p", str(place), "-c", str(config)]]


class _Perdition(_Daemons):
    program = "perdition"

    def commands(self, found: debian.Found) -> Sequence[Sequence[str]]:
        owner = plain_user().pw_name
        common = [
            str(found.program), "-f", "/dev/null", "--no_daemon", "-b", "127.0.0.1", "-P", "IMAP4",
            "-s", "127.0.0.1", "-p", str(self.backend), "-M", "", "--pid_file", "", "-u", owner,
        ]  # fmt: skip
        tls = ["--ssl_cert_file", str(self.certificate), "--ssl_key_file", str(self.key)]
        return [
            [*common, "-l", str(self.plain.port), "--ssl_mode", "none"],
            [*common, "-l", str(self.secure.port), "--ssl_mode", "ssl_listen", *tls],
        ]


class _Dovecot:
    """Dovecot's login processes, which hand every user on to the backend."""

    def __init__(self, folder: Path, backend: int, certificates: CertificateFiles) -> None:
        self._server = peers.dovecot(
            folder,
            protocols=("imap",),
            certificate=certificates.certificate,
            key=certificates.key,
            settings=f"""
passdb {{
  driver = static
  args = proxy=y host=127.0.0.1 port={backend} nopassword=y
}}
service imap-login {{
  service_count = 0
  process_min_avail = {PROCESSES}
  process_limit = {PROCESSES}
  client_limit = {MOST_CONNECTIONS}
}}
service anvil {{
  client_limit = {MOST_CONNECTIONS * 3}
}}
service auth {{
  client_limit = {MOST_CONNECTIONS * 3}
}}
""",
        )
        ports = self._server.ports
        self.plain, self.secure = Place(ports["imap"], tls=False), Place(ports["imaps"], tls=True)

    @property
    def pids(self) -> Sequence[int]:
        return [self._server.pid]

    def stop(self) -> None:
        self._server.stop()


class PeerKind:
    """A proxy from a Debian package."""

    def __init__(self, name: str, program: str, running: type[_Daemons | _Dovecot]) -> None:
        self.name = name
        self._program = program
        self._running = running

    def version(self) -> str:
        """Return the version; raises PeerMissing."""
        return debian.find(self._program).version

    def start(self, folder: Path, backend: int, certificates: CertificateFiles) -> RunningProxy:
        """Start it."""
        return self._running(folder, backend, certificates)


HAPROXY = PeerKind("haproxy", "haproxy", _Haproxy)
NGINX = PeerKind("nginx", "nginx", _Nginx)
DOVECOT = PeerKind("dovecot-proxy", "dovecot", _Dovecot)
PERDITION = PeerKind("perdition", "perdition", _Perdition)
PEERS: tuple[PeerKind, ...] = (HAPROXY, NGINX, DOVECOT, PERDITION)
