"""The users of a port that other computers reach: a file of names and hashed passwords, one a line.

    name:scrypt:N:R:P:SALT:HASH       N, R and P are the cost (RFC 7914), SALT and HASH are base64

Comparing a password takes a time that does not depend on it, and an unknown name takes as long as a known one.
`fsm serve --new-user NAME` prints a line.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fsm.mail.errors import UsersError

__all__ = ["Users", "new_entry", "writable_by_others"]

COST: Final = (1 << 14, 8, 1)
"""N, R, P: 16 MiB and about 50 ms on the machine this was written for."""
MAX_COST: Final = (1 << 18, 16, 8)
LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class _Hash:
    cost: tuple[int, int, int]
    salt: bytes
    hash: bytes

    def matches(self, password: bytes) -> bool:
        return hmac.compare_digest(_hashed(password, self.salt, self.cost), self.hash)


class Users:
    """The users in a file.  UsersError if it cannot be read, or has a malformed line or no users."""

    def __init__(self, file: str | Path) -> None:
        try:
            if problem := writable_by_others(file):
                raise UsersError(f"the users file {problem}")
            lines = Path(file).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsersError(f"cannot read the users file {file}: {reason}") from error
        self._known: dict[bytes, _Hash] = {}
        for number, text in enumerate(lines, 1):
            if not text.strip() or text.startswith("#"):
                continue
            try:
                name, hashed = _parsed(text)
            except ValueError as error:
                advice = "make lines with `fsm serve --new-user NAME`"
                raise UsersError(f"{file}, line {number}: {error}; {advice}") from None
            if name in self._known:
                raise UsersError(f"{file}, line {number}: {name.decode()} is there twice")
            self._known[name] = hashed
        if not self._known:
            raise UsersError(f"the users file {file} names nobody; make lines with `fsm serve --new-user NAME`")
        self._nobody = _Hash(COST, bytes(16), bytes(LENGTH))

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._known

    def accepts(self, name: bytes, password: bytes) -> bool:
        """Return whether there is such a user with this password.  Takes about 50 ms: call it from a thread."""
        return self._known.get(name, self._nobody).matches(password)


def writable_by_others(file: str | Path) -> str | None:
    """Return what is wrong with a file that everybody may write, as the rest of a sentence; None if it is not so."""
    if not Path(file).stat().st_mode & stat.S_IWOTH:
        return None
    return f"{file} can be written by everybody, who could let themselves in; do `chmod o-w {file}`"


def new_entry(name: str, password: str) -> str:
    """Return a line for the file.  ValueError for a name that cannot be used, or an empty password."""
    if not name or not name.isprintable() or ":" in name or name.startswith("#") or name != name.strip():
        raise ValueError(f"a user's name is printable, has no colon and does not begin with #, unlike {name!r}")
    if not password:
        raise ValueError("a password cannot be empty")
    salt = secrets.token_bytes(16)
    n, r, p = COST
    parts = (b64encode(part).decode() for part in (salt, _hashed(password.encode(), salt, COST)))
    return f"{name}:scrypt:{n}:{r}:{p}:{':'.join(parts)}"


def _parsed(text: str) -> tuple[bytes, _Hash]:
    words = text.strip().split(":")
    if len(words) != 7 or not words[0] or words[1] != "scrypt":
        raise ValueError("expected name:scrypt:N:R:P:SALT:HASH")
    try:
        n, r, p = (int(word) for word in words[2:5])
        salt, hashed = (b64decode(word, validate=True) for word in words[5:])
    except ValueError:
        raise ValueError("N, R and P must be numbers, SALT and HASH base64") from None
    cheap = n < 2 or n & (n - 1) or r < 1 or p < 1
    if cheap or any(given > most for given, most in zip((n, r, p), MAX_COST, strict=True)):
        raise ValueError(f"the cost {n}:{r}:{p} is none (N is a power of two; at most {MAX_COST})")
    if len(salt) < 8 or len(hashed) != LENGTH:
        raise ValueError(f"SALT must have 8 bytes or more, and HASH {LENGTH}")
    return words[0].encode(), _Hash((n, r, p), salt, hashed)


def _hashed(password: bytes, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=128 * r * (n + p + 2), dklen=LENGTH)
