"""Giving up root: bind ports below 1024 and read the key, then become a user who can do neither.

It is done once, when all sockets are bound and before the store is opened.  What is read anew later (SIGHUP) must be
readable for that user.
"""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from fsm.mail.errors import ConfigError

__all__ = ["Identity"]

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and a group to become."""

    user: str
    uid: int
    gid: int

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Parse USER or USER:GROUP.  ConfigError if there is no such user, or it is root, or we are not root."""
        user, colon, group = text.partition(":")
        try:
            entry = pwd.getpwnam(user)
        except (KeyError, ValueError):
            raise ConfigError(f"--run-as: there is no user {user!r}; `adduser --system {user}` makes one") from None
        try:
            gid = grp.getgrnam(group).gr_gid if colon else entry.pw_gid
        except (KeyError, ValueError):
            raise ConfigError(f"--run-as: there is no group {group!r}") from None
        if entry.pw_uid == 0:
            raise ConfigError("--run-as names a user to become instead of root")
        if os.geteuid() not in (0, entry.pw_uid):
            raise ConfigError(f"--run-as: only root can become {user}, and this is another user; leave it out")
        return cls(user, entry.pw_uid, gid)

    def own(self, path: str | os.PathLike[str]) -> None:
        """Give a file that was just created to the user."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)

    def become(self) -> None:
        """Become the user, for good, if we are root.  ConfigError if that user cannot read this package."""
        if os.geteuid() == 0:
            os.initgroups(self.user, self.gid)
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)
            if not os.access(__file__, os.R_OK):  # some modules are loaded when they are first needed
                problem = f"--run-as: {self.user} cannot read {PACKAGE}; install fsm where every user may read it"
                raise ConfigError(problem)
