"""A webhook: signed, to where it is permitted only, and never anywhere else."""

from __future__ import annotations

import hmac
import socket
import threading
from pathlib import Path

import pytest

from mailferry.model.access import Secret
from mailferry.remote import webhook
from mailferry.remote.watched_socket import IpAddress, NotSent
from mailferry.remote.webhook import Webhook, post
from tests.kit.receivers import WebReceiver, web_receiver
from tests.kit.tls_files import TlsFiles

SECRET = Secret(b"sixteen octets or more")
BODY = b'{"kind": "must_act"}'


def anywhere(_: IpAddress) -> bool:
    return True


def hook(receiver: WebReceiver, **changes: object) -> Webhook:
    values = {"host": "127.0.0.1", "port": receiver.port, "path": "/in?x=1", "tls": False, "secret": SECRET}
    return Webhook(**{**values, **changes})  # type: ignore[arg-type]


def test_a_message_goes_out_signed_and_with_its_key() -> None:
    with web_receiver() as receiver:
        post(hook(receiver), BODY, key="k1", at=1_900_000_000, permitted=anywhere)
    (posted,) = receiver.posted
    assert (posted.path, posted.body) == ("/in?x=1", BODY)
    assert posted.headers["Idempotency-Key"] == "k1"
    assert posted.headers["Content-Type"] == "application/json"
    assert posted.headers["Host"] == f"127.0.0.1:{receiver.port}"
    expected = hmac.new(SECRET.reveal(), b"1900000000." + BODY, "sha256").hexdigest()
    assert posted.headers["Mailferry-Signature"] == f"t=1900000000,v1={expected}"
    assert SECRET.reveal().decode() not in repr(hook(receiver))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.hazard("T37")
def test_a_redirect_is_not_followed(status: int) -> None:
    with web_receiver() as elsewhere:
        leads = {"Location": f"http://127.0.0.1:{elsewhere.port}/"}
        with (
            web_receiver(statuses=[status], extra=leads) as receiver,
            pytest.raises(NotSent, match="redirect"),
        ):
            post(hook(receiver), BODY, key="k", at=1, permitted=anywhere)
    assert len(receiver.posted) == 1
    assert elsewhere.posted == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.hazard("T37")
def test_a_host_in_a_network_that_is_not_listed_is_not_dialled(host: str) -> None:
    with web_receiver() as receiver, pytest.raises(NotSent, match="allow_networks"):
        post(hook(receiver, host=host), BODY, key="k", at=1, permitted=lambda address: address.is_global)
    assert receiver.posted == []


@pytest.mark.parametrize(
    ("status", "extra", "after"),
    [
        (400, {}, None),
        (429, {"Retry-After": "90"}, 90.0),
        (503, {"Retry-After": "soon"}, None),
        (500, {}, None),
    ],
)
def test_anything_but_a_yes_is_not_taken(status: int, extra: dict[str, str], after: float | None) -> None:
    with web_receiver(statuses=[status], extra=extra) as receiver, pytest.raises(NotSent) as told:
        post(hook(receiver), BODY, key="k", at=1, permitted=anywhere)
    assert str(status) in str(told.value)
    assert told.value.retry_after == after


def test_a_certificate_of_somebody_else_ends_it_before_a_word_is_said(tmp_path: Path) -> None:
    ours = TlsFiles(tmp_path / "ours")
    terms = {"tls": True, "host": "localhost", "ca": str(ours.ca)}
    with web_receiver(TlsFiles(tmp_path / "theirs").issue("localhost")) as receiver:
        with pytest.raises(NotSent, match="certificate"):
            post(hook(receiver, **terms), BODY, key="k", at=1, permitted=anywhere)
        assert receiver.posted == []
    with web_receiver(ours.issue("localhost")) as receiver:
        post(hook(receiver, **terms), BODY, key="k", at=1, permitted=anywhere)
        assert len(receiver.posted) == 1


def test_a_server_that_lets_its_answer_drip_is_left_in_time() -> None:
    dripping, over = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                dripping.set()
                try:
                    while not over.wait(0.01):
                        connection.sendall(b"H")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        there = Webhook("127.0.0.1", listener.getsockname()[1], "/", tls=False, secret=SECRET)
        with pytest.raises(NotSent):
            post(there, BODY, key="k", at=1, permitted=anywhere, seconds=0.3)
        over.set()
        thread.join()
    assert dripping.is_set()
    assert webhook.POST_SECONDS < 60
