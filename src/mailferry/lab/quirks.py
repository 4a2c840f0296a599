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
    "netease_ipdeny": "every login is refused: our address is not allowed",
    "netease_expired": "every login is refused: the account has expired",
    "netease_domain_expired": "every login is refused: the domain has expired",
    "netease_unknown_user": "an address that the host does not have is refused with a code that says so",
    "unknown_user": "an address that the host does not have is told so, beside the usual response code",
    "unknown_user_gbk": "an address that the host does not have is told so in GBK octets",
    "exchange_not_connected": "a wrong password is accepted; the next command is answered BAD, then BYE",
    "exchange_same_text": "a wrong password, IMAP switched off and a second factor get the same sentence",
    "m365_logindisabled": "LOGINDISABLED inside TLS; LOGIN is refused for ever",
    "tencent_five_causes": "every refusal is the sentence that names five causes",
    "tencent_authcode": "a wrong password is answered with the demand for an authorization code",
    "tencent_weixin": "a wrong password is answered with the demand for a WeChat token",
    "tencent_gbk": "refusals are GBK octets",
    "tencent_login_eof": "LOGIN is answered by closing the connection",
    "tencent_literal_login": "LOGIN with literals is answered BAD",
    "tencent_no_caps_on_login": "greeting and pre-login CAPABILITY lack what a later CAPABILITY shows",
    "gmail_web": "a wrong password is answered with the demand for a sign-in in the browser",
    "gmail_apppw": "a wrong password is answered with the demand for an app password",
    "gmail_imap_off": "IMAP is refused to every account, POP3 is not",
    "gmail_domain_off": "the administrator switched IMAP off, POP3 is open",
    "gmail_connections": "more than 15 sessions (`connection_limit`) of an account are refused at login",
    "dovecot_userip": "more than the host's `connection_limit` sessions of an account are refused after login",
    "dovecot_limit": "the same in the words of newer versions",
    "cyrus_layer": "without TLS every login is refused",
    "cyrus_slow_refusal": "a wrong password is answered after 3 s",
    "zimbra_maintenance": "every login is refused: maintenance",
    "zimbra_must_change": "every login is refused: the password must be changed first",
    "zimbra_no_imap": "IMAP is refused to every account, POP3 is not",
    "zimbra_referral": "every login is referred to another host",
    "aliyun_lock": "after five wrong passwords an account refuses the right one as well",
    "post_cutover_block": "every login is refused with the generic sentence, right password or not",
    "greeting_bye": "the greeting is BYE (POP3: -ERR) and the connection closes",
    "greeting_slow": "the greeting comes after 40 s",
    "tls_cert_other_name": "the certificate is for another name",
    "split_answers": "the first octet of each answer comes alone",
    "netease_idle_drop": "IMAP sessions are dropped after 60 s, NOOP or not",
    "pop3_idle_drop": "POP3 sessions are dropped after 30 s without a command",
    "restart_points": "each connection is cut one command later than the one before it",
    "nginx_front": "a proxy's greeting and a short capability list before the login",
    "preauth": "the greeting is PREAUTH",
    # listing and selection
    "window_30d": "only messages of the last 30 days are shown, over IMAP and POP3",
    "imap_window_30d": "IMAP shows only messages of the last 30 days, POP3 all",
    "window_stale": "after `window_30d` is taken away, two more SELECTs show the old view",
    "gmail_folder_cap": "the newest `folder_cap` messages of a mailbox are shown",
    "gmail_labels": "a name that only holds others answers SELECT with Gmail's sentence",
    "netease_ghost": "a mailbox is listed that answers EXAMINE with `not exist`",
    "netease_status": "STATUS and SELECT leave UIDNEXT out; INBOX has UIDVALIDITY 1",
    "aliyun_no_namespace": "NAMESPACE is not offered and answered BAD",
    "aliyun_uidvalidity": "every mailbox has UIDVALIDITY 2",
    "sina_list_root": 'LIST "" "" shows all mailboxes',
    "namespace_lie": "NAMESPACE is offered and answered BAD",
    "no_special_use": "LIST shows no roles and SPECIAL-USE is not offered",
    "list_status_lie": "STATUS items behind LIST are never sent",
    "no_list_return": "LIST with RETURN is answered BAD",
    "list_doubled": "each line of LIST comes twice",
    "list_inbox_twice": "LIST shows Inbox besides INBOX",
    "list_literal": "names in LIST are literals",
    "list_8bit_quoted": "names that are no modified UTF-7 stand in quoted strings as they are",
    "list_bare_tab": "a name with a TAB stands in LIST without quotes",
    "list_no_separator": "the hierarchy separator is NIL",
    "uidvalidity_changes": "UIDVALIDITY is another one in each session",
    "uidvalidity_zero": "UIDVALIDITY is 0",
    "uidnext_zero": "UIDNEXT is 0",
    "courier_examine": "each EXAMINE tells another UIDVALIDITY",
    # fetching
    "fetch_order": "FETCH items come in another order, with unasked-for FETCH answers between",
    "fetch_number_zero": "FETCH answers have the sequence number 0",
    "fetch_number_wrong": "FETCH answers have wrong sequence numbers, with EXISTS between",
    "qq_desc_range": "a descending UID range is answered BAD",
    "qq_long_cmd": "lines over 6 KB are swallowed without an answer",
    "qq_search": "SEARCH knows ALL and flags only",
    "search_wrong_set": "SEARCH SUBJECT and FROM find everything",
    "search_empty_blank": "an empty SEARCH answer ends in a blank",
    "search_empty_silent": "an empty SEARCH has no untagged answer",
    "header_only": "bodies are cut behind the header while RFC822.SIZE promises the whole",
    "exchange_peek_nothing": "BODY.PEEK[] has no answer but the tagged OK; BODY[] gives a placeholder",
    "exchange_placeholder": "a placeholder stands in for the message",
    "exchange_size_thrice": "RFC822.SIZE is three times the size",
    "exchange_size_less": "RFC822.SIZE is nine tenths of the size",
    "body_is_header": "BODY[] gives the header without the blank line behind it",
    "body_empty": "BODY[] is an empty literal",
    "body_nil": "BODY[] is NIL",
    "body_truncated": "bodies are cut short at a limit, in a literal that says so",
    "literal_short": "a literal is announced shorter than it is",
    "literal_long": "a literal is announced longer than it is",
    "literal_cut": "the connection breaks within a literal, once for each message",
    "fetch_serverbug": "FETCH of a body is answered NO [SERVERBUG]",
    "fetch_refused": "FETCH of a body is answered NO",
    "fetch_limit": "one FETCH is answered BYE and NO [LIMIT], and the session goes on",
    "fetch_partly": "FETCH leaves messages out and ends in NO",
    "m365_throttle": "FETCH is answered with a time to wait, again and again; who does not wait is cut off",
    "gmail_overquota": "after `octet_limit` octets FETCH is answered NO [OVERQUOTA]",
    "gmail_session_expired": "after `octet_limit` octets the session ends with BYE",
    "gmail_throttled": "FETCH ends in OK [THROTTLED]",
    "zimbra_two_views": "BODY[] and BODY[HEADER] with BODY[TEXT] differ in control characters",
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
    "append_max_size": "the same as `append_limit` in other words",
    "append_overquota": "every APPEND is refused: the mailbox is full",
    "append_invalid_header": "a header with a line that is no field is refused",
    "append_argument_11": "messages over `append_limit` octets are answered BAD",
    "append_drop": "one APPEND is kept and never answered: the connection breaks",
    # POP3
    "coremail_pop3": "Coremail's greeting and answers",
    "coremail_exceed": "after `patience` messages RETR is answered `Download exceed`",
    "coremail_letter": "RETR is answered `Can't get the letter`",
    "pop3_dele_on_drop": "what was marked as deleted is removed when the connection breaks",
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
    "pop3_header_only": "RETR gives the header alone while LIST tells the whole size",
    "pop3_retr_hides": "a message that was retrieved is not shown to the next session",
    "pop3_no_capa": "CAPA is answered -ERR",
    "pop3_no_top": "TOP is answered -ERR",
    "pop3_login_delay": "a login too soon after the last one is refused with [LOGIN-DELAY], as CAPA announces",
}

