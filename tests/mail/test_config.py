"""Settings: an error is one sentence before anything is opened.  Users and their passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fsm.mail import auth
from fsm.mail.auth import Users, new_entry
from fsm.mail.config import Address, Config, Limits, Smarthost
from fsm.mail.errors import ConfigError, UsersError
from fsm.mail.owners import MailboxSettings

PEM = Path(__file__).with_name("localhost.pem")
HERE = Address.parse("127.0.0.1:0", "x", listening=True)
EVERYWHERE = Address.parse("0.0.0.0:25", "x", listening=True)


# ---------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(("text", "expected", "ip", "loopback"), [
    ("127.0.0.1:8025", "127.0.0.1:8025", "127.0.0.1", True), ("localhost:0", "127.0.0.1:0", "127.0.0.1", True),
    ("localhost:25", "localhost:25", "127.0.0.1", True), ("[::1]:8025", "[::1]:8025", "::1", True), ("127.9.9.9:1", "127.9.9.9:1", "127.9.9.9", True),
    ("0.0.0.0:25", "0.0.0.0:25", "0.0.0.0", False), ("[::]:25", "[::]:25", "::", False), ("192.0.2.1:25", "192.0.2.1:25", "192.0.2.1", False),
    (" 127.0.0.1:1 ", "127.0.0.1:1", "127.0.0.1", True),
])  # fmt: skip
def test_an_address_is_resolved_before_it_is_judged(text: str, expected: str, ip: str, loopback: bool) -> None:
    address = Address.parse(text, "--inbound", listening=True)
    assert (str(address), address.ip, address.loopback) == (expected, ip, loopback)


@pytest.mark.parametrize("text", [
    "", "25", ":25", "localhost", "localhost:", "localhost:smtp", "localhost:-1", "localhost:65536", "localhost:9999999999", "::1:25", "[::1]25",
    "localhost:٢٥", "nowhere.invalid:25", "a" * 300 + ":25", "[nothing]:25", "a b:25", "\0:25",
])  # fmt: skip
def test_what_is_no_address_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--inbound") as caught:
        Address.parse(text, "--inbound", listening=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["nowhere.invalid:25", "mail.example.invalid:587"])
def test_a_smarthost_may_be_unknown_for_now(text: str) -> None:
    address = Address.parse(text, "--smarthost", listening=False)
    assert (str(address), address.ip, address.loopback) == (text, "", False)


def test_the_plan_without_a_smarthost_has_no_two_equal_steps() -> None:
    plan = Config(Path("x"), inbound=HERE).closing_plan
    assert [str(step) for step in plan.steps] == ["ORDERLY 25s", "cancel 3s"]


def test_port_0_is_for_listening_only() -> None:
    with pytest.raises(ConfigError, match="1 to 65535"):
        Address.parse("localhost:0", "--smarthost", listening=False)


# ----------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, "nothing to do"),
    ({"inbound": EVERYWHERE}, "TLS"), ({"inbound": EVERYWHERE}, "authentication"), ({"inbound": EVERYWHERE}, "the owners of its mail"),
    ({"submission": EVERYWHERE, "owners": ("example.org",)}, "authentication"),
    ({"inbound": EVERYWHERE, "mailboxes": (MailboxSettings("a", Path("a"), ("a@b.c",)), MailboxSettings("b", Path("b")))}, "authentication"),
    ({"submission": EVERYWHERE, "certificate": PEM}, "authentication"),
    ({"submission": EVERYWHERE, "users_file": PEM}, "TLS"), ({"inbound": HERE, "users_file": PEM}, "over TLS only"),
    ({"inbound": Address("a", 25, "127.0.0.1"), "submission": Address("a", 25, "127.0.0.1")}, "cannot both be"),
    ({"inbound": HERE, "connections": 0}, "1 to 1000"), ({"inbound": HERE, "connections": 1001}, "1 to 1000"),
    ({"inbound": HERE, "hostname": "a b"}, "host name"), ({"inbound": HERE, "hostname": "a\r\nb"}, "host name"), ({"inbound": HERE, "hostname": ""}, "host name"),
    ({"inbound": HERE, "retry": (0, 1, 1)}, "retry"), ({"inbound": HERE, "retry": (2, 1, 1)}, "retry"), ({"inbound": HERE, "retry": (1, 0.5, 1)}, "retry"),
    ({"inbound": HERE, "retry": (1, float("nan"), 1)}, "retry"), ({"inbound": HERE, "give_up": 0}, "some time"), ({"inbound": HERE, "give_up": float("nan")}, "some time"),
])  # fmt: skip
def test_settings_that_cannot_be_meant_are_one_sentence(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        Config(Path("x"), **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [
    ("size", 1), ("sessions", 0), ("recipients", 99), ("rate", -1), ("errors", 0), ("idle", 0.5), ("idle", float("inf")), ("idle", float("nan")),
])  # fmt: skip
def test_limits_have_limits(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"the limit {name} is at least"):
        Limits(**{name: value})


@pytest.mark.parametrize("changes", [
    {"address": EVERYWHERE, "user": "u", "password": "p"}, {"user": "u"}, {"user": "", "password": "p"}, {"user": "u", "password": "a\0b"},
    {"timeout": 0}, {"timeout": float("inf")},
])  # fmt: skip
def test_a_smarthost_is_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Smarthost(**({"address": HERE} | changes))


def test_mail_for_named_owners_may_come_from_everywhere(tmp_path: Path) -> None:
    assert Config(tmp_path, inbound=EVERYWHERE, owners=("example.org",)).public
    assert Config(tmp_path, inbound=EVERYWHERE, mailboxes=(MailboxSettings("a", Path("a"), ("a@b.c",)),)).public


def test_beyond_the_loopback_with_both_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(new_entry("joe", "secret") + "\n")
    config = Config(tmp_path, inbound=EVERYWHERE, certificate=PEM, users_file=tmp_path / "users")
    assert config.tls is not None
    assert config.users is not None


@pytest.mark.parametrize(("content", "expected"), [(None, "cannot read"), ("no certificate", "no certificate with its key"), ("", "no certificate with its key")])
def test_a_wrong_certificate_is_one_sentence(content: str | None, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "c.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=expected):
        _ = Config(tmp_path, inbound=HERE, certificate=file).tls
    with pytest.raises(ConfigError, match="needs its certificate"):
        _ = Config(tmp_path, inbound=HERE, key=file).tls


# -------------------------------------------------------------------------------------------------------- users


def test_a_password_opens_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"# who\n\n{new_entry('joe', 'secret')}\n{new_entry('zoë', 'pässword')}\n")
    known = Users(tmp_path / "users")
    assert known.accepts(b"joe", b"secret")
    assert known.accepts("zoë".encode(), "pässword".encode())
    for name, password in ((b"joe", b"Secret"), (b"joe", b""), (b"ann", b"secret"), (b"", b""), (b"joe\0", b"secret"), (b"\xff", b"\xff")):
        assert not known.accepts(name, password)
    assert new_entry("joe", "secret") != new_entry("joe", "secret")  # salted


@pytest.mark.parametrize("line", [
    "joe", "joe:plain:secret", "joe:scrypt:16384:8:1:AAAA", "joe:scrypt:x:8:1:AAAAAAAAAAAAAAAA:AAAA", "joe:scrypt:16384:8:1:????:AAAA",
    "joe:scrypt:1000:8:1:AAAAAAAAAAAAAAAAAAAAAA==:" + "A" * 43 + "=", "joe:scrypt:1073741824:8:1:AAAAAAAAAAAAAAAAAAAAAA==:" + "A" * 43 + "=",
    "joe:scrypt:16384:8:1:AAAA:" + "A" * 43 + "=", "joe:scrypt:16384:8:1:AAAAAAAAAAAAAAAAAAAAAA==:AAAA", ":scrypt:16384:8:1:AAAA:AAAA",
])  # fmt: skip
def test_a_line_that_is_none_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"# first\n{line}\n")
    with pytest.raises(UsersError, match="line 2: "):
        Users(tmp_path / "users")


def test_a_file_of_nobody_or_of_one_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "users"
    for content, expected in ((b"", "names nobody"), (b"# x\n", "names nobody"), (f"{new_entry('j', 'x')}\n{new_entry('j', 'y')}".encode(), "twice"), (b"\xff", "cannot read")):
        file.write_bytes(content)
        with pytest.raises(UsersError, match=expected):
            Users(file)
    with pytest.raises(ConfigError, match="cannot read"):
        _ = Config(tmp_path, inbound=HERE, users_file=tmp_path / "none", certificate=PEM).users


def test_files_that_everybody_may_write_are_refused_with_the_mode_to_set(tmp_path: Path) -> None:
    users, pem = tmp_path / "users", tmp_path / "c.pem"
    users.write_text(new_entry("joe", "secret") + "\n")
    pem.write_bytes(PEM.read_bytes())
    config = Config(tmp_path, inbound=HERE, users_file=users, certificate=pem)
    for file, read in ((users, lambda: config.users), (pem, lambda: config.tls)):
        assert read() is not None
        file.chmod(0o666)
        with pytest.raises(ConfigError, match=r"can be written by everybody, .*chmod o-w"):
            read()


@pytest.mark.parametrize(("name", "password"), [("", "x"), ("a:b", "x"), ("#a", "x"), (" a", "x"), ("a\nb", "x"), ("a", "")])
def test_some_names_and_no_password_make_no_entry(name: str, password: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be empty|is printable"):
        new_entry(name, password)


def test_a_name_that_is_not_there_costs_as_much_as_one_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users").write_text(new_entry("joe", "secret"))
    known, costs, real = Users(tmp_path / "users"), [], auth._hashed
    monkeypatch.setattr(auth, "_hashed", lambda password, salt, cost: (costs.append(cost), real(password, salt, cost))[1])
    known.accepts(b"joe", b"wrong")
    known.accepts(b"nobody", b"wrong")
    assert costs == [auth.COST, auth.COST]
