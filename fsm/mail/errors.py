"""The exceptions of the mail server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm.mail import replies

if TYPE_CHECKING:
    from fsm.mail.smtp.client_dialogue import Answer

__all__ = ["CannotServe", "ConfigError", "ControlError", "LinkLost", "MaildirError", "UsersError"]


class ConfigError(Exception):
    """A setting is wrong or unsafe.  The text is one sentence; nothing has been opened."""


class UsersError(ConfigError):
    """The users file cannot be used.  The text is one sentence that names the line."""


class CannotServe(Exception):
    """The server cannot be opened.  The text is one sentence; everything is closed again."""


class ControlError(Exception):
    """No store answers at this socket, or it refuses the request.  The text is one sentence."""


class LinkLost(Exception):
    """The connection to the smarthost was refused or lost, or it did not reply in time.

    `refusal` is the reply by which it ended, if it was one.
    """

    def __init__(self, problem: str, refusal: Answer | None = None) -> None:
        self.refusal = refusal
        super().__init__(problem)


class MaildirError(Exception):
    """The message is not in the Maildir, and no part of it is.  Storing it may be tried again.

    Attributes: `problem` (a sentence), `full` (whether there was no room), `smtp` (the reply to give).
    """

    def __init__(self, problem: str, *, full: bool = False) -> None:
        self.problem, self.full = problem, full
        super().__init__(problem)

    @property
    def smtp(self) -> str:
        """The reply: 452 when there is no room, 451 otherwise.  The client keeps the message and tries again."""
        return replies.NO_ROOM if self.full else replies.CANNOT_WRITE
