"""Every sentence of the text rests somewhere: in rows of the chart, in named tests, or it is documentation."""

from __future__ import annotations

import importlib

import pytest

from fsm.logoff import LOGOFF
from fsm.logoff.citations import SENTENCES

DOCUMENTATION = {"S26", "S27", "S37", "S38", "S62", "S63", "S66", "S86"}
"""They describe or point elsewhere; S66 says again what S30 and S65 do."""

SESSION = "test_session.test_one_flag_in_and_the_status_out"
WRONG = "test_session.test_a_wrong_word_is_refused_with_mapis_code_and_changes_nothing"
OUTPUT = "test_session.test_status_is_the_output_everywhere"
STORE = "test_handles."
AT_ONCE = STORE + "test_with_one_reference_store_logoff_acts_at_once"
SAVED = STORE + "test_with_several_references_the_flag_is_saved_and_the_last_one_wins"
NEVER = STORE + "test_release_without_a_logoff_asks_for_abort"
ONCE = STORE + "test_any_clients_in_any_order_end_with_the_four_steps_once"
OVER = STORE + "test_after_complete_everything_but_release_fails"

TESTS = {
    "S1": "test_properties.test_complete_can_be_reached_from_everywhere_and_every_drain_ends",
    "S2": SESSION, "S3": SESSION, "S4": WRONG, "S17": OUTPUT, "S18": OUTPUT, "S21": OVER, "S22": OUTPUT,
    "S23": OUTPUT, "S24": OUTPUT, "S25": SESSION, "S28": "test_properties.test_every_property_over_the_whole_graph",
    "S29": SESSION, "S30": AT_ONCE, "S31": NEVER, "S32": AT_ONCE, "S33": NEVER, "S34": SESSION, "S35": SAVED,
    "S36": AT_ONCE, "S39": SESSION, "S40": SESSION, "S41": WRONG, "S42": "test_session.test_the_words_are_mapis",
    "S57": OUTPUT, "S58": OUTPUT, "S59": OUTPUT, "S60": OUTPUT, "S61": SESSION,
    "S64": STORE + "test_the_callers_handle_goes_at_once_and_the_session_stays_for_the_other",
    "S65": SAVED, "S67": SAVED, "S68": NEVER, "S69": ONCE, "S70": ONCE, "S71": AT_ONCE, "S72": NEVER, "S73": AT_ONCE,
    "S74": AT_ONCE, "S75": ONCE, "S76": ONCE, "S77": ONCE, "S78": ONCE, "S79": ONCE, "S80": ONCE, "S81": NEVER,
    "S82": NEVER, "S83": AT_ONCE, "S84": ONCE, "S85": NEVER,
}  # fmt: skip
"""Sentences that a test holds by itself, beside (or instead of) the rows that cite them."""

CITED = {sentence: [r.id for r in LOGOFF.rows if sentence in r.cites] for sentence in SENTENCES}


def test_the_sentences_are_numbered_without_a_gap() -> None:
    assert list(SENTENCES) == [f"S{n}" for n in range(1, 87)]
    assert all(SENTENCES.values())


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_rests_in_rows_or_tests_or_is_documentation(sentence: str) -> None:
    rests = bool(CITED[sentence]) or sentence in TESTS
    assert rests is not (sentence in DOCUMENTATION), SENTENCES[sentence]


@pytest.mark.parametrize("name", sorted(set(TESTS.values())))
def test_the_named_tests_are_there(name: str) -> None:
    module, test = name.split(".")
    assert callable(getattr(importlib.import_module(f"tests.logoff.{module}"), test))


def test_every_row_cites_known_sentences_and_gives_a_reason() -> None:
    for row in LOGOFF.rows:
        assert row.cites, row.id
        assert row.why, row.id
        assert [s for s in row.cites if s not in SENTENCES or s in DOCUMENTATION] == [], row.id


# The rows each group of sentences must rest in, after section 7 of spec.md.
GROUPS = [
    (("S5", "S6", "S7", "S8", "S43", "S44", "S45", "S46"), ("open.logoff_abort", "blocked.outbound_sent.last")),
    (("S9", "S48", "S50"), ("open.logoff_no_wait", "draining.outbound_sent.last")),
    (("S10", "S47", "S49"), ("open.logoff_no_wait", "draining.inbound_received")),
    (("S11", "S12", "S51", "S52", "S53"), ("open.logoff_orderly", "draining.inbound_received.last")),
    (("S13", "S14", "S54", "S55"), ("open.logoff_purge", "draining.outbound_sent.last")),
    (("S15", "S16", "S56"), ("open.logoff_quiet",)),
    (("S28",), ("open.logoff_quiet.peers", "draining.peer_closed")),
]


@pytest.mark.parametrize(("sentences", "rows"), GROUPS)
def test_the_groups_rest_where_the_specification_says(sentences: tuple[str, ...], rows: tuple[str, ...]) -> None:
    cited = {sentence for row in rows for sentence in LOGOFF.row(row).cites}
    assert [s for s in sentences if s not in cited] == []
