"""The words of docs/providers.md that are not in the profiles."""

from __future__ import annotations

from mailferry.providers.detection import Evidence

INTRO = """
# Source systems

<!-- Made by: python -m tests.providers.page -->

What is known of one kind of source is a *profile*: one TOML file in `src/mailferry/providers/profiles/`,
data only. `domain add --provider ID` chooses it, `domain detect NAME` finds out which one fits. A source
without a profile is served by `generic`. Nothing in the program asks which provider it is talking to: it
reads facts.
"""

SYSTEMS_REMARK = """
What cannot be moved by password is found, explained and not pretended: `domain detect`, `domain add`, `domain test` and the console
say why and what is left, a login there is told so, and `mailferry demo --provider` has no move to rehearse.

Gmail's *All Mail* (`\\All`) is copied as one mailbox more beside the labels: archived mail lies nowhere else
(`docs/decisions/0015-gmails-all-mail.md`). `domain test` counts it and says how much room it takes.

*Lab host* is what the host of `mailferry demo --provider ID` does; `{demo}` tells that story for each system that can be
moved. *Flows* are the rows of `{flow}` that are played with this profile: what the login tells the user, what the account
shows meanwhile, and what happens by itself once the provider's setting is changed.
"""

BEHAVIOURS_INTRO = """
## What the lab's hosts can do

Each quirk is switched by its name: `mailferry demo --quirk NAME`. Each is met by Python's own imaplib or poplib
(`{client}`), so that the host does not merely agree with us.
"""

FACTS_INTRO = """
## Facts of a profile

Every fact carries its confidence: `high` (a transcript, source code, the vendor's own document), `medium`
(one credible report), `low` (inferred, remembered or old) or `unknown`; what is unknown has no value, and
the standard's behaviour holds. A fact that nothing acts upon yet is written down all the same.
"""

OWN = """
## Profiles of your own

They lie in the folder `providers_dir`, one TOML file each; the file's name is the profile's id. A file with the id of
one of ours takes its place. `based_on = "ID"` takes all that the file does not state from one of ours, so that a file
of two lines can correct one fact; lists and tables are replaced as a whole. Without `based_on` the file must state every
fact. `conf/providers.d/` holds an example.

```toml
based_on = "tencent_exmail"
max_connections = { value = 6, confidence = "high", note = "agreed by phone" }
copy_hours = { confidence = "unknown" }
```

`names = { en = "...", zh = "..." }` names the system. `[[error_rules]]` have `id`, `pattern` (a regular expression over
the decoded text), `cause`, `confidence`, and `ambiguous = true` for a wording with several causes. Steps of the `[[checklist]]` have
`id`, `en`, `zh` and `confidence`; `imap_on`, `dns_waits` and `outlook` may be named by id alone. What `skip_mailboxes` names
by readable name (`[Gmail]/All Mail`) is left out of the copy.

A file with an unknown or missing key, a value of the wrong kind, or a fact without confidence is refused; `mailferry
check` names every fault with file, key and the nearest known name.
"""

DETECTION = """
## Detection

`mailferry domain detect NAME` asks the DNS, looks at the source's servers (or at the usual names below the domain) without
logging in, and compares what it found with the profiles. The kinds of evidence are believed in this order. The first that
fits decides; where it fits several profiles, later kinds choose among them; what contradicts is shown and decides nothing.
Today's MX counts nothing once the source's own host shows another system: the DNS has been changed then. A service with
domains of its own only (`only_domains`) is never found for another domain.
"""

EVIDENCE = {
    Evidence.SAID: "the provider that the domain was given",
    Evidence.RECORDED_MX: "the mail exchanger from before the DNS change (`--mx`)",
    Evidence.HOST: "the names of the source's servers",
    Evidence.MX: "today's mail exchangers",
    Evidence.CNAME: "where `imap.`, `pop.`, `pop3.`, `mail.` and `smtp.` of the domain lead",
    Evidence.SPF: "what the domain's SPF record includes",
    Evidence.CERTIFICATE: "the names in the server's certificate, whether it is valid or not",
    Evidence.GREETING: "the first line of IMAP or POP3",
    Evidence.CAPABILITY: "IMAP capabilities that nobody else has",
    Evidence.ID: "the server's own ID (RFC 2971)",
}

CAUSES_INTRO = """
## Causes

A refusal's wording is sorted into a cause by `providers/taxonomy.py`: the profile's own rules first, then the rules that
hold everywhere, in their order, then the response code. Texts may be UTF-8, GBK or Latin-1. *Refused* means that the server
judged; *temporary* is answered so that mail programs keep the password they have stored.
"""

