from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailferry.config.domains import domain_entry, load_domains, unknown_provider
from mailferry.config.faults import BadConfiguration

GOOD: dict[str, Any] = {"name": "example.com", "source": "imaps://old.test"}


def faults(**values: Any) -> dict[str, str]:
    with pytest.raises(BadConfiguration) as caught:
        domain_entry({**GOOD, **values}, "words")
    assert {fault.file for fault in caught.value.faults} == {"words"}
    return {fault.key: fault.message for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("Example.COM.", "example.com"),
        (" example.com ", "example.com"),
        ("ｅxample.com", "example.com"),
        ("公司.cn", "公司.cn"),
        ("xn--55qx5d.cn", "xn--55qx5d.cn"),
    ],
)
def test_a_domains_name_has_one_spelling(name: str, canonical: str) -> None:
    assert domain_entry({**GOOD, "name": name}).name == canonical


@pytest.mark.parametrize(
    "name", ["", "com", "a..b", "-a.com", "a b.com", "a@b.com", "a/b.com", "a.com\x00", "../x.y"]
)
def test_what_is_no_domain_is_refused(name: str) -> None:
    assert "name" in faults(name=name)


@pytest.mark.parametrize("form", ["full", "local", "CORP\\{local}", "{local}@old.test", "{address}"])
def test_a_login_form_is_a_word_or_a_template(form: str) -> None:
    assert domain_entry({**GOOD, "login_form": form}).login_form == form


@pytest.mark.parametrize(
    "form", ["", "user", "{name}", "{domain}", "{local", "{local}\r\n", "{local.__class__}"]
)
def test_a_template_names_the_user_and_nothing_else(form: str) -> None:
    assert "login_form" in faults(login_form=form)


def test_a_source_with_pop3_only_is_named_by_its_pop3_address() -> None:
    entry = domain_entry({**GOOD, "source": "pop3s://old.test"})
    assert entry.source_imap is None
    assert str(entry.source_pop3_server) == "pop3s://old.test:995"
    assert "source_pop3 goes with" in str(faults(source="pop3s://old.test", source_pop3="pop3s://old.test"))


@pytest.mark.hazard("T6")
@pytest.mark.parametrize("key", ["source", "target"])
def test_a_host_without_tls_must_be_accepted_by_name(key: str) -> None:
    address = "imap://10.0.0.9?tls=none"
    assert "in clear" in faults(**{key: address})[key]
    assert domain_entry({**GOOD, key: address, "accept_plaintext": True}).accept_plaintext


def test_pushing_from_plaintext_without_accepting_it_makes_no_sense() -> None:
    assert "needs accept_plaintext" in str(faults(push_from_plaintext=True))


def test_a_file_of_domains_tells_all_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "domains.toml"
    path.write_text(
        '[[domain]]\nname = "a.test"\nsource = "imap//x"\n'
        '[[domain]]\nname = "b.test"\nsource = "imaps://x"\nprovidr = "x"\nwindow_days = 0\n'
    )
    with pytest.raises(BadConfiguration) as caught:
        load_domains(path)
    found = {fault.key: fault.message for fault in caught.value.faults}
    assert set(found) == {"domain[1].source", "domain[2].providr", "domain[2].window_days"}
    assert "did you mean provider?" in found["domain[2].providr"]


def test_a_domain_stands_in_the_file_once(tmp_path: Path) -> None:
    path = tmp_path / "domains.toml"
    path.write_text('[[domain]]\nname = "a.test"\nsource = "imaps://x"\n' * 2)
    with pytest.raises(BadConfiguration, match="more than once"):
        load_domains(path)


def test_an_unknown_provider_is_told_with_those_that_are_known() -> None:
    entry = domain_entry({**GOOD, "provider": "nobody"})
    fault = unknown_provider(entry, {"generic": 1, "dovecot": 1}, "words")
    assert fault is not None
    assert "dovecot, generic" in str(fault)
    assert unknown_provider(domain_entry(GOOD), {"generic": 1}, "words") is None
