"""What becomes of a user whose old host behaves as real ones do: one row a behaviour, played by `test_source_flows`.

A row says what the login tells the user, what the account shows to the administrator meanwhile, and what
happens by itself once the provider's setting is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mailferry.model.access import Protocol
from mailferry.model.causes import Cause


@dataclass(frozen=True, slots=True)
class Flow:
    """One row. Without `refused` the login goes through; without `held` the copy does."""

    behaviour: str
    quirks: tuple[str, ...]
    provider: str = "generic"
    wrong: Cause | None = None
    """What a wrong password is told."""
    refused: Cause | None = None
    """What the right password is told."""
    held: Cause | None = None
    """What the account, not moved yet, shows while the behaviour lasts."""
    skipped: int = 0
    """Messages that are given up for now, by name, while the behaviour lasts."""
    hidden: int = 0
    """Messages that nobody knows of while the behaviour lasts."""
    lifted: bool = False
    """Whether the provider's setting is changed at last."""
    digests_alone: bool = False
    """Whether POP3 carried mail, which tells no flags and no times."""
    tls: bool = False
    """Whether the source has STARTTLS and the domain wants it."""
    protocol: Protocol = Protocol.IMAP
    protocols: tuple[str, ...] = ("imap", "pop3")
    at_target: bool = False
    premises: Mapping[str, Any] = field(default_factory=dict)
    """What the host is told beside."""
    within: float = 300.0
    """Seconds from the login, or from the change of the setting, to the end."""


BAD, APP, MANY = Cause.BAD_CREDENTIALS, Cause.APP_PASSWORD_REQUIRED, Cause.TOO_MANY_CONNECTIONS
OFF, ANY, LIMITED = Cause.PROTOCOL_DISABLED, Cause.AMBIGUOUS_REFUSAL, Cause.RATE_LIMITED
DOWN, TLS, EXPIRED, PART = Cause.SERVER_DOWN, Cause.TLS_ERROR, Cause.EXPIRED, Cause.INCOMPLETE
BODIES, UNTAKEN = Cause.BODIES_REFUSED, Cause.TARGET_REFUSES_MAIL
TENCENT, NETEASE, EXCHANGE = "tencent_exmail", "netease_qiye", "exchange_onprem"
POP3: Mapping[str, Any] = {"protocol": Protocol.POP3, "protocols": ("pop3",), "digests_alone": True}
NOBODY: Mapping[str, Any] = {"premises": {"connection_limit": 0}}
BIG: Mapping[str, Any] = {"premises": {"troubled": frozenset({4})}}
"""The fourth message of INBOX has trouble, which is the big one."""
LITTLE: Mapping[str, Any] = {"premises": {"append_limit": 20_000}}
HOUR = 3600.0

