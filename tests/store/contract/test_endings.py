"""The contract of how items end, where their storage or their store is not there any more to keep it."""

from __future__ import annotations

import pytest

from fsm.store import Store
from tests.store.conftest import Place


@pytest.mark.parametrize("beyond", [False, True], ids=["sent", "hung up after the final dot"])
@pytest.mark.parametrize("policy", ["resend", "hold"])
def test_an_item_that_ends_after_the_store_was_let_go_is_uncertain_and_says_so(
    database: Place, policy: str, beyond: bool, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(database.new(), uncertain=policy)
    id = store.submit(b"x")
    queue = store.outgoing()
    item = next(queue)
    try:
        with item:
            assert item.unrecorded is None
            store.let_go()
            if beyond:
                item.past_no_return()
                raise OSError("hung up")
    except OSError:
        assert beyond
    assert str(item.unrecorded) == "the store was let go before; whether it arrived counts as uncertain"
    assert f"the outcome of {id} is not recorded: {item.unrecorded}" in caplog.text
    assert store.blockers() == ()
    assert next(queue, None) is None
    again = Store(database.new(), uncertain=policy)
    (kept,) = again.messages()
    assert (kept.id, kept.state, kept.uncertain) == (id, "ready" if policy == "resend" else "held", 1)
    again.let_go()
