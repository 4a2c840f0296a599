"""The old and the new mail host of a rehearsal in a process of their own: `python -m mailferry.lab.hosts_process`.

The first line on standard input is the plan, each further line a request, each line on standard output
its answer, all JSON. The process ends when its input does, so it never outlives who started it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import DeferredList
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from mailferry.lab.certificates import make_certificates
from mailferry.lab.host import LabHost
from mailferry.lab.mail_generator import MailGenerator
from mailferry.lab.mailstore import Mailstore
from mailferry.lab.premises import LabAccount

OLD, NEW = "old", "new"


def build_hosts(reactor: Any, plan: Mapping[str, Any]) -> dict[str, LabHost]:
    """Return the two hosts of a plan, the old one filled with mail, the new one empty."""
    folder = Path(plan["folder"])
    certificates = make_certificates(folder / "tls")
    old, new = {}, {}
    for number, user in enumerate(plan["users"]):
        store = Mailstore(first_uidvalidity=1000 + 100 * number, first_uid=101, uidl_prefix=b"xtb")
        generator = MailGenerator(plan["seed"] + number, domain=user["address"].partition("@")[2])
        generator.fill(store, user["messages"])
        old[user["address"]] = LabAccount(user["password"].encode(), store)
        new[user["address"]] = LabAccount(
            None,
            Mailstore(first_uidvalidity=1_700_000_000 + 100 * number, delimiter=plan["delimiter"].encode()),
        )
    return {
        OLD: LabHost(reactor, "old host", accounts=old, tls=certificates, quirks=plan["quirks"]),
        NEW: LabHost(
            reactor,
            "new host",
            accounts=new,
            tls=certificates,
            passwd_file=folder / "users",
            master=(plan["master_user"], plan["master_password"].encode()),
        ),
    }


class Requests:
    """Answers what the story asks of the hosts."""

    def __init__(self, hosts: Mapping[str, LabHost]) -> None:
        self._hosts = hosts
        self._verbs: dict[str, Callable[[LabHost, Mapping[str, Any]], Any]] = {
            "ports": self._ports,
            "fingerprint": self._fingerprint,
            "uidls": self._uidls,
            "deliver": self._deliver,
            "served": self._served,
            "logins": self._logins,
            "spoil": self._spoil,
            "quirk": self._quirk,
        }

    def answer(self, request: Mapping[str, Any]) -> Any:
        """Return the answer to one request. Raises KeyError for one that does not exist."""
        return self._verbs[request["do"]](self._hosts[request["host"]], request)

    def _ports(self, host: LabHost, _: Mapping[str, Any]) -> dict[str, int]:
        return {
            "imap": host.imap_port,
            "imaps": host.imaps_port,
            "pop3": host.pop3_port,
            "pop3s": host.pop3s_port,
        }

    def _fingerprint(self, host: LabHost, request: Mapping[str, Any]) -> list[list[Any]]:
        found = host.mailstore(request["address"]).fingerprint()
        return [[*trait, count] for trait, count in found.items()]

    def _uidls(self, host: LabHost, request: Mapping[str, Any]) -> list[str]:
        return [m.uidl.decode() for m in host.mailstore(request["address"]).inbox.messages.values()]

    def _deliver(self, host: LabHost, request: Mapping[str, Any]) -> str:
        octets = base64.b64decode(request["octets"])
        return host.mailstore(request["address"]).deliver(octets).sha256

    def _served(self, host: LabHost, request: Mapping[str, Any]) -> int:
        """Count the sessions in which this mark came through."""
        mark = request["mark"]
        return sum(
            mark in record.client_id.values() or any(mark in line.split() for line in record.commands)
            for record in host.premises.records
        )

    def _logins(self, host: LabHost, request: Mapping[str, Any]) -> int:
        return len(host.premises.logins(request["address"], request.get("protocol")))

    def _spoil(self, host: LabHost, request: Mapping[str, Any]) -> str:
        """Do to one message of INBOX what must never happen to one."""
        inbox = host.mailstore(request["address"]).inbox
        message = inbox.messages[sorted(inbox.messages)[len(inbox.messages) // 2]]
        match request["how"]:
            case "lose":
                inbox.remove([message.uid])
            case "twice":
                inbox.add(message.octets, flags=message.flags, internal_date=message.internal_date)
            case "flags":
                inbox.reflag(message.uid, message.flags ^ {b"\\Flagged"})
        return message.sha256

    def _quirk(self, host: LabHost, request: Mapping[str, Any]) -> None:
        change = host.premises.quirks.add if request["on"] else host.premises.quirks.discard
        change(request["name"])


class RequestLines(LineOnlyReceiver):
    """Standard input and output of the process."""

    delimiter = b"\n"
    MAX_LENGTH = 64 * 1024 * 1024

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._hosts: dict[str, LabHost] = {}
        self._requests: Requests | None = None

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take the plan, then requests."""
        asked = json.loads(line)
        if self._requests is None:
            self._hosts = build_hosts(self._reactor, asked)
            self._requests = Requests(self._hosts)
            for host in self._hosts.values():
                host.start()
            self._say({"answer": "ready"})
            return
        try:
            self._say({"answer": self._requests.answer(asked)})
        except (KeyError, IndexError) as error:
            self._say({"error": f"{type(error).__name__}: {error}"})

    def connectionLost(self, _: Failure | None = None) -> None:  # noqa: N802 - Twisted's name
        """Who started us is gone, or wants us to go."""
        ended = DeferredList([host.stop() for host in self._hosts.values()])
        ended.addCallback(lambda _: self._reactor.stop())

    def _say(self, value: Any) -> None:
        self.sendLine(json.dumps(value).encode())  # type: ignore[no-untyped-call]


def main() -> None:
    """Serve until standard input ends."""
    from twisted.internet import reactor

    StandardIO(RequestLines(reactor), reactor=reactor)
    reactor.run()


if __name__ == "__main__":
    main()
