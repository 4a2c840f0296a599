"""The proxy bench: its generator counts right, its tables tell what was measured, and it runs."""

from __future__ import annotations

import imaplib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import proxy
from bench.load_generator import PASSWORD, Generator, Load, NullBackend, Place, Users
from bench.measuring import RunFailed
from bench.proxy_figures import AFTER, BEFORE, BULK, DIRECT, LOGIN, NOOP, Beside, Figures, Ran, Strangers
from bench.proxy_tables import section
from tests.bench.test_benches import run
from tests.kit import debian
from tests.kit.peer_plugin import lacking

OCTETS = 2**20
USERS = Users("user", 3)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    try:
        return Generator(tmp_path_factory.mktemp("load"))
    except debian.PeerMissing as error:
        lacking(str(error))


@pytest.fixture
def backend(generator: Generator) -> Iterator[NullBackend]:
    server = generator.backend(OCTETS)
    yield server
    server.stop()


def test_the_generator_logs_in_fetches_and_waits_at_the_null_server(
    generator: Generator, backend: NullBackend
) -> None:
    place = Place(backend.port, tls=False)
    logins = generator.login(place, USERS, 0.3, threads=3)
    assert logins.done > 0
    assert 0 < logins.p50 <= logins.p99 <= logins.worst
    paced = generator.login(place, USERS, 0.5, threads=3, rate=40)
    assert 0 < paced.done <= 20
    bulk = generator.bulk(place, USERS, 0.1)
    assert bulk.octets == bulk.done * OCTETS > 0
    assert generator.noop(place, USERS, 0.1).done > 0
    with generator.idle(place, USERS, [5, 12]) as sessions:
        assert [sessions.more(), sessions.more()] == [5, 12]


