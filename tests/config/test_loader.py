"""Every fault at once, each with its file and key; what stands in the environment comes last."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.config import secret_sources
from mailferry.config.faults import BadConfiguration
from mailferry.config.known_names import every_key
from mailferry.config.loader import _lay_over, _overrides, _variable, load
from mailferry.config.settings import Settings
from tests.kit.canary import canary, search

TARGET = '[target]\nimap = "imaps://new.test"\n'


def reading(folder: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = folder / "mailferry.toml"
    path.write_text(text)
    return load(path, environ or {})


def faults(folder: Path, text: str, environ: dict[str, str] | None = None) -> dict[str, str]:
    with pytest.raises(BadConfiguration) as caught:
        reading(folder, text, environ)
    return {fault.key: fault.message for fault in caught.value.faults}


def test_a_file_with_a_target_is_enough(tmp_path: Path) -> None:
    settings = reading(tmp_path, TARGET)
    assert settings.copy_.batch_messages == 200
    assert settings.service.database_url.reveal() == b"sqlite:////var/lib/mailferry/mailferry.db"


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    text = """
        [service]
        state_dir = "relative"
        proxi_processes = 3
        allow_networks = ["10.0.0.0/8", "10.1.2.3/8"]
        source_addresses = ["here"]
        [[listen]]
        service = "imapx"
        endpoint = "udp:143"
        [target]
        imap = "imap://10.0.0.1?tls=none"
        quiet_seconds = 3
        [copy]
        batch_messages = "many"
        freeze_budget_seconds = 99
        [logg]
    """
    found = faults(tmp_path, text)
    assert set(found) == {
        "service.state_dir",
        "service.proxi_processes",
        "service.allow_networks[2]",
        "service.source_addresses[1]",
        "listen[1].service",
        "listen[1].endpoint",
        "target.imap",
        "target.quiet_seconds",
        "copy.batch_messages",
        "copy.freeze_budget_seconds",
        "logg",
    }
    assert found["service.proxi_processes"] == "unknown key; did you mean proxy_processes?"
    assert found["target.quiet_seconds"] == "unknown key here; it belongs to [copy]"
    assert found["logg"] == "unknown key; did you mean log?"


def test_a_fault_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as caught:
        reading(tmp_path, "")
    assert str(caught.value) == f"{tmp_path}/mailferry.toml: target: is missing"


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"[target\n", "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (None, "there is no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(
    tmp_path: Path, octets: bytes | None, words: str
) -> None:
    path = tmp_path / "mailferry.toml"
    if octets is not None:
        path.write_bytes(octets)
    with pytest.raises(BadConfiguration, match=words):
        load(path, {})


@pytest.mark.parametrize(
    ("listener", "words"),
    [
        ('service = "imap"\nendpoint = "tcp:143"', "needs the table [tls]"),
        ('service = "imap"\nendpoint = "tcp:143"\ntls = "none"', "in clear"),
        ('service = "web"\nendpoint = "tcp:80"', "in clear"),
        ('service = "web"\nendpoint = "tcp:80:interface=127.0.0.1"\ntls = "starttls"', "implicit or none"),
        ('service = "metrics"\nendpoint = "tcp:90"\ntls = "implicit"', "without TLS"),
        ('service = "socketmap"\nendpoint = "tcp:90"', "not served yet"),
        ('service = "imap"\nendpoint = "unix:/run/x"\ntls = "none"', "not unix:"),
        ('service = "auth_http"\nendpoint = "unix:/run/x"', "over tcp: only"),
        ('service = "sasl"\nendpoint = "tcp:8587"', "interface=127.0.0.1"),
        ('service = "sasl"\nendpoint = "tcp:8587:interface=127.0.0.1"\ntls = "implicit"', "without TLS"),
        ('service = "auth_http"\nendpoint = "tcp:8143"', "set key in [auth_http]"),
        (
            'service = "auth_http"\nendpoint = "tcp:8143:interface=127.0.0.1"',
            "needs an imap or pop3 listener",
        ),
    ],
)
def test_a_listener_that_cannot_be_meant_is_refused(tmp_path: Path, listener: str, words: str) -> None:
    assert words in str(faults(tmp_path, f"[[listen]]\n{listener}\n{TARGET}"))


def test_nginx_is_brought_to_a_loopback_door_or_to_a_submission_server(tmp_path: Path) -> None:
    asked = '[[listen]]\nservice = "auth_http"\nendpoint = "tcp:8143:interface=127.0.0.1"\n'
    door = '[[listen]]\nservice = "imap"\nendpoint = "tcp:9143:interface=127.0.0.1"\ntls = "none"\n'
    assert [one.for_nginx for one in reading(tmp_path, asked + door + TARGET).listen] == [False, True]
    smtp = '[auth_http]\nsubmission = "[::1]:10587"\n'
    assert reading(tmp_path, asked + smtp + TARGET).auth_http.submission == ("::1", 10587)
    for wrong in ("mail.test:587", "127.0.0.1", "127.0.0.1:0", ":587"):
        text = f'{asked}[auth_http]\nsubmission = "{wrong}"\n{TARGET}'
        assert "in digits and a port" in faults(tmp_path, text)["auth_http.submission"]


def test_two_listeners_do_not_share_a_port_but_free_ports_are_many(tmp_path: Path) -> None:
    one = '[[listen]]\nservice = "pop3"\nendpoint = "tcp:{0}:interface=127.0.0.1"\ntls = "none"\n'
    assert "two listeners" in str(faults(tmp_path, one.format(110) * 2 + TARGET))
    assert len(reading(tmp_path, one.format(0) * 2 + TARGET).listen) == 2


def test_plaintext_doors_are_for_this_machine_or_for_those_who_say_so(tmp_path: Path) -> None:
    door = '[[listen]]\nservice = "imap"\nendpoint = "tcp:143"\ntls = "none"\nplaintext_login = true\n'
    assert reading(tmp_path, door + TARGET).listen[0].plaintext_login


@pytest.mark.hazard("T6")
@pytest.mark.parametrize("host", ["10.0.0.1", "new.test", "127.0.0.1.new.test", "localhost.new.test"])
def test_a_plaintext_target_elsewhere_is_refused_unless_accepted(tmp_path: Path, host: str) -> None:
    text = f'[target]\nimap = "imap://{host}?tls=none"\n'
    assert "in clear" in faults(tmp_path, text)["target.imap"]
    assert reading(tmp_path, text + "accept_plaintext = true\n").target.imap.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_a_plaintext_target_on_this_machine_is_fine(tmp_path: Path, host: str) -> None:
    assert reading(tmp_path, f'[target]\nimap = "imap://{host}?tls=none"\n').target.imap.port == 143


def test_a_master_login_needs_its_name_and_password(tmp_path: Path) -> None:
    assert "master_user" in faults(tmp_path, TARGET + 'login = "dovecot-master"\n')["target"]


@pytest.mark.parametrize("name", ["a*b", "a%b", "a b", "a\\u0000b"])
def test_a_master_user_holds_no_separator(tmp_path: Path, name: str) -> None:
    assert "target.master_user" in faults(tmp_path, TARGET + f'master_user = "{name}"\n')


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('backend = "sql"', "needs the table [passwords.sql]"),
        ('backend = "passwd-file"', "needs the table [passwords.passwd-file]"),
        ('backend = "ldap"', "comes later"),
        ('backend = "command"', "needs the table [passwords.command]"),
        ('scheme = "MD5"', "should be"),
    ],
)
def test_password_settings_fit_together(tmp_path: Path, table: str, words: str) -> None:
    assert words in str(faults(tmp_path, f"{TARGET}[passwords]\n{table}\n"))


@pytest.mark.hazard("T25")
@pytest.mark.parametrize("key", ["update", "select"])
def test_a_statement_binds_what_it_is_given(tmp_path: Path, key: str) -> None:
    text = f'{TARGET}[passwords.sql]\nurl = "sqlite://"\n{key} = "SELECT 1"\n'
    assert ":address" in faults(tmp_path, text)[f"passwords.sql.{key}"]


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environ = {
        "MAILFERRY_COPY__BATCH_MESSAGES": "7",
        "MAILFERRY_PASSWORDS__PASSWD_FILE__PATH": "/etc/users",
        "MAILFERRY_SERVICE__ALLOW_NETWORKS": '["10.0.0.0/8"]',
        "MAILFERRY_PASSWORDS__PUSH_FROM_PLAINTEXT": "true",
        "MAILFERRY_TARGET__MASTER_PASSWORD": '{env = "PW"}',
        "PW": "open sesame",
        "MAILFERRY_CONFIG": "/somewhere/else",
        "UNRELATED__NAME": "x",
    }
    settings = reading(tmp_path, TARGET + "[copy]\nbatch_messages = 3\n", environ)
    assert settings.copy_.batch_messages == 7
    assert str(settings.passwords.passwd_file.path) == "/etc/users"
    assert str(settings.service.allow_networks[0]) == "10.0.0.0/8"
    assert settings.passwords.push_from_plaintext
    assert settings.target.master_password.reveal() == b"open sesame"


def test_a_variable_wins_where_the_file_holds_the_same_table(tmp_path: Path) -> None:
    text = (
        f'{TARGET}[passwords]\nbackend = "passwd-file"\n[passwords.passwd-file]\npath = "/a"\ncreate = true\n'
    )
    settings = reading(tmp_path, text, {"MAILFERRY_PASSWORDS__PASSWD_FILE__PATH": "/b"})
    assert settings.passwords.passwd_file.model_dump() == {"path": Path("/b"), "create": True}


def test_each_key_outside_of_lists_has_a_variable() -> None:
    keys = {path for path in every_key(Settings) if path[0] != "listen" and "also" not in path}
    overrides, wrong = _overrides({_variable(path): "x" for path in keys})
    assert not wrong
    assert set(_lay_over({}, overrides, Settings)) == keys


def test_a_fault_from_the_environment_names_the_variable(tmp_path: Path) -> None:
    environ = {
        "MAILFERRY_COPY__BATCH_MESSAGES": "0",
        "MAILFERRY_SERVICE__ALLOW_NETWORKS": '["10.0.0.0/8", "here"]',
        "MAILFERRY_COPPY__X": "1",
        "MAILFERRY_COPY__BATCH_MESAGES": "1",
        "MAILFERRY_LISTEN__SERVICE": "imap",
        "MAILFERRY_TLS__ALSO__KEY": "/k",
    }
    with pytest.raises(BadConfiguration) as caught:
        reading(tmp_path, TARGET, environ)
    lines = str(caught.value)
    assert "environment variable MAILFERRY_COPY__BATCH_MESSAGES: copy.batch_messages" in lines
    assert "environment variable MAILFERRY_SERVICE__ALLOW_NETWORKS: service.allow_networks[2]" in lines
    assert "MAILFERRY_COPPY__X: unknown key" in lines
    assert "MAILFERRY_COPY__BATCH_MESAGES: unknown key; did you mean batch_messages?" in lines
    assert "MAILFERRY_LISTEN__SERVICE: [[listen]] tables stand in the file only" in lines
    assert "MAILFERRY_TLS__ALSO__KEY: [[tls.also]] tables stand in the file only" in lines


def test_secrets_are_read_from_files_variables_and_credentials(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b"\xff octets \r\n")
    (tmp_path / "cred").mkdir()
    (tmp_path / "cred/mailferry.key").write_bytes(b"k" * 32)
    text = f'[service]\nkey = {{credential = "mailferry.key"}}\n{TARGET}master_password = {{file = "pw"}}\n'
    settings = reading(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(tmp_path / "cred")})
    assert settings.service.key.reveal() == b"k" * 32
    assert settings.target.master_password.reveal() == b"\xff octets "


def test_a_command_at_a_shell_finds_the_credentials_that_systemd_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/mailferry.master").write_text("from the store\n")
    (tmp_path / "service").mkdir()
    (tmp_path / "service/mailferry.master").write_text("from the service\n")
    monkeypatch.setattr(secret_sources, "CREDSTORE", str(tmp_path / "store"))
    text = f'{TARGET}master_password = {{credential = "mailferry.master"}}\n'
    for environ, expected in (
        ({}, b"from the store"),
        ({"CREDENTIALS_DIRECTORY": str(tmp_path / "service")}, b"from the service"),
    ):
        assert reading(tmp_path, text, environ).target.master_password.reveal() == expected
    (tmp_path / "store/mailferry.master").unlink()
    said = faults(tmp_path, text)["target.master_password"]
    assert said.endswith(f"LoadCredential=mailferry.master, or the file {tmp_path}/store/mailferry.master")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ('"hunter2"', "does not stand in the configuration itself"),
        ('{file = "nowhere"}', "No such file"),
        ('{file = "empty"}', "is empty"),
        ('{env = "NOT_SET"}', "no variable NOT_SET"),
        ('{credential = "x"}', "LoadCredential"),
        ('{credential = "../x"}', "not the name"),
        ('{file = "a", env = "b"}', "write {file"),
        ("{}", "write {file"),
        ("3", "write {file"),
    ],
)
def test_a_secret_that_cannot_be_had_is_a_fault(tmp_path: Path, reference: str, words: str) -> None:
    (tmp_path / "empty").write_bytes(b"\n")
    assert words in faults(tmp_path, f"{TARGET}master_password = {reference}\n")["target.master_password"]


@pytest.mark.hazard("T31")
def test_no_secret_stands_in_a_repr_or_in_a_fault(tmp_path: Path) -> None:
    secrets = [canary() for _ in range(4)]
    (tmp_path / "pw").write_text(secrets[0])
    (tmp_path / "url").write_text(f"postgresql://u:{secrets[1]}@h/d")
    good = reading(
        tmp_path,
        f'[service]\ndatabase = {{file = "url"}}\n{TARGET}master_password = {{file = "pw"}}\n'
        '[passwords.sql]\nurl = {file = "url"}\n',
    )
    bad = f"[service]\ndatabase = 'mysql://u:{secrets[2]}@h'\n{TARGET}master_password = '{secrets[3]}'\n"
    with pytest.raises(BadConfiguration) as caught:
        reading(tmp_path, bad)
    seen = f"{good!r} {good} {good.model_dump()} {good.model_dump_json()} {caught.value!r} {caught.value}"
    assert not list(search(seen.encode(), [*secrets, *(secret.split()[1] for secret in secrets)]))


def test_a_postgresql_address_gets_the_driver_that_is_installed(tmp_path: Path) -> None:
    settings = reading(tmp_path, f'[service]\ndatabase = "postgresql://u@h/d"\n{TARGET}')
    assert settings.service.database_url.reveal() == b"postgresql+psycopg://u@h/d"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('[copy]\naccounts_at_once = "many"', "write a whole number"),
        ("[copy]\naccounts_at_once = 1.5", "write a whole number"),
        ('[passwords]\npush_from_plaintext = "perhaps"', "write true or false"),
        ("[target]\nmaster_user = 3", "write a text in quotes"),
        ("[service]\nstate_dir = 3", "write a path in quotes, beginning with /"),
        ('[service]\ndefault_domain = "user@a.test"', "write a domain such as example.com"),
        ('[service]\ndefault_domain = ""', "write a domain such as example.com"),
        ('[service]\ndefault_domain = "a..test"', "write a domain such as example.com"),
        ('[service]\nallow_networks = "10.0.0.0/8"', 'write a list, such as ["...", "..."]'),
        ('copy = "fast"', "write a table, its keys in lines below its [name]"),
        ("[copy]\nbatch_messages = 0", "should be greater than or equal to 1"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_what_to_write(tmp_path: Path, line: str, words: str) -> None:
    target = "" if line.startswith("[target]") else TARGET
    found = faults(tmp_path, f"{line}\n{target or TARGET.partition(']')[2]}")
    assert words in found.values()
    assert not any("Section" in said or "Settings" in said for said in found.values())
