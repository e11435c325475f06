"""The Maildir: each message is there wholly or not at all, once under one name; an error is one sentence."""

from __future__ import annotations

import mailbox
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fsm.mail.errors import MaildirError
from fsm.mail.maildir import STALE, Maildir

WORDS = b"Subject: x\r\n\r\n.hello\r\n"


def test_a_message_is_stored_whole_with_the_lines_of_this_system(tmp_path: Path) -> None:
    inbox = Maildir(tmp_path / "inbox")
    name = inbox.store(WORDS)
    (file,) = inbox.messages()
    assert (file, file.read_bytes()) == (tmp_path / "inbox" / "new" / name, WORDS.replace(b"\r\n", b"\n"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert list((tmp_path / "inbox" / "tmp").iterdir()) == []


def test_other_programs_read_it_as_a_maildir(tmp_path: Path) -> None:
    inbox = Maildir(tmp_path)
    names = {inbox.store(b"Subject: %d\r\n\r\n" % number) for number in range(5)}
    box = mailbox.Maildir(str(tmp_path), create=False)
    assert {*box.keys()} == names
    assert sorted(message["Subject"] for message in box) == list("01234")


@pytest.mark.parametrize("seen", ["", ":2,S", ":2,"])
@pytest.mark.parametrize("where", ["new", "cur"])
def test_the_same_name_is_stored_once_also_after_a_reader_has_seen_it(where: str, seen: str, tmp_path: Path) -> None:
    inbox = Maildir(tmp_path)
    assert inbox.store(WORDS, name="report-1") == "report-1"
    if where == "cur":
        (tmp_path / "new" / "report-1").rename(tmp_path / "cur" / f"report-1{seen}")
    assert inbox.store(b"another", name="report-1") == "report-1"
    (file,) = inbox.messages()
    assert file.read_bytes() == WORDS.replace(b"\r\n", b"\n")
    inbox.store(WORDS, name="report-10")
    assert len(inbox.messages()) == 2


def test_many_threads_store_the_same_name_once_and_their_own_each(tmp_path: Path) -> None:
    inbox = Maildir(tmp_path)

    def work() -> None:
        inbox.store(WORDS, name="same")
        inbox.store(WORDS)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inbox.messages()) == 17
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["a/b", "..", ".a", "a:2,S"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a name in a Maildir"):
        Maildir(tmp_path).store(WORDS, name=name)


def test_what_a_crash_left_is_swept_when_it_is_nobody_s_any_more(tmp_path: Path) -> None:
    Maildir(tmp_path)
    old, young = tmp_path / "tmp" / "old", tmp_path / "tmp" / "young"
    old.touch()
    young.touch()
    os.utime(old, (old.stat().st_mtime - STALE - 60,) * 2)
    Maildir(tmp_path)
    assert list((tmp_path / "tmp").iterdir()) == [young]


def test_the_folder_and_the_file_are_made_durable_before_it_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, synced, real = Maildir(tmp_path), [], os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    inbox.store(WORDS)
    inbox.store(WORDS, name="a")
    inbox.store(WORDS, name="a")  # whoever stored it may have been cut before the folder was durable
    folders = [Path(path).name if Path(path).name == "new" else Path(path).parent.name for path in synced]
    assert folders == ["tmp", "new", "tmp", "new", "new"]


@pytest.mark.parametrize("part", ["", "new", "tmp"])
def test_a_file_in_the_way_is_one_sentence(part: str, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / part if part else tmp_path / "inbox").rmdir() if not part else None
    (tmp_path / "inbox" / part).touch()
    with pytest.raises(MaildirError, match="cannot store in the inbox"):
        Maildir(tmp_path / "inbox")


def test_trouble_stores_nothing_and_says_to_try_later(tmp_path: Path) -> None:
    inbox = Maildir(tmp_path)
    (tmp_path / "new").rmdir()
    (tmp_path / "new").touch()
    with pytest.raises(MaildirError) as caught:
        inbox.store(WORDS)
    assert caught.value.smtp.startswith("451 4.3.0")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_could_not_be_made_durable_is_not_there_when_it_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, real = Maildir(tmp_path), os.fsync

    def fail(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path / "new":
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    for name in (None, "report-1"):
        for _ in range(3):
            with pytest.raises(MaildirError, match="Input/output error"):
                inbox.store(WORDS, name=name)
        assert len(inbox.messages()) == (name is not None)  # under its own name the next try finds it
    monkeypatch.setattr(os, "fsync", real)
    inbox.store(WORDS)
    inbox.store(WORDS, name="report-1")
    assert len(inbox.messages()) == 2


def test_a_folder_without_hard_links_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    inbox = Maildir(tmp_path)
    inbox.store(WORDS)
    for _ in range(2):
        inbox.store(WORDS, name="report-1")
    assert [file.read_bytes() for file in inbox.messages()] == [WORDS.replace(b"\r\n", b"\n")] * 2
    assert list((tmp_path / "tmp").iterdir()) == []


def test_no_room_is_said_as_such_and_leaves_nothing(tmp_path: Path) -> None:
    program = f"""
import resource
from fsm.mail.errors import MaildirError
from fsm.mail.maildir import Maildir
inbox = Maildir({str(tmp_path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    inbox.store(b"x" * 5000)
except MaildirError as error:
    print(error.full, error.smtp)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True 452 4.3.1")
    assert [file for part in ("tmp", "new") for file in (tmp_path / part).iterdir()] == []
