"""The page of `fsm serve --http` in a real browser: readable in light and dark, wide and narrow, and live while the server closes."""

from __future__ import annotations

import signal
import smtplib
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.browsers import Watched
from tests.commands.test_serve import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_it_can_be_read_everywhere_and_follows_the_server_to_its_end(browser: Browser, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    pages = []
    with served(tmp_path / "letters", "--http", "127.0.0.1:0", "--smarthost", "127.0.0.1:9", "--plan", "NO_WAIT 600s -> ORDERLY 20s") as (process, addresses):
        url = f"http://{addresses['http']}/"
        for scheme in ("light", "dark"):
            for width in (1440, 390):
                watched = Watched(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
                pages.append((watched, watched.open(url)))
        host, port = addresses["submission"].split(":")
        with smtplib.SMTP(host, int(port), timeout=120) as client:
            client.sendmail("a@example.org", ["b@example.net"], "Subject: x\r\n\r\nx\r\n")
        host, port = addresses["inbound"].split(":")
        inbound = smtplib.SMTP(host, int(port), timeout=120)
        inbound.ehlo("me")
        for command in ("MAIL FROM:<a@b.c>", "RCPT TO:<d@e.f>", "DATA"):
            inbound.docmd(command)
        for _, page in pages:
            page.locator(".blockers >> text=inbound in-1 from 127.0.0.1").wait_for()
            page.locator("svg [data-state=open].current").wait_for()
            page.locator(".store[data-service=true] .state >> text=open").wait_for()
        process.send_signal(signal.SIGTERM)
        for number, (watched, page) in enumerate(pages):
            page.locator("svg [data-state=draining].current").wait_for()
            page.locator(".plan >> text=/Closing: NO_WAIT 600s, [0-9]+ s left, then ORDERLY 20s/").wait_for()
            page.locator(".store[data-service=false]").wait_for()
            assert page.locator("svg .current").count() == 1
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            if number in (0, 3):  # light and wide, dark and narrow
                found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
                assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
            assert watched.complaints == []
            assert [one for one in watched.requests if not one.startswith(url)] == []
        inbound.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert inbound.getreply()[0] == 250
        inbound.close()
        process.communicate(timeout=120)
    for watched, page in pages:
        page.locator("#link[data-on=false]").wait_for()
        page.locator(".store .state >> text=released").wait_for()
        watched.close()


def test_of_many_stores_the_list_begins_with_what_there_is_to_see_and_one_is_shown_whole(browser: Browser, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    (tmp_path / "mail.toml").write_text("\n".join(f'[mailboxes.m{n}]\nowner = "m{n}.example.org"' for n in range(210)))
    with served(tmp_path / "letters", "--config", str(tmp_path / "mail.toml"), "--http", "127.0.0.1:0") as (process, addresses):
        watched = Watched(browser, viewport={"width": 390, "height": 900})
        page = watched.open(f"http://{addresses['http']}/")
        page.locator("#sums >> text=/^210 stores: 210 open; 0 coming in/").wait_for()
        host, port = addresses["submission"].split(":")
        with smtplib.SMTP(host, int(port), timeout=120) as client:
            client.sendmail("a@m77.example.org", ["b@example.net"], "Subject: x\r\n\r\nx\r\n")
        page.locator("#list button:first-child >> text=1 ready").wait_for()
        assert page.locator("#list button").count() == 200
        assert page.locator("#list p").text_content() == "and 10 more: find them by name"
        page.locator("#find").fill("M9")
        assert page.locator("#list button").count() == 11
        page.locator("#list button").nth(10).click()
        assert [page.locator(".store h2").text_content(), page.locator("#list [aria-pressed=true]").count()] == ["m99", 1]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
        page.locator("#here >> text=210 released").wait_for()
        assert watched.complaints == []
        watched.close()
