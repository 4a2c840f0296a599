"""What stands and runs while the story is told: two hosts, one mailferry, two users."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mailferry.lab.dovecot_hosts import RunningDovecots
from mailferry.lab.rehearsal_hosts import RehearsalHosts, RehearsalUser
from mailferry.lab.rehearsal_terms import Terms
from mailferry.lab.rehearsed_service import RehearsedService, TargetAccess
from mailferry.lab.running_lab import LabPlan, RunningLab
from mailferry.providers.loader import load_profiles

DOMAIN = "example.test"
PASSWORDS = ('Old "pass" 2019', "li\\old:secret")


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs for the length of the story."""

    hosts: RehearsalHosts
    service: RehearsedService
    wang: RehearsalUser
    """Reads by POP3."""
    li: RehearsalUser
    """Reads by IMAP."""

    @property
    def authority(self) -> Path:
        """The certificate that all certificates of the rehearsal come from."""
        return self.hosts.tls / "authority.pem"


def set_stage(terms: Terms, stack: ExitStack) -> Stage:
    """Start the hosts, add the domain, start the service; `stack` ends them. Raises HostsBroke, ServiceBroke."""
    users = (
        RehearsalUser(f"wang@{DOMAIN}", PASSWORDS[0], terms.messages),
        RehearsalUser(f"li@{DOMAIN}", PASSWORDS[1], max(10, terms.messages // 4)),
    )
    hosts: RehearsalHosts
    if terms.dovecot:
        hosts = RunningDovecots(terms.folder, users)
    else:
        hosts = RunningLab(LabPlan(str(terms.folder), users, quirks=terms.old_hosts_quirks()))
    stack.callback(hosts.stop)
    new = hosts.new.ports
    service = RehearsedService(
        terms.folder,
        TargetAccess(
            imap=f"imap://127.0.0.1:{new['imap']}?tls=none",
            pop3=f"pop3://127.0.0.1:{new['pop3']}?tls=none",
            master_user=hosts.master[0],
            master_password=hosts.master[1],
        ),
        hosts.tls / "certificate.pem",
        hosts.tls / "key.pem",
        hosts.passwd_file,
    )
    old = hosts.old.ports
    service.run(
        "domain", "add", DOMAIN,
        "--source", f"imaps://localhost:{old['imaps']}?ca={hosts.tls}/authority.pem",
        "--source-pop3", f"pop3s://localhost:{old['pop3s']}?ca={hosts.tls}/authority.pem",
        "--provider", terms.provider if terms.provider in load_profiles(None) else "generic",
        "--notices", "none",  # the story compares both sides message by message
    )  # fmt: skip
    stack.callback(service.stop)
    service.start()
    return Stage(hosts, service, *users)


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the story as Ctrl-C does, so that no process of it stays behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