FLOWS: tuple[Flow, ...] = (
    # login and session
    Flow("netease_unsafe_login", ("netease_unsafe_login", "netease_refusal"), NETEASE, wrong=ANY),
    Flow("netease_numeric_tag", ("netease_numeric_tag",), NETEASE, wrong=BAD),
    Flow("exchange_not_connected", ("exchange_not_connected",), EXCHANGE, wrong=ANY),
    Flow("exchange_same_text", ("exchange_same_text",), EXCHANGE, wrong=ANY),
    Flow("m365_logindisabled", ("m365_logindisabled",), "m365", refused=Cause.OAUTH_REQUIRED, tls=True),
    Flow("tencent_five_causes", ("tencent_five_causes",), TENCENT, wrong=ANY),
    Flow("tencent_authcode", ("tencent_authcode",), TENCENT, wrong=APP),
    Flow("tencent_authcode", ("tencent_weixin",), TENCENT, wrong=APP),
    Flow("tencent_gbk", ("tencent_gbk",), TENCENT, wrong=Cause.PROTOCOL_ERROR, held=Cause.PROTOCOL_ERROR, lifted=True, within=HOUR),
    Flow("tencent_gbk", ("tencent_gbk",), TENCENT, wrong=LIMITED, held=LIMITED, lifted=True, within=HOUR, **POP3),
    Flow("tencent_login_eof", ("tencent_login_eof",), TENCENT, refused=DOWN, lifted=True),
    Flow("tencent_literal_login", ("tencent_literal_login",), TENCENT),
    Flow("tencent_no_caps_on_login", ("tencent_no_caps_on_login",), TENCENT),
    Flow("gmail_connections", ("gmail_connections",), "gmail", refused=MANY, lifted=True, **NOBODY),
    Flow("gmail_web", ("gmail_web",), "gmail", wrong=Cause.MFA_REQUIRED),
    Flow("gmail_apppw", ("gmail_apppw",), "gmail", wrong=APP),
    Flow("gmail_apppw", ("gmail_imap_off",), "gmail", refused=OFF, lifted=True),
    Flow("gmail_apppw", ("gmail_domain_off",), "gmail", refused=OFF, lifted=True),
    Flow("dovecot_userip", ("dovecot_userip",), "dovecot", refused=MANY, lifted=True, **NOBODY),
    Flow("dovecot_userip", ("dovecot_limit",), "dovecot", refused=MANY, lifted=True, **NOBODY),
    Flow("cyrus_layer", ("cyrus_layer",), "cyrus", refused=TLS, lifted=True),
    Flow("cyrus_layer", ("cyrus_slow_refusal",), "cyrus", wrong=BAD),
    Flow("zimbra_states", ("zimbra_maintenance",), "zimbra", refused=DOWN, lifted=True),
    Flow("zimbra_states", ("zimbra_must_change",), "zimbra", refused=EXPIRED, lifted=True),
    Flow("zimbra_states", ("zimbra_no_imap",), "zimbra", refused=OFF, lifted=True),
    Flow("zimbra_states", ("zimbra_referral",), "zimbra", refused=Cause.PERMISSION, lifted=True),
    Flow("netease_err_codes", ("netease_ipdeny",), NETEASE, refused=Cause.IP_BLOCKED, lifted=True, **POP3),
    Flow("netease_err_codes", ("netease_expired",), NETEASE, refused=EXPIRED, lifted=True, **POP3),
    Flow("netease_err_codes", ("netease_domain_expired",), NETEASE, refused=EXPIRED, lifted=True, **POP3),
    Flow("post_cutover_block", ("post_cutover_block",), refused=ANY, lifted=True),
    Flow("greeting_bye", ("greeting_bye",), refused=DOWN, lifted=True),
    Flow("greeting_bye", ("greeting_slow",), refused=DOWN, lifted=True),
    Flow("greeting_bye", ("tls_cert_other_name",), NETEASE, refused=TLS, lifted=True, tls=True),
    Flow("nginx_front", ("nginx_front", "split_answers"), "ch35", wrong=BAD),
    # listing and selection
    Flow("window_30d", ("window_30d",), TENCENT, hidden=1, lifted=True, within=6 * HOUR),
    Flow("window_30d", ("window_30d", "window_stale"), "net263", hidden=1, lifted=True, within=12 * HOUR),
    Flow("window_30d", ("imap_window_30d",), TENCENT, held=PART, lifted=True, digests_alone=True, within=HOUR),
    Flow("qq_list", ("no_special_use", "no_list_return"), "qq"),
    Flow("netease_list", ("netease_ghost",), NETEASE),
    Flow("netease_list", ("netease_ghost",), held=PART, within=HOUR),
    Flow("netease_status", ("netease_status",), NETEASE),
    Flow("aliyun_no_namespace", ("aliyun_no_namespace", "aliyun_uidvalidity"), "aliyun_qiye"),
    Flow("sina_list_root", ("sina_list_root", "namespace_lie")),
    Flow("gmail_labels", ("gmail_labels",), "gmail"),
    Flow("gmail_labels", ("gmail_folder_cap",), "gmail", protocols=("imap",), hidden=2, lifted=True, within=6 * HOUR, premises={"folder_cap": 3}),
    Flow("exchange_junk_folders", ("list_bare_tab", "no_list_return"), EXCHANGE),
    Flow("uidvalidity_change", ("uidvalidity_changes",)),
    Flow("uidvalidity_change", ("uidvalidity_zero",)),
    Flow("uidvalidity_change", ("uidnext_zero", "list_inbox_twice", "list_doubled")),
    Flow("uidvalidity_change", ("courier_examine",), "courier"),
    Flow("list_names", ("list_literal",)),
    Flow("list_names", ("list_8bit_quoted",)),
    Flow("list_names", ("list_no_separator",)),
    # fetching
    Flow("qq_desc_range", ("qq_desc_range", "qq_long_cmd"), "qq"),
    Flow("qq_search", ("qq_search", "search_wrong_set", "search_empty_blank"), "qq"),
    Flow("qq_search", ("search_empty_silent",), "ch35"),
    Flow("net263_header_only", ("header_only",), "net263", held=PART, lifted=True, within=24 * HOUR, **BIG),
    Flow("net263_header_only", ("pop3_header_only",), "net263", held=PART, lifted=True, within=24 * HOUR, **(POP3 | BIG)),
    Flow("exchange_peek_nothing", ("exchange_peek_nothing",), EXCHANGE, skipped=1, lifted=True, within=HOUR, **BIG),
    Flow("exchange_peek_nothing", ("exchange_placeholder",), EXCHANGE, held=PART, lifted=True, within=24 * HOUR, **BIG),
    Flow("exchange_peek_nothing", ("exchange_size_thrice",), EXCHANGE),
    Flow("exchange_peek_nothing", ("exchange_size_less",), EXCHANGE),
    Flow("fetch_order", ("fetch_order", "fetch_number_zero"), EXCHANGE),
    Flow("fetch_order", ("fetch_order", "fetch_number_wrong"), EXCHANGE),
    Flow("literal_lies", ("literal_short",), skipped=1, lifted=True, within=HOUR, **BIG),
    Flow("literal_lies", ("literal_long",), skipped=1, lifted=True, within=HOUR, **BIG),
    Flow("literal_lies", ("literal_cut",), **BIG),
    Flow("literal_lies", ("body_is_header",), held=PART, lifted=True, within=24 * HOUR, **BIG),
    Flow("literal_lies", ("body_truncated",), held=PART, lifted=True, within=24 * HOUR, **BIG),
    Flow("literal_lies", ("body_nil",), skipped=1, lifted=True, within=HOUR, **BIG),
    Flow("literal_lies", ("body_empty",), held=PART, lifted=True, within=HOUR, **BIG),
    Flow("fetch_no", ("fetch_refused",), skipped=1, lifted=True, within=HOUR, **BIG),
    Flow("fetch_no", ("fetch_refused",), "net263", held=BODIES, lifted=True, within=24 * HOUR),
    Flow("fetch_no", ("fetch_serverbug",), skipped=1, lifted=True, within=HOUR, **BIG),
    Flow("fetch_no", ("fetch_limit",), "gmail", **BIG),
    Flow("fetch_no", ("fetch_partly",), "gmail", skipped=1, lifted=True, within=HOUR, **BIG),
    Flow("m365_throttle", ("m365_throttle",), EXCHANGE, within=HOUR),
    Flow("gmail_quota", ("gmail_overquota",), "gmail", held=LIMITED, lifted=True, within=2 * HOUR),
    Flow("gmail_quota", ("gmail_session_expired", "gmail_throttled"), "gmail", premises={"octet_limit": 40_000}),
    Flow("netease_idle", ("no_idle", "netease_idle_drop"), "netease_free"),
    Flow("zimbra_two_views", ("zimbra_two_views",), "zimbra"),
    # POP3
    Flow("coremail_pop3", ("coremail_pop3", "pop3_no_top"), "coremail", **POP3),
    Flow("coremail_pop3", ("coremail_exceed",), "coremail", held=LIMITED, lifted=True, within=2 * HOUR, **(POP3 | {"premises": {"patience": 2}})),
    Flow("coremail_pop3", ("coremail_letter",), "coremail", skipped=1, lifted=True, within=HOUR, **(POP3 | BIG)),
    Flow("uidl_missing", ("pop3_uidl_missing",), **POP3),
    Flow("uidl_missing", ("pop3_uidl_duplicate",), **POP3),
    Flow("uidl_missing", ("pop3_uidl_of_header",), **POP3),
    Flow("uidl_missing", ("pop3_uidl_changes",), **POP3),
    Flow("uidl_missing", ("pop3_reversed", "pop3_list_lies", "pop3_no_capa"), **POP3),
    Flow("uidl_missing", ("pop3_no_list",), **POP3),
    Flow("uidl_missing", ("pop3_cut_short",), **POP3),
    Flow("uidl_missing", ("pop3_retr_hides",), "gmail", held=Cause.DELETIONS_HELD, lifted=True, within=HOUR, **POP3),
    Flow("pop3_lock", ("pop3_lock", "pop3_idle_drop", "pop3_dele_on_drop"), **POP3),
    Flow("pop3_lock", ("pop3_login_delay",), within=HOUR, **POP3),
    Flow("pop3_all_mail", ("pop3_all_mail",), "gmail"),
    Flow("pop3_all_mail", ("pop3_window_30d",), NETEASE),
    # limits
    Flow("append_limits", ("append_limit",), at_target=True, skipped=1, lifted=True, within=HOUR, **LITTLE),
    Flow("append_limits", ("append_max_size",), at_target=True, skipped=1, lifted=True, within=HOUR, **LITTLE),
    Flow("append_limits", ("append_argument_11",), at_target=True, skipped=1, lifted=True, within=HOUR, **LITTLE),
    Flow("append_limits", ("append_limit",), "gmail", at_target=True, held=UNTAKEN, lifted=True, within=24 * HOUR, premises={"append_limit": 20}),
    Flow("append_limits", ("append_overquota",), at_target=True, held=Cause.TARGET_OVER_QUOTA, lifted=True, within=HOUR),
    Flow("append_limits", ("append_invalid_header", "append_nul_refused"), at_target=True),
    Flow("append_limits", ("append_drop",), at_target=True),
    Flow("append_limits", ("append_drop", "no_uidplus"), at_target=True),
)  # fmt: skip
