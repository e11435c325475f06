"""A private systemd: process 1 of namespaces of its own, in a root folder of its own; nothing of the system's is touched.

It sees the system's programs, this Python as /usr/local/python and this checkout as `fsm` in /usr/local/bin, and of units only
the system's targets and those it is given.  Its network is a loopback that nobody else has, so any port is free.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.support import program

PROGRAM = "/lib/systemd/systemd"
TARGETS = Path("/usr/lib/systemd/system")
ENTER = ("nsenter", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--target")
SPACES = ("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child")
BOOT = """\
set -e
cd "$1"
mount --bind . .
cd "$PWD"
mount --rbind /usr usr
mount --options remount,bind,ro usr
mount --bind local usr/local
mount --bind "$2" usr/local/python
mount --bind "$3" usr/local/packages
mount --bind "$4" usr/local/checkout
mount --types tmpfs tmpfs dev
for one in null zero full random urandom tty; do touch dev/$one; mount --bind /dev/$one dev/$one; done
ln --symbolic pts/ptmx dev/ptmx
mount --rbind /sys sys
umount --recursive --lazy sys/fs/cgroup
mount --types cgroup2 cgroup2 sys/fs/cgroup
mount --types proc proc proc
mount --bind proc/sys proc/sys
mount --options remount,bind,ro proc/sys
mount --types tmpfs --options mode=755 tmpfs run
pivot_root . old
umount --lazy old
ip link set lo up
exec env container=test SYSTEMD_UNIT_PATH=/etc/systemd/system SYSTEMD_GENERATOR_PATH=/none NOTIFY_SOCKET=/notify {program}
"""
FSM = """\
#!/bin/sh
export LD_LIBRARY_PATH=/usr/local/python/lib PYTHONPATH=/usr/local/checkout:/usr/local/packages PYTHONDONTWRITEBYTECODE=1
exec /usr/local/python/bin/{python} -m fsm.cli "$@"
"""
LIBC = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12
NETWORK = 0x4000_0000
"""CLONE_NEWNET of setns(2)."""


class NoSystemd(Exception):
    """It cannot be run here, and why."""


class Systemd:
    """A running systemd: its `root`, as it is seen from outside, and `pid`, what its process 1 is here."""

    def __init__(self, root: Path, pid: int) -> None:
        self.root, self.pid = root, pid

    def command(self, *words: str) -> list[str]:
        """Return a command that runs these words where systemd is."""
        return [*ENTER, str(self.pid), *words]

    def ctl(self, *words: str) -> str:
        """Run systemctl, and return what it prints."""
        ended = subprocess.run(self.command("systemctl", *words), capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def shows(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.ctl("show", "--value", "--property", name, unit).strip()

    def until(self, unit: str, name: str, holds: Callable[[str], bool]) -> str:
        """Return a property of a unit as soon as this holds for it."""
        for _ in range(1_000):
            if holds(value := self.shows(unit, name)):
                return value
        raise TimeoutError(f"{name} of {unit} stays {value}")

    def connect(self, port: int) -> socket.socket:
        """Connect to a port of its loopback."""
        with ThreadPoolExecutor(1) as thread:  # which enters its network, and ends
            return thread.submit(self._connect, port).result()

    def _connect(self, port: int) -> socket.socket:
        with Path(f"/proc/{self.pid}/ns/net").open() as network:
            assert LIBC.setns(network.fileno(), NETWORK) == 0, os.strerror(ctypes.get_errno())
        return socket.create_connection(("127.0.0.1", port), timeout=120)


def _cgroups() -> Path | None:
    """Where the cgroups of version 2 are."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(folder)
    return None


def missing() -> str | None:
    """What is missing to run it, or None."""
    if not Path(PROGRAM).exists():
        return "systemd is not installed (apt-get install systemd)"
    if os.geteuid() != 0:
        return "a private systemd is started by root only"
    if (cgroups := _cgroups()) is None or not os.access(cgroups, os.W_OK):
        return "there are no cgroups (version 2) that can be written"
    tried = subprocess.run([*SPACES, "true"], capture_output=True, text=True)
    return f"this container may not make namespaces: {tried.stderr.strip()}" if tried.returncode else None


@contextmanager
def systemd(users: dict[str, int], files: dict[str, str]) -> Iterator[Systemd]:
    """Boot it with these users and files; it is killed at the end of the block, with all that it started.  NoSystemd.

    What a unit writes into /log is shown if the block fails.
    """
    if (lack := missing()) is not None:
        raise NoSystemd(lack)
    group = _cgroups()
    assert group is not None
    group /= f"fsm-test-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="systemd") as name:
        root = Path(name)
        root.chmod(0o755)
        _furnish(root, users, files)
        places = (str(root), sys.base_prefix, sysconfig.get_path("purelib"), str(Path(__file__).parents[2]))
        boot = ("sh", "-c", 'echo $$ > "$0"/cgroup.procs; exec "$@"', str(group), *SPACES, "sh", "-c", BOOT.format(program=PROGRAM), "boot", *places)
        group.mkdir()
        try:
            with _bound(root / "notify") as told, program(*boot) as process:
                _wait(told, process)
                (pid,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
                try:
                    yield Systemd(root, pid)
                except BaseException:
                    print((root / "log").read_text() if (root / "log").exists() else "")
                    raise
                finally:
                    os.kill(pid, signal.SIGKILL)
                    process.wait()  # until all that it started is gone
        finally:
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()


def _bound(file: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bound.bind(str(file))
    return bound


def _wait(told: socket.socket, process: subprocess.Popen[str]) -> None:
    """Wait until it has booted, and listen no more: it waits for those who listen and do not read.  NoSystemd."""
    told.settimeout(1)
    for _ in range(120):
        try:
            if "READY=1" in told.recv(4096).decode():
                break
        except TimeoutError:
            if process.poll() is not None:
                raise NoSystemd(f"systemd does not boot here: {' '.join(process.communicate())}") from None
    else:
        raise NoSystemd("systemd does not come up here within two minutes")
    told.close()


def _furnish(root: Path, users: dict[str, int], files: dict[str, str]) -> None:
    folders = "usr local/bin local/python local/packages local/checkout dev sys proc run old tmp root var/lib etc/systemd/system"
    for folder in folders.split():
        (root / folder).mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    for target in TARGETS.glob("*.target"):
        shutil.copy(target, root / "etc/systemd/system")
    shutil.copy("/etc/ld.so.cache", root / "etc")
    users = {"root": 0, **users}
    (root / "etc/passwd").write_text("".join(f"{user}:x:{number}:{number}::/:/bin/sh\n" for user, number in users.items()))
    (root / "etc/group").write_text("".join(f"{user}:x:{number}:\n" for user, number in users.items()))
    (root / "etc/machine-id").write_text("0" * 31 + "1\n")  # without one it would enable all units
    (root / "local/bin/fsm").write_text(FSM.format(python=f"python3.{sys.version_info.minor}"))
    (root / "local/bin/fsm").chmod(0o755)
    for file, text in files.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
