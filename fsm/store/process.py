"""What becomes of open stores when their process forks, and when it ends.

Theory.
1. A forked child has its parent's memory and none of its threads.  Its copy of a store would wait for ever for a
   commit, or for a lock that a thread of the parent held, and would write to the parent's connections.  So each use of
   the copy raises at once.  The copy itself is kept until the child ends: to close its connections would close the
   parent's.
2. A store that is still open when the interpreter exits is let go, so that its peers need not find out.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import Any, Final, NoReturn
from weakref import WeakKeyDictionary

__all__ = ["check_process", "in_each_child", "until_exit"]

_open: Final[WeakKeyDictionary[Any, tuple[str, Callable[[Any], object]]]] = WeakKeyDictionary()
_in_child: Final[list[Callable[[], object]]] = []
_kept: Final[list[object]] = []


def check_process(what: str, pid: int) -> None:
    """Raise RuntimeError unless this is the process with this number, to which `what` belongs."""
    if (here := os.getpid()) != pid:
        raise RuntimeError(
            f"{what} belongs to process {pid} and cannot be used in its child {here}: open a store after the fork, "
            "with gunicorn in post_fork, with Celery in worker_process_init"
        )


def until_exit(store: object, what: str, at_exit: Callable[[Any], object]) -> None:
    """Make each use of the store's attributes raise in forked children, and call `at_exit(store)` at the exit."""
    _open[store] = what, at_exit


def in_each_child(callback: Callable[[], object]) -> Callable[[], object]:
    """Call this in each forked child, before the fork returns there.  A decorator."""
    _in_child.append(callback)
    return callback


class _Elsewhere:
    """Stands in a forked child for each attribute of its parent's store."""

    __slots__ = ("__pid", "__what")

    def __init__(self, what: str, pid: int) -> None:
        self.__what, self.__pid = what, pid

    def __getattr__(self, name: str) -> NoReturn:
        check_process(self.__what, self.__pid)
        raise AttributeError(name)


def _forked() -> None:
    for store, (what, _) in _open.items():
        attributes = vars(store)
        _kept.append(dict(attributes))
        attributes.update(dict.fromkeys(attributes, _Elsewhere(what, os.getppid())))
    _open.clear()
    for callback in _in_child:
        callback()


def _exiting() -> None:
    for store, (_, at_exit) in [*_open.items()]:
        at_exit(store)


os.register_at_fork(after_in_child=_forked)
atexit.register(_exiting)
