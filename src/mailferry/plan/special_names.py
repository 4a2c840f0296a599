"""Names under which servers and mail programs keep sent mail, drafts, trash and junk.

Used only where a server does not say the role itself (RFC 6154). Decoded names, compared without
letter case; a provider's own names stand in its profile and are asked first.
"""

from __future__ import annotations

from collections.abc import Mapping

ROLES = ("sent", "drafts", "trash", "junk", "archive")
"""Roles that a mailbox of ours keeps on the way to the target."""

VIEWS = frozenset({"\\flagged", "\\important"})
"""SPECIAL-USE attributes of mailboxes that only show messages of other mailboxes (RFC 6154 2)."""

DEFAULT_NAMES: Mapping[str, str] = {
    "sent": "Sent",
    "drafts": "Drafts",
    "trash": "Trash",
    "junk": "Junk",
    "archive": "Archive",
}
"""What a role's mailbox is called at a target that has none."""

KNOWN_NAMES: Mapping[str, tuple[str, ...]] = {
    "sent": (
        "Sent",
        "Sent Messages",
        "Sent Items",
        "Sent Mail",
        "已发送",
        "已发送邮件",
        "已发邮件",
        "已发件",
        "已发送的邮件",
        "寄件備份",
        "寄件備份匣",
        "送信済みトレイ",
        "送信済みメール",
        "보낸편지함",
        "Gesendet",
        "Gesendete Elemente",
        "Gesendete Objekte",
        "Messages envoyés",
        "Éléments envoyés",
        "Enviados",
        "Elementos enviados",
        "Itens enviados",
        "Posta inviata",
        "Отправленные",
    ),
    "drafts": (
        "Drafts",
        "Draft",
        "草稿箱",
        "草稿",
        "草稿夹",
        "草稿匣",
        "下書き",
        "임시보관함",
        "Entwürfe",
        "Brouillons",
        "Borradores",
        "Rascunhos",
        "Bozze",
        "Черновики",
    ),
    "trash": (
        "Trash",
        "Deleted",
        "Deleted Items",
        "Deleted Messages",
        "已删除",
        "已删除邮件",
        "废件箱",
        "垃圾箱",
        "回收站",
        "刪除的郵件",
        "垃圾桶",
        "ゴミ箱",
        "削除済みアイテム",
        "휴지통",
        "Papierkorb",
        "Gelöschte Elemente",
        "Corbeille",
        "Éléments supprimés",
        "Papelera",
        "Elementos eliminados",
        "Lixeira",
        "Cestino",
        "Удаленные",
        "Корзина",
    ),
    "junk": (
        "Junk",
        "Spam",
        "Junk E-mail",
        "Junk Email",
        "Bulk Mail",
        "垃圾邮件",
        "垃圾电子邮件",
        "垃圾郵件",
        "迷惑メール",
        "스팸편지함",
        "Spamverdacht",
        "Courrier indésirable",
        "Indésirables",
        "Correo no deseado",
        "Lixo eletrônico",
        "Posta indesiderata",
        "Спам",
        "Нежелательная почта",
    ),
    "archive": ("Archive", "Archives", "存档", "归档", "封存", "アーカイブ", "Archiv"),
}