CONTEXT = """
### One sentence, several causes

`ambiguous_refusal` stands for one sentence with several causes (Tencent's names five; Exchange says `LOGIN failed.` to all): the
combined help is shown, "wrong password" never is, and nothing is concluded about whose password it is. Two things change such a verdict:

- the source took this very password within the last 24 hours: `rate_limited`, tried again by itself;
- {accounts} accounts of the domain in a row, each with the password that was good before, were refused within {minutes} minutes
  and no login was accepted in between; or, of at least {enough} accounts within {mixed} minutes that had good passwords, more were
  refused than accepted, whatever the words: `source_refuses_domain`. Every refusal of the domain is then answered as temporary;
  one whose words name another cause (an expired service, a protocol switched off) keeps that cause. One user alone stands as judged.

### Addresses that the old host does not have

Some hosts tell an unknown address from a wrong password (`unknown_user`), most do not. Where it is told, the login's line in the
log and the account's history quote it; the client reads the same as after a wrong password, in the same time, and nothing is
stored of an address that no host knows. Who is let in at the new host alone is *not migrating* either way, until the old
password is entered. Where the accounts that move are a list, `only_listed` decides and the old host is not asked about others.

### When the old host changes its mind

A copy that failed because the source refused the login (a switch, an expired service, an account that was not there) goes on by
itself with the next login that the source accepts; `account retry` lets it go on without one.
"""

MEANINGS = {
    "mx_patterns": "regular expressions for the whole name of a mail exchanger",
    "spf_includes": "names that a domain's SPF record includes",
    "host_suffixes": "how the provider's own host names end: for CNAMEs and certificates",
    "greeting_patterns": "regular expressions within the first line of IMAP or POP3",
    "capability_tokens": "IMAP capabilities that nobody else has",
    "id_patterns": "regular expressions within the server's ID, written `name vendor`",
    "only_domains": "the service has these domains and no others",
    "imap_hosts": "server addresses, the best first; `{domain}` stands for the domain",
    "pop3_hosts": "the same for POP3",
    "smtp_hosts": "`host:port`",
    "password_login": "whether passwords open mailboxes for mail programs at all",
    "login_forms": "how accounts are named there, as a domain's `login_form`; the usual one first",
    "codes": "authorization codes in place of passwords: `no`, `optional`, `required`",
    "send_id": "when IMAP ID (RFC 2971) is sent: `never`, `before`, `after` or `both`",
    "login_literals": "no where LOGIN arguments must be quoted strings",
    "auth_order": "`PLAIN` (SASL) and `LOGIN`, in the order in which they are tried",
    "tags": "`letter_first` where tags of digits are refused (ours always begin with a letter)",
    "max_command_octets": "longer commands are split",
    "search": "what SEARCH can be trusted with: `full`, `ascii`, `simple` keys, or `flags` only (we search for nothing else)",
    "exact_sizes": "no where RFC822.SIZE is only a hint (we believe the literal alone)",
    "text_encoding": "of refusals: `utf-8` or `gbk` (we understand both everywhere)",
    "keepalive_command": "what keeps an idle session open",
    "visibility_window_days": "by default only mail of so many days is shown; 0 shows all",
    "skip_mailboxes": "mailboxes that hold no mail, by readable name",
    "special_mailboxes": "role (`sent`, `drafts`, `trash`, `junk`, `archive`) to readable names",
    "strip_parents": "parents that are dropped on the copy",
    "placeholder_patterns": "regular expressions within texts that it gives in place of messages",
    "max_connections": "what the source lets one user open; one of them is the user's",
    "host_connections": "what the source bears from us, all accounts together",
    "bytes_per_day": "octets read in 24 hours from one account",
    "host_bytes_per_day": "the same from the host, all accounts together",
    "commands_per_minute": "commands for one account",
    "host_commands_per_minute": "the same to the host, all accounts together",
    "copy_hours": 'when the source may be copied from, such as `"22:00-06:00"`',
    "append_octets": "the largest message that it takes over IMAP",
    "smtp_saves_sent": "whether its SMTP puts sent mail into the sent mailbox",
    "after_dns_change": "`restricted` where logins may be refused once the DNS has moved, else `open`",
    "error_rules": "wordings of refusals and their causes",
    "checklist": "what an administrator must see to before the move",
}
