"""The oddities that a lab host can be told to have, by name. Each is read in exactly one place of the lab.

A host's quirks may be switched while it runs: `host.premises.quirks.discard("window_30d")`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

QUIRKS: Mapping[str, str] = {
    # login and session
    "netease_unsafe_login": "SELECT and EXAMINE are refused until the client sent ID",
    "netease_numeric_tag": "commands with an all-digit tag are answered BAD",
    "netease_refusal": "wrong passwords get NetEase's sentence",
    "exchange_not_connected": "a wrong password is accepted; the next command is answered BAD, then BYE",
    "m365_logindisabled": "LOGINDISABLED inside TLS; LOGIN is refused for ever",
    "tencent_five_causes": "every refusal is the sentence that names five causes",
    "tencent_authcode": "a wrong password is answered with the demand for an authorization code",
    "tencent_gbk": "refusals are GBK octets",
    "tencent_login_eof": "LOGIN is answered by closing the connection",
    "tencent_literal_login": "LOGIN with literals is answered BAD",
    "tencent_no_caps_on_login": "greeting and pre-login CAPABILITY lack what a later CAPABILITY shows",
    "gmail_web": "a wrong password is answered with the demand for a sign-in in the browser",
    "dovecot_userip": "more than the host's `connection_limit` sessions of an account are refused after login",
    "aliyun_lock": "after five wrong passwords an account refuses the right one as well",
    "post_cutover_block": "every login is refused with the generic sentence, right password or not",
    "greeting_bye": "the greeting is BYE (POP3: -ERR) and the connection closes",
    "nginx_front": "a proxy's greeting and a short capability list before the login",
    "preauth": "the greeting is PREAUTH",
    # listing and selection
    "window_30d": "only messages of the last 30 days are shown, over IMAP and POP3",
    "imap_window_30d": "IMAP shows only messages of the last 30 days, POP3 all",
    "netease_status": "STATUS and SELECT leave UIDNEXT out; INBOX has UIDVALIDITY 1",
    "aliyun_no_namespace": "NAMESPACE is not offered and answered BAD",
    "namespace_lie": "NAMESPACE is offered and answered BAD",
    "no_special_use": "LIST shows no roles and SPECIAL-USE is not offered",
    "list_status_lie": "STATUS items behind LIST are never sent",
    # fetching
    "fetch_order": "FETCH items come in another order, with unasked-for FETCH answers between",
    "qq_desc_range": "a descending UID range is answered BAD",
    "qq_long_cmd": "lines over 6 KB are swallowed without an answer",
    "qq_search": "SEARCH knows ALL and flags only",
    "header_only": "bodies are cut behind the header while RFC822.SIZE promises the whole",
    # appending and the rest of the extensions
    "no_multiappend": "MULTIAPPEND is neither offered nor taken",
    "no_uidplus": "no APPENDUID, COPYUID or UID EXPUNGE",
    "no_literal_plus": "LITERAL+ is neither offered nor taken",
    "no_idle": "IDLE is neither offered nor taken",
    "no_move": "MOVE is neither offered nor taken",
    "no_id": "ID is neither offered nor taken",
    "no_keywords": "keywords are dropped, PERMANENTFLAGS lacks \\*",
    "append_limit": "messages over the host's `append_limit` octets are refused",
    "append_nul_refused": "messages with NUL are refused",
    # POP3
    "coremail_pop3": "Coremail's greeting and answers",
    "pop3_lock": "a second POP3 session of an account is refused with [IN-USE]",
    "pop3_reversed": "the maildrop is listed newest first",
    "pop3_uidl_missing": "UIDL is answered -ERR",
    "pop3_uidl_duplicate": "all messages with equal bytes share one UIDL",
    "pop3_window_30d": "POP3 shows only messages of the last 30 days, IMAP all",
    "pop3_all_mail": "POP3 shows the messages of all mailboxes, each with a line before its header",
    "pop3_uidl_of_header": "all messages with equal headers share one UIDL",
    "pop3_uidl_changes": "each session has UIDLs of its own",
    "pop3_list_lies": "LIST names other sizes than the messages have",
    "pop3_no_list": "LIST is answered -ERR",
    "pop3_no_stuffing": "dots at the begin of lines are not doubled",
    "pop3_no_last_line_end": "the final dot stands right behind the last line, without the line's end",
    "pop3_cut_short": "every third message is sent short the first time it is asked for",
    "pop3_retr_hides": "a message that was retrieved is not shown to the next session",
    "pop3_no_capa": "CAPA is answered -ERR",
    "pop3_no_top": "TOP is answered -ERR",
    "pop3_login_delay": "a login too soon after the last one is refused with [LOGIN-DELAY], as CAPA announces",
}

PROVIDERS: Mapping[str, frozenset[str]] = {
    "generic": frozenset(),
    "dovecot": frozenset({"dovecot_userip"}),
    "netease_qiye": frozenset(
        {"netease_unsafe_login", "netease_numeric_tag", "netease_refusal", "netease_status", "coremail_pop3"}
        | {"no_idle", "no_move", "no_multiappend"}
    ),
    "tencent_exmail": frozenset(
        {"tencent_five_causes", "tencent_literal_login", "tencent_no_caps_on_login", "qq_desc_range"}
        | {"qq_long_cmd", "qq_search", "no_special_use", "no_multiappend", "no_literal_plus"}
    ),
    "exchange_onprem": frozenset({"exchange_not_connected", "no_multiappend", "no_special_use"}),
    "aliyun_qiye": frozenset(
        {
            "aliyun_lock",
            "aliyun_no_namespace",
            "no_multiappend",
            "no_literal_plus",
            "no_move",
            "no_special_use",
        }
    ),
}
"""What a whole provider's host does, for rehearsals."""


class UnknownQuirk(ValueError):
    """A quirk or provider that the lab does not know; the message names the nearest one."""


def quirks_named(names: Iterable[str]) -> set[str]:
    """Return `names` as a set; raises UnknownQuirk for the first that does not exist."""
    chosen = set(names)
    for name in sorted(chosen - set(QUIRKS)):
        near = difflib.get_close_matches(name, QUIRKS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UnknownQuirk(f"no quirk is called {name!r}{hint}")
    return chosen


def quirks_of_provider(provider: str) -> frozenset[str]:
    """Return the quirks of a provider; raises UnknownQuirk for one that the lab cannot play."""
    if provider not in PROVIDERS:
        raise UnknownQuirk(f"the lab cannot play {provider!r}; it can play {', '.join(PROVIDERS)}")
    return PROVIDERS[provider]