_NETEASE = frozenset(
    {"netease_numeric_tag", "netease_refusal", "netease_status", "coremail_pop3"}
    | {"no_idle", "no_move", "no_multiappend"}
)
_TENCENT = frozenset(
    {"tencent_literal_login", "tencent_no_caps_on_login", "qq_desc_range", "qq_long_cmd", "qq_search"}
    | {"no_special_use", "no_list_return", "no_multiappend", "no_literal_plus"}
)

PROVIDERS: Mapping[str, frozenset[str]] = {
    "generic": frozenset(),
    "dovecot": frozenset({"dovecot_userip"}),
    "netease_qiye": _NETEASE | {"netease_unsafe_login"},
    "netease_free": _NETEASE | {"netease_unsafe_login", "netease_idle_drop"},
    "coremail": _NETEASE,
    "tencent_exmail": _TENCENT | {"tencent_five_causes"},
    "qq": _TENCENT | {"tencent_authcode"},
    "exchange_onprem": frozenset(
        {
            "exchange_not_connected",
            "exchange_size_thrice",
            "no_list_return",
            "no_multiappend",
            "no_special_use",
        }
    ),
    "aliyun_qiye": frozenset(
        {"aliyun_lock", "aliyun_no_namespace", "aliyun_uidvalidity", "no_multiappend", "no_literal_plus"}
        | {"no_move", "no_special_use"}
    ),
    "net263": frozenset({"exchange_size_less", "no_multiappend", "no_special_use", "no_idle"}),
    "ch35": frozenset(
        {"nginx_front", "split_answers", "search_empty_blank", "no_special_use", "no_multiappend"}
        | {"no_literal_plus", "no_idle", "no_move"}
    ),
    "gmail": frozenset(
        {
            "gmail_web",
            "gmail_connections",
            "gmail_labels",
            "gmail_throttled",
            "no_multiappend",
            "no_literal_plus",
        }
    ),
    "courier": frozenset(
        {"courier_examine", "fetch_number_zero", "no_special_use", "no_multiappend", "no_move"}
    ),
    "cyrus": frozenset({"cyrus_layer", "cyrus_slow_refusal"}),
    "zimbra": frozenset({"zimbra_two_views", "no_multiappend"}),
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
