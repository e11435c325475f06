"""The folder for the sockets of running stores: this user's alone, with a path short enough for a socket.

`$XDG_RUNTIME_DIR/fsm`, or `fsm-UID` in the folder for temporary files.  In it are the bells (`bell.py`) and what
`fsm stores` asks (`fsm/mail/control.py`).
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from fsm.store.errors import RuntimeFolderError

__all__ = ["runtime_folder"]

LONGEST: Final = 72
"""Bytes of its path, so that there is room for a name in the 104 that every system gives a socket's path."""


def runtime_folder() -> Path:
    """The folder, made with mode 0700 when it is not there.  RuntimeFolderError."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = runtime and len(os.fsencode(runtime)) < LONGEST and Path(runtime).is_dir()
    folder = Path(runtime, "fsm") if usable else Path(tempfile.gettempdir(), f"fsm-{os.getuid()}")
    if len(os.fsencode(folder)) > LONGEST:
        raise RuntimeFolderError(f"{folder} has too long a name for sockets; set a shorter XDG_RUNTIME_DIR or TMPDIR")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise RuntimeFolderError(f"cannot make the folder {folder}: {error.strerror}; set XDG_RUNTIME_DIR") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RuntimeFolderError(f"{folder} is not a folder of this user's alone; remove it, or set XDG_RUNTIME_DIR")
    return folder
