"""The commands that scripts rely on: none goes away and none loses an option without a deprecation."""

from __future__ import annotations

import pytest

from tests.docs.said_commands import known

PROMISED = """
serve --role
init
check
demo --once --provider --quirk --dovecot --sabotage
domain add --source --source-pop3 --provider --target --target-pop3 --window-days --login-form --switch --language --accept-plaintext
domain list --json
domain show --json
domain set
domain pause
domain resume
domain extend
domain switch
domain remove
domain apply
domain detect
domain test --account
account list --domain --state --cause --json
account show --json
account log --json
account retry
account approve
account pause
account resume
account switch
account reset
account password
account exclude
account import --dry-run
account export
account verify --sample
account skipped --eml
account receipt
watch --domain
admin add
admin list --json
admin remove
process list --json
process declare-dead
key rotate
db upgrade
db status --json
db reconcile
"""


@pytest.mark.parametrize("line", PROMISED.strip().splitlines())
def test_a_promised_command_is_there_with_its_options(line: str) -> None:
    path = tuple(word for word in line.split() if not word.startswith("--"))
    options = {word for word in line.split() if word.startswith("--")}
    assert options <= set(known()[path])


def test_every_list_and_show_has_json() -> None:
    lists = [path for path in known() if path and path[-1] in {"list", "show", "log", "status", "skipped"}]
    assert len(lists) > 8
    assert [path for path in lists if "--json" not in known()[path]] == []