def test_a_load_whose_logins_fail_is_no_figure(
    generator: Generator, backend: NullBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.load_generator.PASSWORD", "another")
    place = Place(backend.port, tls=False)
    with pytest.raises(RunFailed, match="AUTHENTICATIONFAILED"):
        generator.login(place, USERS, 0.1)
    with generator.idle(place, USERS, [2]) as sessions, pytest.raises(RunFailed):
        sessions.more()


def test_the_null_server_takes_the_right_password_in_every_form(backend: NullBackend) -> None:
    def sent(*pieces: bytes) -> bytes:
        with imaplib.IMAP4("127.0.0.1", backend.port) as session:
            for piece in pieces:
                session.send(piece)
                answer = session.readline()
            return answer

    word = PASSWORD.encode()
    plain = b"AHUAYmVuY2gtUGE1NQ=="
    assert sent(b'a LOGIN "u" "%s"\r\n' % word).startswith(b"a OK")
    assert sent(b"a LOGIN {1}\r\n", b"u {%d}\r\n" % len(word), word + b"\r\n").startswith(b"a OK")
    assert sent(b"a LOGIN {1+}\r\nu {%d+}\r\n%s\r\n" % (len(word), word)).startswith(b"a OK")
    assert sent(b"a AUTHENTICATE PLAIN %s\r\n" % plain).startswith(b"a OK")
    assert sent(b"a AUTHENTICATE PLAIN\r\n", plain + b"\r\n").startswith(b"a OK")
    assert sent(b"a LOGIN u wrong\r\n").startswith(b"a NO")
    assert sent(b"a AUTHENTICATE PLAIN AHUAd3Jvbmc=\r\n").startswith(b"a NO")


def test_strangers_tell_who_kept_them(generator: Generator, backend: NullBackend) -> None:
    place = Place(backend.port, tls=False)
    told = generator.strangers(place, place, 9, over=0.1, seconds=0.3)
    assert (told["came"], told["left"], told["refused"]) == (9, 9, 0)
    nowhere = Place(1, tls=False)
    assert generator.strangers(nowhere, nowhere, 3, over=0.1, seconds=0.1)["refused"] == 3


def load(*, done: int = 1000, cpu: float = 1.0, octets: int = 0, p50: float = 0.001) -> Load:
    return Load(5.0, cpu, done, 0, octets, p50, p50 * 3, p50 * 4, "")


def measured() -> Figures:
    figures = Figures()
    costs = {DIRECT: 0.1, "haproxy": 0.1, "nginx": 0.2, AFTER: 0.4, BEFORE: 0.5}
    for lane, cost in costs.items():
        for extra in (0.0, 0.1, 0.05):
            figures.runs.setdefault((lane, LOGIN, False), []).append(Ran(load(), cost * (1 + extra)))
            stream = Ran(load(octets=int(5e9 * (1 + cost))), 2.0)
            figures.runs.setdefault((lane, BULK, False), []).append(stream)
            figures.runs.setdefault((lane, NOOP, False), []).append(Ran(load(p50=cost / 1e4), 0.1))
        for count in (10, 40):
            figures.grown[lane, False, count] = [cost * 10]
    return figures


def test_a_section_shows_every_lane_beside_nginx_and_haproxy() -> None:
    figures = measured()
    kinds = {"silent": 60.1, "dripping": 60.2, "half": 59.0}
    figures.strangers.append(Strangers(5000, 0, kinds, load(p50=0.02), 9.0))
    figures.beside.append(Beside(load(), load(), load(p50=0.003), load(p50=0.0015)))
    versions = {"mailferry": "1", "nginx": "2", "haproxy": "3"}
    text = section(figures, versions, told="Told.", sessions=(10, 40))
    assert "| mailferry 1, after the flip | 200 | 0.420 (0.400 to 0.440) | 2.0x |" in text
    assert "| mailferry 1, before it | 1,500 | 2.00 | 1.2x |" not in text
    assert "| mailferry 1, after the flip | 1,400 | 0.29 | 1.2x |" in text
    assert "| nginx 2 | 20 | 60 | 10 |" in text
    assert "all were gone; longest lives: silent 60.1 s, dripping 60.2 s, half 59.0 s" in text
    assert "| login CPU after the flip, times nginx's | 1.5 | 1.1 | 2 | **missed** |" in text
    assert "| login CPU before the flip, times nginx's | 3 | 2 | 2.5 | floor |" in text
    assert "| login p50 beside two copies, times without | 2 | 1.3 | 3 | **missed** |" in text
    assert "| NOOP p99 beside two copies, times without | 2 | 1.3 | 1.5 | floor |" in text
    assert "| what a tap adds to an idle session, KiB | 16 | 16 | 1 | ambition |" in text


def test_no_ratio_is_made_of_a_generator_at_its_limit() -> None:
    figures = measured()
    figures.runs["nginx", LOGIN, False] = [Ran(load(cpu=4.6), 0.2)] * 3
    text = section(figures, {}, told="Told.", sessions=(10, 40))
    assert "times nginx's |" in text
    assert "login CPU after the flip" not in text
    assert "- logins, nginx: 0.92 of a core" in text


def test_a_kept_stranger_misses_the_goal() -> None:
    figures = Figures()
    kinds = {"silent": 60.1, "dripping": 60.2, "half": 59.0}
    figures.strangers.append(Strangers(5000, 1, kinds, load(), 9.0))
    text = section(figures, {}, told="Told.", sessions=())
    assert "**1 were kept**" in text
    assert "| longest life of a connection without login, s | 61 | 61 | inf | **missed** |" in text


def test_a_peer_that_failed_is_left_out_and_named() -> None:
    figures = measured()
    figures.leave_out("haproxy", "it stumbled")
    text = section(figures, {}, told="Told.", sessions=(10, 40))
    assert "| haproxy" not in text
    assert "- haproxy failed and is left out: it stumbled" in text
    assert "bulk without a tap" not in text


def test_a_trial_that_fails_is_named_and_the_rounds_before_it_are_shown() -> None:
    figures = measured()
    with proxy._leaving_out(figures, "two copies beside sessions"):
        raise RunFailed("a copy was over too soon")
    text = section(figures, {}, told="Told.", sessions=(10, 40))
    assert "- two copies beside sessions failed and is left out: a copy was over too soon" in text
    assert "| haproxy" in text


def test_a_proxy_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_found(name: str) -> debian.Found:
        raise debian.PeerMissing(f"{name} is missing")

    monkeypatch.setattr(debian, "find", nothing_found)
    peers, versions, missing = proxy.present(["nginx", "perdition"])
    assert (peers, list(versions)) == ([], ["mailferry"])
    assert set(missing) == {"nginx", "perdition"}


def test_without_a_compiler_the_bench_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(debian.PeerMissing, match="apt-get install gcc libc6-dev libssl-dev"):
        Generator(tmp_path)


@pytest.mark.slow
@pytest.mark.peer("haproxy", "nginx", "perdition", "dovecot")
@pytest.mark.timeout(900)
def test_the_proxy_bench_measures_mailferry_and_its_peers(generator: Generator) -> None:
    ran = run("bench.proxy", "--quick", "--rounds", "1", seconds=850)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "failed" not in ran.stdout
    for lane in (AFTER, BEFORE, "haproxy", "nginx", "dovecot-proxy", "perdition"):
        for what in ("login", "login, TLS", "bulk", "bulk, TLS", "noop", "noop, TLS"):
            assert f"  {lane}: {what}: " in ran.stdout
        assert os.getuid() or f"  {lane}: 40 idle sessions, TLS: " in ran.stdout
    assert "90 connections that never log in: all were gone" in ran.stdout
    assert "| two copies |" in ran.stdout
