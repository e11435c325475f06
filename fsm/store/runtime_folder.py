"""The folder for the sockets of running stores, which only this user can access.

It is `$XDG_RUNTIME_DIR/fsm`, or `fsm-UID` in the folder for temporary files.
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
"""Bytes of its path: every system allows 104 for the path of a socket, and a file name has to follow."""


def runtime_folder() -> Path:
    """Return the folder; create it with mode 0700 if it does not exist.  Raise RuntimeFolderError if that fails."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = runtime and len(os.fsencode(runtime)) < LONGEST and Path(runtime).is_dir()
    folder = Path(runtime, "fsm") if usable else Path(tempfile.gettempdir(), f"fsm-{os.getuid()}")
    if len(os.fsencode(folder)) > LONGEST:
        raise RuntimeFolderError(f"the path {folder} is too long for sockets; set a shorter XDG_RUNTIME_DIR or TMPDIR")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise RuntimeFolderError(f"cannot create the folder {folder}: {error.strerror}; set XDG_RUNTIME_DIR") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RuntimeFolderError(f"{folder} is not a private folder of this user; remove it, or set XDG_RUNTIME_DIR")
    return folder
