"""A private Postfix: its own settings, queue and address, on the loopback only; nothing of the system's is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SERVICES = """\
{address}:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""
SETTINGS = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.example.org
mydestination =
mynetworks = 127.0.0.0/8
relayhost = [{relay_host}]:{relay_port}
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ never@example.net = 550 5.1.1 nobody here }} }}, permit_mynetworks, reject
"""
PORT = 2525


class Postfix(NamedTuple):
    """A running Postfix: its address, and its process, whose children do the work."""

    address: str
    pid: int


def own_host(network: int) -> str:
    """Return an address on the loopback that no other test uses, so no port has to be looked for."""
    pid = os.getpid()
    return f"127.{network}.{pid // 250 % 250 + 1}.{pid % 250 + 1}"


def missing() -> str | None:
    """What is missing to run it, or None."""
    if shutil.which("postfix") is None:
        return "Postfix is not installed (apt-get install postfix)"
    return None if os.geteuid() == 0 else "Postfix is started by root only"


@contextmanager
def postfix(relay: str) -> Iterator[Postfix]:
    """Run it until the end of the block; it sends all mail to `relay`."""
    address = own_host(77)
    host, _, port = relay.rpartition(":")
    with tempfile.TemporaryDirectory(prefix="postfix") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("queue", "data", "config"):
            (folder / part).mkdir()
        shutil.chown(folder / "data", "postfix")
        values = {"folder": folder, "address": address, "port": PORT, "relay_host": host, "relay_port": port}
        (folder / "config" / "main.cf").write_text(SETTINGS.format(**values))
        (folder / "config" / "master.cf").write_text(SERVICES.format(**values))
        started = subprocess.run(["postfix", "-c", folder / "config", "start"], capture_output=True, text=True)
        try:
            assert started.returncode == 0, started.stderr + _log(folder)
            yield Postfix(f"{address}:{PORT}", int((folder / "queue" / "pid" / "master.pid").read_text()))
        except BaseException:
            print(_log(folder))
            raise
        finally:
            subprocess.run(["postfix", "-c", folder / "config", "abort"], capture_output=True)


def _log(folder: Path) -> str:
    return (folder / "log").read_text() if (folder / "log").exists() else ""
