"""A private OpenSMTPD: its own settings, users, queue and address, on the loopback only; nothing of the system's is touched.

Debian installs it only in place of Postfix, and its paths are compiled in.  So `.ci/system` unpacks the package into `.venv`, and
here it runs in a root folder of its own, with the libraries it needs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.mail.postfix import own_host
from tests.support import program

UNPACKED = Path(__file__).parents[2] / ".venv" / "opensmtpd"
USERS = {"root": 0, "opensmtpd": 64_111, "opensmtpq": 64_112}
"""The users of that folder; outside they are numbers that nobody has."""
SETTINGS = """\
listen on {address} port {port} hostname opensmtpd.example.org
action "on" relay host smtp+notls://{relay}
match for rcpt-to "never@example.net" reject
match for any action "on"
"""
PORT = 2525


class OpenSMTPD(NamedTuple):
    """A running OpenSMTPD: its address."""

    address: str


def missing() -> str | None:
    """What is missing to run it, or None."""
    if not UNPACKED.exists():
        return "OpenSMTPD is not unpacked (make test does it, as root on a machine with apt)"
    return None if os.geteuid() == 0 else "OpenSMTPD is started by root only"


@contextmanager
def opensmtpd(relay: str) -> Iterator[OpenSMTPD]:
    """Run it until the end of the block; it sends all mail to `relay`."""
    address = own_host(79)
    with tempfile.TemporaryDirectory(prefix="opensmtpd") as name:
        root = Path(name)
        root.chmod(0o755)
        _furnish(root, SETTINGS.format(address=address, port=PORT, relay=relay))
        with program("chroot", str(root), "/usr/sbin/smtpd", "-d", "-v") as process:
            log, listening = list[str](), threading.Event()

            def read() -> None:
                assert process.stderr is not None
                for line in process.stderr:  # to the end of the last of its processes
                    log.append(line)
                    if "smtp: will accept" in line:
                        listening.set()
                listening.set()

            reader = threading.Thread(target=read)
            reader.start()
            try:
                listening.wait()
                assert process.poll() is None, "it ended"
                yield OpenSMTPD(f"{address}:{PORT}")
            except BaseException:
                print("".join(log))
                raise
            finally:
                process.terminate()
                reader.join()


def _furnish(root: Path, settings: str) -> None:
    shutil.copytree(UNPACKED, root, symlinks=True, dirs_exist_ok=True)
    loaded = subprocess.run(["ldd", UNPACKED / "usr/sbin/smtpd"], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"/\S+", loaded):
        (root / library[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, root / library[1:])
    for folder in ("tmp", "var/run", "var/spool/smtpd/offline"):
        (root / folder).mkdir(parents=True)
    (root / "etc/passwd").write_text("".join(f"{user}:x:{number}:{number}::/var/lib/opensmtpd/empty:/bin/false\n" for user, number in USERS.items()))
    (root / "etc/group").write_text("".join(f"{user}:x:{number}:\n" for user, number in USERS.items()))
    (root / "etc/smtpd.conf").write_text(settings)
    (root / "var/spool/smtpd").chmod(0o711)
    os.chown(root / "var/spool/smtpd/offline", 0, USERS["opensmtpq"])
    (root / "var/spool/smtpd/offline").chmod(0o770)
