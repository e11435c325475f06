"""The messages to try with: each has its envelope, and is what it claims to be."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path

from fsm.mail.content import improper
from fsm.mail.demo.samples import FILES, SAMPLES, fresh, large

README = Path(__file__).parents[3] / "examples" / "mail" / "README.md"


def test_every_message_is_a_sample() -> None:
    names = {file.name.removesuffix(".eml") for file in FILES.iterdir() if file.name.endswith(".eml")}
    assert names == {sample.name for sample in SAMPLES} | {"large"}


def test_the_readme_describes_each() -> None:
    text, place = README.read_text(), "../../fsm/mail/demo/messages"
    assert [s.name for s in SAMPLES if f"| [{s.name}]({place}/{s.name}.eml) | {s.about} |" not in text] == []


def test_each_is_a_message_that_a_strict_parser_takes() -> None:
    for sample in [*SAMPLES, large(100_000, 1)]:
        parsed = email.message_from_bytes(sample.content, policy=email.policy.default)
        assert [part.defects for part in parsed.walk() if part.defects] == [], sample.name
        assert parsed["Message-ID"] == sample.message_id
        assert improper(sample.content) is None, sample.name
        assert max(map(len, sample.content.split(b"\r\n"))) <= 998


def test_there_is_one_of_each_kind() -> None:
    kinds = {
        "smtputf8": any(sample.smtputf8 for sample in SAMPLES), "8bit": any(sample.eight_bit and not sample.smtputf8 for sample in SAMPLES),
        "998": any(len(line) == 998 for sample in SAMPLES for line in sample.content.split(b"\r\n")),
        "dots": any(b"\r\n.\r\n" in sample.content for sample in SAMPLES), "no end": any(sample.arrives != sample.content for sample in SAMPLES),
        "null": any(not sample.sender for sample in SAMPLES), "several": any(len(sample.recipients) > 1 for sample in SAMPLES),
        "nested": any(b"message/rfc822" in sample.content for sample in SAMPLES), "image": any(b"image/png" in sample.content for sample in SAMPLES),
    }  # fmt: skip
    assert [kind for kind, there in kinds.items() if not there] == []


def test_the_attached_picture_is_one() -> None:
    sample = next(sample for sample in SAMPLES if sample.name == "attachment")
    (picture,) = email.message_from_bytes(sample.content, policy=email.policy.default).iter_attachments()
    assert picture.get_content().startswith(b"\x89PNG\r\n\x1a\n")


def test_fresh_ones_have_message_ids_that_were_never_there() -> None:
    ids = [sample.message_id for _ in range(3) for sample in fresh(2 * len(SAMPLES))]
    assert len({*ids}) == len(ids) == 6 * len(SAMPLES)
    assert all(sample.message_id.encode() in sample.content for sample in fresh(len(SAMPLES)))


def test_large_ones_are_as_large_as_asked_and_the_same_for_the_same_seed() -> None:
    for size in (10_000, 1_000_000, 5_000_000):
        assert abs(len(large(size, 1).content) - size) < size * 0.05
    assert large(10_000, 1) == large(10_000, 1) != large(10_000, 2)
    sizes = [len(sample.content) for sample in fresh(9, large_every=3, size=50_000)]
    assert [size > 40_000 for size in sizes] == [False, False, True] * 3
