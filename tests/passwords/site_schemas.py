"""The tables in which other mail systems keep passwords, with their own ways of reading them.

PostfixAdmin's are made by its own program, as Debian packages it. The others are reduced to the columns
that our statements, those systems' password queries and their constraints touch; names, types and
defaults are theirs. Our statements are those of docs/password-backends.md.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, text

from tests.kit import debian

PAGE = Path(__file__).parents[2] / "docs/password-backends.md"
DOMAIN = "a.test"
USER = f"zhang@{DOMAIN}"
OTHER = f"li@{DOMAIN}"
ASLEEP = f"asleep@{DOMAIN}"
"""An account that its administrator switched off."""
OLD = "Old pass 1"
OLD_HASH = "{PLAIN}" + OLD


@dataclass(frozen=True)
class Site:
    """One system: its tables with three accounts, and how its Dovecot finds a password."""

    name: str
    """The heading of its statements on the page."""
    source: str
    make: Callable[[Engine, Path], None]
    password_query: str

    @property
    def settings(self) -> dict[str, object]:
        """The table `[passwords]` of the page's example."""
        section = PAGE.read_text().split(f"### {self.name}\n")[1]
        found = re.search(r"```toml\n(.*?)```", section, re.DOTALL)
        assert found is not None
        settings: dict[str, object] = tomllib.loads(found[1])["passwords"]
        return settings


def _run(engine: Engine, *statements: str) -> None:
    with engine.begin() as conn:
        for statement in statements:
            conn.execute(text(statement), {"old": OLD_HASH, "user": USER, "other": OTHER, "asleep": ASLEEP})


