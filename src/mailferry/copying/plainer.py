"""What a message goes without, because the target would not take it as it is: its date, its keywords, at last both."""

from __future__ import annotations

from collections.abc import Collection

from mailferry.copying.keywords import keywords_of
from mailferry.model.mail import MessageFacts
from mailferry.providers.refused_messages import RefusedMessage
from mailferry.remote.sendable import sendable_flags


class Plainer:
    """The messages of one mailbox that go without something; no message does from the outset."""

    def __init__(self, permanent_flags: Collection[bytes] | None) -> None:
        self._permanent = permanent_flags
        self._flags: dict[frozenset[bytes], tuple[frozenset[bytes], frozenset[bytes]]] = {}
        self._without_date: set[int] = set()
        self._without_keywords: set[int] = set()

    def flags(self, facts: MessageFacts) -> tuple[frozenset[bytes], frozenset[bytes]]:
        """Return the flags that the mailbox permits, and those that it does not."""
        found = self._flags.get(facts.flags)
        if found is None:
            found = self._flags[facts.flags] = sendable_flags(facts.flags, self._permanent)
        return found

    def date(self, facts: MessageFacts) -> bytes | None:
        """Return the date of arrival as it was told, None where the message goes without."""
        return None if facts.uid in self._without_date else facts.internal_date

    def lacks_keywords(self, uid: int) -> bool:
        """Whether a message goes without its keywords."""
        return uid in self._without_keywords

    def with_keywords_again(self, uid: int) -> None:
        """The copy was given what keywords the target takes: nothing is left to do about them."""
        self._without_keywords.discard(uid)

    def make_plainer(self, facts: MessageFacts, meaning: RefusedMessage) -> bool:
        """Take off what a refusal of this meaning may be about; False when it is about the rest, or all was tried."""
        uid, dates, words = facts.uid, self._without_date, self._without_keywords
        keywords = bool(keywords_of(self.flags(facts)[0]))
        if meaning is RefusedMessage.KEYWORDS and keywords and uid not in words:
            words.add(uid)
            return True
        if meaning not in {RefusedMessage.OTHER, RefusedMessage.KEYWORDS}:
            return False
        if uid not in dates and uid not in words:
            dates.add(uid)
            return True
        if uid in dates and (uid in words or not keywords):
            return False
        if uid in dates:
            dates.discard(uid)
            words.add(uid)
        else:
            dates.add(uid)
        return True
