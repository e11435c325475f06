"""Stepping through the page as a person does: links, back and forward, undo, clicks on the picture, paths and play."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fsm.logoff import LOGOFF
from fsm.stepper.terminal import KEYS
from tests.browser.browsers import Watched, logoff_atlas, page_of
from tests.browser.support import WAY, address, event, stands_after, state, status, trail
from tests.small_charts import PLAIN
from tests.support import run

if TYPE_CHECKING:
    from playwright.sync_api import Page

# ------------------------------------------------------------------------------------------------------------- links


def test_a_link_shows_a_situation(explorer: Callable[..., Page]) -> None:
    page = explorer(WAY)
    assert (state(page), trail(page)) == ("draining", WAY)
    assert page.title() == "draining · store-logoff"
    assert status(page) == f"From the link: {LOGOFF.describe(run(WAY).configuration)}."


@pytest.mark.parametrize(
    ("link", "walked", "text"),
    [
        ("submit,outbound_sent,release", "submit",
         "Event 2 of the trace, outbound_sent, is not possible: needs outbound > 0; outbound is 0. The walk stops before it."),
        ("release,submit", "release", "Event 2 of the trace, submit, is not possible: released is final. The walk stops before it."),
        ("submit,nonsense,release", "submit", "Event 2 of the trace: there is no event “nonsense”."),
        ("submit,,release", "submit", "Event 2 of the trace: there is nothing between two commas."),
        ("submit,%3Cscript%3E", "submit", "Event 2 of the trace: there is no event “<script>”."),
        ("submit,%E0%A4%A", "submit", "Event 2 of the trace: there is no event “%E0%A4%A”."),
        ("peer_opened,peer_opened", "peer_opened",
         "Event 2 of the trace, peer_opened, leads beyond this page, to open, peers 2. The walk stops before it."),
    ],
)  # fmt: skip
def test_a_wrong_link_stops_at_the_first_impossible_event(
    explorer: Callable[..., Page], link: str, walked: str, text: str
) -> None:
    page = explorer(link)
    assert (trail(page), status(page)) == (walked, text)
    assert state(page) == run(walked).state


def test_blanks_in_a_link_do_not_matter(explorer: Callable[..., Page]) -> None:
    assert trail(explorer("submit,%20outbound_begin , logoff_orderly")) == WAY


def test_back_and_forward_go_through_what_was_seen(explorer: Callable[..., Page]) -> None:
    page = explorer()
    for name in WAY.split(","):
        event(page, name).click()
    assert address(page) == f"#{WAY}"
    page.go_back()
    assert (trail(page), state(page)) == ("submit,outbound_begin", "open")
    page.keyboard.press("r")  # what was left by going back was not walked in this view
    assert status(page) == "Nothing was undone."
    page.go_back()
    page.go_back()
    assert (trail(page), address(page)) == ("", "")
    for _ in range(3):
        page.go_forward()
    assert (trail(page), state(page)) == (WAY, "draining")


def test_undo_redo_and_jumps(explorer: Callable[..., Page]) -> None:
    page = explorer(WAY)
    page.get_by_role("button", name="Undo").click()
    assert (trail(page), state(page), address(page)) == ("submit,outbound_begin", "open", "#submit,outbound_begin")
    page.keyboard.press("u")
    page.keyboard.press("u")
    page.keyboard.press("u")
    assert (trail(page), status(page)) == ("", "This is the start.")
    page.keyboard.press("r")
    assert trail(page) == "submit"
    page.locator("#trail button").nth(3).click()
    assert (trail(page), state(page)) == (WAY, "draining")
    assert page.evaluate("document.activeElement.textContent") == "logoff_orderly"
    page.locator("#trail button").nth(1).click()
    event(page, "logoff_quiet").click()
    assert (trail(page), state(page)) == ("submit,logoff_quiet", "blocked")
    assert page.locator("#trail .undone").count() == 0
    page.go_back()  # the view before had the old trail, with its undone events
    assert page.locator("#trail .undone").all_inner_texts() == ["outbound_begin", "logoff_orderly"]
    page.keyboard.press("0")
    assert (trail(page), address(page)) == ("", "")


def test_an_address_typed_into_the_page_is_followed(explorer: Callable[..., Page]) -> None:
    page = explorer()
    page.evaluate("location.hash = 'submit,logoff_quiet'")
    stands_after(page, 2)
    assert state(page) == "blocked"


# -------------------------------------------------------------------------------------------------- refusals and the edge


def test_a_refused_event_says_why_and_changes_nothing(explorer: Callable[..., Page]) -> None:
    page = explorer("submit")
    event(page, "outbound_sent").click(force=True)
    assert status(page) == "outbound_sent is not possible: needs outbound > 0; outbound is 0."
    assert (trail(page), address(page)) == ("submit", "#submit")
    assert event(page, "outbound_sent").get_attribute("aria-disabled") == "true"


def test_an_event_that_leads_out_of_the_bounds_is_shown_as_such(explorer: Callable[..., Page]) -> None:
    page = explorer("submit,submit")
    assert event(page, "submit").locator(".detail").inner_text() == "leads beyond this page, to open, ready 3"
    assert event(page, "submit").get_attribute("data-kind") == "beyond"
    event(page, "submit").click(force=True)
    assert "leads beyond this page, to open, ready 3." in status(page)
    assert trail(page) == "submit,submit"
    edge = page.locator("#edge").inner_text()
    assert edge.startswith("This page holds 408 configurations, within inbound <= 2, ")
    assert "347 steps are cut off" in edge


# ------------------------------------------------------------------------------------------------ pictures and the table


def test_lines_arrows_and_rows_can_be_clicked(explorer: Callable[..., Page]) -> None:
    page = explorer()
    page.get_by_role("radio", name="Every condition").check()
    page.locator("[id='t-open.submit'] text").click()
    assert trail(page) == "submit"
    page.locator("[id='t-open.outbound_begin'] text").first.click()
    page.get_by_role("radio", name="In brief").check()
    page.locator("#brief .row.enabled", has_text="logoff_orderly").locator("text").click()
    assert (trail(page), state(page)) == (WAY, "draining")
    page.get_by_text("The picture as a table").click()
    page.locator("#rows tr", has_text="draining.peer_opened").click()
    assert trail(page) == f"{WAY},peer_opened"
    page.locator("#rows tr", has_text="open.submit").click()  # of another state: nothing happens
    assert trail(page) == f"{WAY},peer_opened"


def test_an_arrow_takes_the_only_event_that_goes_its_way(watched: Callable[..., Watched], tmp_path: Path) -> None:
    page = watched().open(page_of(PLAIN, tmp_path))
    page.locator("#full, #brief").first.locator(".arc .hit").nth(1).dispatch_event("click")
    assert trail(page) in ("go", "jump")


def test_an_arrow_with_several_events_asks_for_one(explorer: Callable[..., Page]) -> None:
    page = explorer()
    page.locator("#brief .arc", has_text="logoff_quiet (2)").locator(".hit").first.dispatch_event("click")
    assert status(page).startswith("Several events go this way now: logoff_quiet, logoff_purge")
    assert trail(page) == ""


def test_the_present_state_what_can_happen_and_the_last_step_are_marked(explorer: Callable[..., Page]) -> None:
    page = explorer(WAY)
    for picture in ("#brief", "#full"):
        assert page.locator(f"{picture} .state.current").count() == 1
        assert page.locator(f"{picture} .row.last").count() == 1
    assert page.locator("#full .row.last").get_attribute("id") == "t-open.logoff_orderly"
    assert page.locator("#rows tr", has=page.get_by_text("open.logoff_orderly", exact=True)).locator("td").first.text_content() == "last"


def test_the_sentence_of_what_is_pointed_at(explorer: Callable[..., Page]) -> None:
    page = explorer(WAY)
    why = page.locator("#why-text")
    assert "S11 ORDERLY: release right after any pending messages finish processing" in why.inner_text().replace("\n", " ")
    event(page, "outbound_sent").hover()
    assert "It was sent; it was the last, so the drain ends." in why.inner_text()
    assert "S23" in why.inner_text()
    event(page, "inbound_received").focus()
    assert why.inner_text().startswith("inbound_received: needs inbound > 0; inbound is 0")
    page.get_by_role("radio", name="Every condition").check()
    page.locator("[id='t-draining.logoff_quiet'] text").hover()
    assert "A question; the drain goes on." in why.inner_text()


# --------------------------------------------------------------------------------------------------------------- paths


def test_the_paths_are_filtered(explorer: Callable[..., Page]) -> None:
    page, atlas = explorer(), logoff_atlas()
    assert page.locator("#found").inner_text() == f"{len(atlas.paths)} of {len(atlas.paths)}"
    page.keyboard.press("/")
    page.keyboard.type("blocked PURGE")
    fitting = [path for path in atlas.paths if "blocked" in path.states and "PURGE" in str((path.rows, path.flags)).replace("purge", "PURGE")]
    shown = page.locator("#path-list li:visible .id").all_inner_texts()
    assert len(shown) == len(fitting) > 0
    assert shown == [path.id for path in fitting]
    page.locator("#filter").fill("nothing like this")
    assert page.locator("#found").inner_text() == "0 of 225"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") != "filter"


def test_a_path_is_played_and_is_a_link(explorer: Callable[..., Page]) -> None:
    page, path = explorer("submit"), logoff_atlas().paths[100]
    flag, witness = list(path.flags.items())[-1]
    item = page.locator("#path-list li", has_text=path.id)
    item.get_by_role("button", name=f"Play path {path.id} ending {flag}").click()
    stands_after(page, len(witness))
    assert (trail(page), state(page)) == (",".join(witness), "released")
    assert page.locator("#stop").is_hidden()
    assert "paths\n1 of 225" in page.locator("#covered").inner_text().replace("\n ", "\n")
    page.go_back()  # a play is one thing to go back over
    assert trail(page) == "submit"
    item.get_by_role("link").first.click()
    stands_after(page, len(path.witness or ()))
    assert trail(page) == ",".join(path.witness or ())


def test_playing_is_stopped_by_whoever_takes_a_step(explorer: Callable[..., Page]) -> None:
    page, path = explorer(), next(p for p in logoff_atlas().paths if p.witness and p.witness[0] == "submit")
    page.locator("#path-list li", has_text=path.id).get_by_role("button").first.click()
    assert page.locator("#stop").is_visible()
    page.get_by_role("button", name="Stop playing").click()
    event(page, "peer_opened").click()
    assert page.locator("#stop").is_hidden()
    assert trail(page).endswith("peer_opened")


def test_what_was_covered_is_counted(explorer: Callable[..., Page]) -> None:
    page = explorer("submit,abort_submit,submit,release")
    rows = {"open.submit", "open.abort_submit", "open.release.granted"}
    assert f"{len(rows)} of 102" in page.locator("#covered").inner_text()
    assert "3 of 408" in page.locator("#covered").inner_text()
    page.get_by_text("Rows not taken yet").click()
    missing = page.locator("#missing li").all_inner_texts()
    assert len(missing) == 102 - len(rows)
    assert not rows & set(missing)


# ------------------------------------------------------------------------------------------ what a newcomer needs to see


def test_the_start_says_what_to_do_and_an_error_looks_like_one(explorer: Callable[..., Page]) -> None:
    page = explorer()
    assert status(page) == "The start: open. Click an event, or play one of the “Paths to the end”."
    assert page.locator("#status.wrong").count() == 0
    event(page, "outbound_sent").click(force=True)  # it says why not
    assert page.locator("#status.wrong").count() == 1
    event(page, "submit").click()
    assert page.locator("#status.wrong").count() == 0
    assert explorer("submit,nonsense").locator("#status.wrong").count() == 1


def test_a_line_of_another_arrow_than_the_one_that_would_be_taken_says_so(explorer: Callable[..., Page]) -> None:
    page = explorer()
    row = [row.id for row in LOGOFF.rows].index("open.logoff_no_wait")  # it leads to draining
    page.locator(f"#brief .arc .row[data-r='{row}'] text").dispatch_event("click")
    assert status(page) == (
        "logoff_no_wait does not go this way now, but: → released, request = NO_WAIT. Nothing was done; click it in the list to take it."
    )
    assert (trail(page), state(page)) == ("", "open")


def test_a_line_of_several_rows_explains_each(explorer: Callable[..., Page]) -> None:
    page = explorer("submit,logoff_abort,nonsense")
    page.locator("#brief .arc .row", has_text="logoff_no_wait (2)").first.locator("text").first.dispatch_event("pointerover")
    told = page.locator("#why-text p").all_inner_texts()
    assert len(told) == 2
    assert all(one.startswith("logoff_no_wait [") and "→ released" in one for one in told)


def test_the_shortest_way_from_here_is_played(explorer: Callable[..., Page]) -> None:
    page = explorer("submit,outbound_begin")
    page.locator("#goal").select_option("draining")
    page.locator("#go").click()
    stands_after(page, 3)
    assert (trail(page), state(page)) == ("submit,outbound_begin,logoff_orderly", "draining")
    page.locator("#goal").select_option("open")
    page.locator("#undo").focus()
    page.keyboard.press("g")
    assert status(page) == "No way on this page leads from here to open."
    page = explorer("submit,logoff_quiet")  # to the end without asking for another kind of logoff
    page.locator("#goal").select_option("the end, QUIET")
    page.locator("#go").click()
    stands_after(page, 4)
    assert trail(page) == "submit,logoff_quiet,abort_submit,logoff_quiet"
    assert state(page) == "released"


def test_the_keys_are_explained_and_those_of_the_stepper(explorer: Callable[..., Page]) -> None:
    page = explorer()
    assert page.evaluate("KEYS") == KEYS
    page.keyboard.press("?")
    assert page.get_by_text("fsm step has the same keys").is_visible()
    page.keyboard.press("?")
    assert page.get_by_text("fsm step has the same keys").is_hidden()
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent").startswith("2logoff_abort")


def test_on_a_phone_the_picture_comes_first_and_stays_while_a_path_plays(explorer: Callable[..., Page]) -> None:
    page = explorer(WAY, viewport={"width": 390, "height": 844})
    assert page.evaluate("scrollY") == 0
    picture = page.locator("#brief svg").bounding_box()
    events = page.locator("#events").bounding_box()
    assert picture is not None
    assert events is not None
    assert picture["y"] + picture["height"] < 844
    assert picture["y"] < events["y"]
    page.locator("#path-list li").nth(30).get_by_role("button").first.click()
    page.locator("#stop").wait_for()  # it plays
    seen = page.locator("#brief svg").bounding_box()
    assert seen is not None
    assert 0 <= seen["y"] < seen["y"] + seen["height"] < 844


def test_a_wide_screen_has_the_paths_beside_the_picture(explorer: Callable[..., Page]) -> None:
    page = explorer(viewport={"width": 2560, "height": 1300})
    paths = page.locator("#path-list").bounding_box()
    assert paths is not None
    assert paths["x"] > 1500
    assert 0 < paths["y"] < paths["y"] + paths["height"] < 1300
    assert paths["height"] > 500