def _postfixadmin(engine: Engine, folder: Path) -> None:
    """Run PostfixAdmin's own upgrade.php on the empty database, and its own command line for the accounts."""
    php = debian.find("php")
    program = folder / "postfixadmin"
    skipped = shutil.ignore_patterns("config.inc.php", "config.local.php", "templates_c")
    shutil.copytree(php.root / "usr/share/postfixadmin", program, ignore=skipped)
    (program / "templates_c").mkdir()
    packaged = (php.root / "etc/postfixadmin/config.inc.php").read_text()
    (program / "config.inc.php").write_text(packaged.replace("require_once('dbconfig.inc.php');", ""))
    (program / "config.local.php").write_text(
        "<?php $CONF['configured'] = true; $CONF['database_type'] = 'sqlite';"
        f"$CONF['database_name'] = '{engine.url.database}'; $CONF['encrypt'] = 'php_crypt:BLOWFISH';"
        "$CONF['emailcheck_resolve_domain'] = 'NO';"
    )
    modules = next((php.root / "usr/lib/php").glob("20*"))
    options = [
        f"-dextension={modules}/{name}.so" for name in ("pdo", "pdo_sqlite", "sqlite3", "mbstring", "ctype")
    ]

    def run(folder: str, script: str, *words: str) -> None:
        command = [
            php.program,
            "-n",
            *options,
            f"-dsession.save_path={program}",
            "-derror_reporting=0",
            script,
        ]
        ran = subprocess.run(
            [*command, *words],
            cwd=program / folder,
            env=dict(php.env),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    run("public", "upgrade.php")
    run("scripts", "postfixadmin-cli.php", "domain", "add", DOMAIN)
    for user in (USER, OTHER, ASLEEP):
        words = (
            "--password",
            "Begin-99 x",
            "--password2",
            "Begin-99 x",
            "--name",
            "N",
            "--welcome-mail",
            "0",
        )
        run("scripts", "postfixadmin-cli.php", "mailbox", "add", user, *words)
    _run(
        engine,
        "UPDATE mailbox SET password = :old WHERE username = :user",
        "UPDATE mailbox SET active = 0 WHERE username = :asleep",
    )


def _iredmail(engine: Engine, _folder: Path) -> None:
    _run(
        engine,
        "CREATE TABLE domain (domain VARCHAR(255) NOT NULL DEFAULT '', backupmx INT2 NOT NULL DEFAULT 0, "
        "active INT2 NOT NULL DEFAULT 1, PRIMARY KEY (domain))",
        "CREATE TABLE mailbox (username VARCHAR(255) NOT NULL, password VARCHAR(255) NOT NULL DEFAULT '', "
        "domain VARCHAR(255) NOT NULL DEFAULT '', enablepop3 INT2 NOT NULL DEFAULT 1, "
        "enablepop3secured INT2 NOT NULL DEFAULT 1, enableimap INT2 NOT NULL DEFAULT 1, "
        "enableimapsecured INT2 NOT NULL DEFAULT 1, allow_nets TEXT DEFAULT NULL, "
        "passwordlastchange TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, "
        "active INT2 NOT NULL DEFAULT 1, PRIMARY KEY (username))",
        f"INSERT INTO domain (domain) VALUES ('{DOMAIN}')",
        f"INSERT INTO mailbox (username, password, domain) VALUES (:user, :old, '{DOMAIN}'), (:other, :old, '{DOMAIN}')",
        f"INSERT INTO mailbox (username, password, domain, active) VALUES (:asleep, :old, '{DOMAIN}', 0)",
    )


def _mailcow(engine: Engine, _folder: Path) -> None:
    _run(
        engine,
        "CREATE TABLE domain (domain VARCHAR(255) NOT NULL PRIMARY KEY, active TINYINT(1) NOT NULL DEFAULT '1')",
        "CREATE TABLE mailbox (username VARCHAR(255) NOT NULL PRIMARY KEY, password VARCHAR(255) NOT NULL, "
        "name VARCHAR(255), quota BIGINT(20) NOT NULL DEFAULT '102400', local_part VARCHAR(255) NOT NULL, "
        "domain VARCHAR(255) NOT NULL, attributes JSON, authsource VARCHAR(16) DEFAULT 'mailcow' "
        "CHECK (authsource IN ('mailcow', 'keycloak', 'generic-oidc', 'ldap')), "
        "active TINYINT(1) NOT NULL DEFAULT '1')",
        f"INSERT INTO domain VALUES ('{DOMAIN}', 1)",
        "INSERT INTO mailbox (username, password, local_part, domain, attributes, active) "
        f"""VALUES (:user, :old, 'zhang', '{DOMAIN}', '{{"force_pw_update"\\: "0"}}', 1)""",
        "INSERT INTO mailbox (username, password, local_part, domain, attributes, active) "
        f"VALUES (:other, :old, 'li', '{DOMAIN}', '{{}}', 1), (:asleep, :old, 'asleep', '{DOMAIN}', '{{}}', 0)",
        "INSERT INTO mailbox (username, password, local_part, domain, attributes, authsource) "
        f"VALUES ('sso@{DOMAIN}', '', 'sso', '{DOMAIN}', '{{}}', 'keycloak')",
    )


def _modoboa(engine: Engine, _folder: Path) -> None:
    _run(
        engine,
        "CREATE TABLE admin_domain (id INTEGER PRIMARY KEY, name VARCHAR(100) UNIQUE, enabled BOOLEAN NOT NULL)",
        "CREATE TABLE core_user (id INTEGER PRIMARY KEY, username VARCHAR(254) NOT NULL UNIQUE, "
        "email VARCHAR(254) NOT NULL, password VARCHAR(256) NOT NULL, is_active BOOLEAN NOT NULL)",
        "CREATE TABLE admin_mailbox (id INTEGER PRIMARY KEY, address VARCHAR(252) NOT NULL, "
        "domain_id INTEGER NOT NULL REFERENCES admin_domain (id), is_send_only BOOLEAN NOT NULL, "
        "user_id INTEGER NOT NULL UNIQUE REFERENCES core_user (id))",
        f"INSERT INTO admin_domain VALUES (1, '{DOMAIN}', TRUE)",
        "INSERT INTO core_user VALUES (1, :user, :user, :old, TRUE), (2, :other, :other, :old, TRUE), "
        "(3, :asleep, :asleep, :old, FALSE)",
        "INSERT INTO admin_mailbox VALUES (1, 'zhang', 1, FALSE, 1), (2, 'li', 1, FALSE, 2), (3, 'asleep', 1, FALSE, 3)",
    )


SITES = (
    Site(
        "PostfixAdmin",
        "PostfixAdmin 3.3.13, Debian package postfixadmin 3.3.13-1: public/upgrade.php and scripts/postfixadmin-cli.php",
        _postfixadmin,
        "SELECT username AS user, password FROM mailbox WHERE username = '%u' AND active = '1'",
    ),
    Site(
        "iRedMail",
        "iRedMail, samples/iredmail/iredmail.pgsql at 035038fa and samples/dovecot/dovecot-sql.conf at 2de2d0eb (2024)",
        _iredmail,
        "SELECT mailbox.password, mailbox.allow_nets FROM mailbox, domain WHERE mailbox.username='%u' "
        "AND mailbox.enable%Ls%Lc=1 AND mailbox.active=1 AND mailbox.domain=domain.domain "
        "AND domain.backupmx=0 AND domain.active=1",
    ),
    Site(
        "mailcow",
        "mailcow: dockerized 2025, data/web/inc/init_db.inc.php at 51a46bef; the query of its Dovecot's passwd-verify.lua, "
        "with SQLite's json_extract in place of JSON_VALUE",
        _mailcow,
        "SELECT password FROM mailbox WHERE username = '%u' AND active = '1' "
        "AND domain IN (SELECT domain FROM domain WHERE domain='%d' AND active='1') "
        "AND IFNULL(json_extract(mailbox.attributes, '$.force_pw_update'), 0) != '1' "
        "AND IFNULL(json_extract(attributes, '$.%s_access'), 1) = 1",
    ),
    Site(
        "Modoboa",
        "Modoboa 2, migrations of core (0001_initial at 1b7aa010 and later) and admin; the query of its manual for Dovecot",
        _modoboa,
        "SELECT email AS user, password FROM core_user u INNER JOIN admin_mailbox mb ON u.id=mb.user_id "
        "INNER JOIN admin_domain dom ON mb.domain_id=dom.id "
        "WHERE (mb.is_send_only=false OR '%s' NOT IN ('imap', 'pop3', 'lmtp')) "
        "AND u.email='%Lu' AND u.is_active AND dom.enabled",
    ),
)
