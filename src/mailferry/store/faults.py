"""What the store refuses, and what it cannot do: every exception that leaves this room."""

from __future__ import annotations

from mailferry.model.account import Event, Phase


class StoreUnavailable(Exception):
    """The database could not be asked or could not keep what was said.

    The text is one clear line for the operator that says what to do. Nothing of the transaction
    happened, except where the line says that a commit went unanswered.
    """


class StoreRefusal(Exception):
    """The database is well; what was asked does not fit what it holds."""


class SettledRefusal(StoreRefusal):
    """A refusal whose transaction is committed all the same: what it met on the way was put right."""


class Conflict(StoreRefusal):
    """Somebody else was first: the epoch or version that the caller saw is no longer the stored one."""


class NotAllowed(StoreRefusal):
    """No transition leads from the account's phase by this event."""

    def __init__(self, phase: Phase, event: Event) -> None:
        super().__init__(f"{event.value} does not apply to an account in phase {phase.value}")
        self.phase = phase
        self.event = event


class Unknown(StoreRefusal):
    """No row of that id or name."""


class AlreadyThere(StoreRefusal):
    """A row of that name exists."""


class Moved(SettledRefusal):
    """The account changed phase or epoch since the caller read it: read it again and decide anew."""

    def __init__(self, phase: Phase, epoch: int) -> None:
        super().__init__(f"the account is now in phase {phase.value}, epoch {epoch}")
        self.phase = phase
        self.epoch = epoch


class Held(StoreRefusal):
    """No session may open just now: the account is frozen or drained until `until` (database clock)."""

    def __init__(self, until: float, wait: float) -> None:
        super().__init__("the account is held for its cutover")
        self.until = until
        self.wait = wait
        """Seconds from now until `until`, never below zero."""


class StillOpen(StoreRefusal):
    """The account has sessions left, so that it can be neither frozen nor moved to the other side."""

    def __init__(self, sessions: int) -> None:
        super().__init__(f"{sessions} sessions are still open")
        self.sessions = sessions


class LeaseLost(StoreRefusal):
    """The lease expired, was taken by another node or its node was declared dead: write nothing more."""


class NodeVoid(StoreRefusal):
    """The node's row is gone: the process was declared dead and must end its sessions and itself."""
