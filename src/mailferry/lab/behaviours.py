"""The behaviours of real source systems that the lab plays: number, name, one sentence, and the quirks that switch them.

A behaviour has one quirk, or several where real hosts differ or where it shows in several places.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row; each of `quirks` is a name of `lab.quirks` and can be switched by itself."""

    number: int
    name: str
    sentence: str
    quirks: tuple[str, ...]


def _row(number: int, name: str, sentence: str, *quirks: str) -> Behaviour:
    return Behaviour(number, name, sentence, quirks or (name,))


BEHAVIOURS: tuple[Behaviour, ...] = (
    # login and session
    _row(1, "netease_unsafe_login", "Login works, but no mailbox opens until the client has sent ID."),
    _row(2, "netease_numeric_tag", "Commands whose tag is a number are answered BAD."),
    _row(3, "exchange_not_connected", "Any password is accepted; the next command tells that it was wrong."),
    _row(
        4, "exchange_same_text", "A wrong password, IMAP switched off and a second factor get one sentence."
    ),
    _row(5, "m365_logindisabled", "No password is taken at all, not even inside TLS."),
    _row(6, "tencent_five_causes", "One sentence for five causes."),
    _row(
        7,
        "tencent_authcode",
        "An authorization code or a WeChat token is demanded.",
        "tencent_authcode",
        "tencent_weixin",
    ),
    _row(8, "tencent_gbk", "Refusals are GBK octets."),
    _row(9, "tencent_login_eof", "LOGIN is answered by closing the connection."),
    _row(10, "tencent_literal_login", "LOGIN arguments must be quoted strings."),
    _row(11, "tencent_no_caps_on_login", "Capabilities are told only to who asks again after the login."),
    _row(12, "gmail_connections", "The sixteenth session is refused."),
    _row(13, "gmail_web", "A sign-in in the browser is demanded."),
    _row(
        14,
        "gmail_apppw",
        "An app password is demanded, or IMAP is off for the user or the domain.",
        "gmail_apppw",
        "gmail_imap_off",
        "gmail_domain_off",
    ),
    _row(15, "dovecot_userip", "Sessions of one user are counted.", "dovecot_userip", "dovecot_limit"),
    _row(
        16, "cyrus_layer", "Passwords only inside TLS; wrong ones wait.", "cyrus_layer", "cyrus_slow_refusal"
    ),
    _row(
        17,
        "zimbra_states",
        "Maintenance, a password that must be changed, IMAP off, a referral.",
        "zimbra_maintenance",
        "zimbra_must_change",
        "zimbra_no_imap",
        "zimbra_referral",
    ),
    _row(
        18,
        "netease_err_codes",
        "Refusals are codes: address denied, account expired, domain expired, no such account.",
        "netease_ipdeny",
        "netease_expired",
        "netease_domain_expired",
        "netease_unknown_user",
    ),
    _row(19, "aliyun_lock", "Five wrong passwords lock the account, for the right one as well."),
    _row(20, "post_cutover_block", "From some moment on every login of the domain is refused."),
    _row(
        21,
        "greeting_bye",
        "No greeting, a late one, or a certificate for another name.",
        "greeting_bye",
        "greeting_slow",
        "tls_cert_other_name",
    ),
    _row(
        22,
        "nginx_front",
        "A proxy greets with capabilities of its own; answers come in odd pieces.",
        "nginx_front",
        "split_answers",
    ),
    # listing and selection
    _row(
        23,
        "window_30d",
        "Only the mail of 30 days is shown, until somebody widens the window; then perhaps not at once.",
        "window_30d",
        "imap_window_30d",
        "window_stale",
    ),
    _row(
        24,
        "qq_list",
        "Roles in XLIST only, LIST with RETURN is BAD, the users' mailboxes below one that cannot be opened.",
        "no_special_use",
        "no_list_return",
    ),
    _row(25, "netease_list", "A mailbox is listed that does not exist.", "netease_ghost"),
    _row(26, "netease_status", "No UIDNEXT, UIDVALIDITY 1, very high UIDs."),
    _row(
        27,
        "aliyun_no_namespace",
        "No NAMESPACE, UIDVALIDITY 2 everywhere.",
        "aliyun_no_namespace",
        "aliyun_uidvalidity",
    ),
    _row(
        28,
        "sina_list_root",
        'LIST "" "" shows everything; NAMESPACE is offered and refused.',
        "sina_list_root",
        "namespace_lie",
    ),
    _row(
        29,
        "gmail_labels",
        "One message in several mailboxes, a name that cannot be opened, a cap on each mailbox.",
        "gmail_labels",
        "gmail_folder_cap",
    ),
    _row(
        30,
        "exchange_junk_folders",
        "Calendars with what is no mail, a name with a bare TAB.",
        "list_bare_tab",
        "no_list_return",
    ),
    _row(
        31,
        "uidvalidity_change",
        "UIDVALIDITY changes or is 0, UIDNEXT is 0, mailboxes are listed twice.",
        "uidvalidity_changes",
        "uidvalidity_zero",
        "uidnext_zero",
        "list_inbox_twice",
        "list_doubled",
        "courier_examine",
    ),
    _row(
        32,
        "list_names",
        "Names as literals, in GBK or UTF-8, with quotes and blanks, without separator.",
        "list_literal",
        "list_8bit_quoted",
        "list_no_separator",
    ),
    # fetching
    _row(
        33,
        "qq_desc_range",
        "Descending UID ranges are BAD, long lines are dropped.",
        "qq_desc_range",
        "qq_long_cmd",
    ),
    _row(
        34,
        "qq_search",
        "SEARCH refuses, lies, or answers nothing.",
        "qq_search",
        "search_wrong_set",
        "search_empty_blank",
        "search_empty_silent",
    ),
    _row(
        35,
        "net263_header_only",
        "Bodies are missing until the provider restores them.",
        "header_only",
        "pop3_header_only",
    ),
    _row(
        36,
        "exchange_peek_nothing",
        "No answer or a placeholder for what is no mail; sizes are estimates.",
        "exchange_peek_nothing",
        "exchange_placeholder",
        "exchange_size_thrice",
        "exchange_size_less",
    ),
    _row(
        37,
        "fetch_order",
        "FETCH items in any order, answers nobody asked for, wrong numbers.",
        "fetch_order",
        "fetch_number_zero",
        "fetch_number_wrong",
    ),
    _row(
        38,
        "literal_lies",
        "Literals that are too long, too short, NIL, empty, cut, or the header instead.",
        "literal_short",
        "literal_long",
        "literal_cut",
        "body_nil",
        "body_empty",
        "body_is_header",
        "body_truncated",
    ),
    _row(
        39,
        "fetch_no",
        "Some messages are refused, for ever, once, or without a word.",
        "fetch_refused",
        "fetch_serverbug",
        "fetch_limit",
        "fetch_partly",
    ),
    _row(40, "m365_throttle", "A time to wait is named, and kept."),
    _row(
        41,
        "gmail_quota",
        "So many octets a day: refusal, BYE, or a mark on each answer.",
        "gmail_overquota",
        "gmail_session_expired",
        "gmail_throttled",
    ),
    _row(42, "netease_idle", "No IDLE; silent sessions are dropped.", "no_idle", "netease_idle_drop"),
    _row(43, "zimbra_two_views", "A message differs from its parts."),
    # POP3
    _row(
        44,
        "coremail_pop3",
        "Coremail's answers, downloads that are refused, TOP that fails.",
        "coremail_pop3",
        "coremail_exceed",
        "coremail_letter",
        "pop3_no_top",
    ),
    _row(
        45,
        "uidl_missing",
        "UIDLs missing, shared, changing, reversed; LIST and line ends wrong; what was read is gone.",
        "pop3_uidl_missing",
        "pop3_uidl_duplicate",
        "pop3_uidl_of_header",
        "pop3_uidl_changes",
        "pop3_reversed",
        "pop3_list_lies",
        "pop3_no_list",
        "pop3_no_capa",
        "pop3_no_last_line_end",
        "pop3_no_stuffing",
        "pop3_cut_short",
        "pop3_retr_hides",
    ),
    _row(
        46,
        "pop3_lock",
        "One session at a time, a pause between two, silence ends it, DELE counts without QUIT.",
        "pop3_lock",
        "pop3_login_delay",
        "pop3_idle_drop",
        "pop3_dele_on_drop",
    ),
    _row(
        47,
        "pop3_all_mail",
        "POP3 shows more than the INBOX, or less.",
        "pop3_all_mail",
        "pop3_window_30d",
    ),
    # limits
    _row(
        48,
        "append_limits",
        "APPEND is refused by size, quota, header or NUL, or breaks without an answer.",
        "append_limit",
        "append_max_size",
        "append_overquota",
        "append_invalid_header",
        "append_nul_refused",
        "append_argument_11",
        "append_drop",
    ),
    _row(49, "restart_points", "The host dies at each command of a copy in turn."),
)
