"""The page in headless Chromium: from a book to a finished job that is listened to, changed and downloaded."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import threading
import zipfile
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="the page needs the extra web")
pytest.importorskip("uvicorn", reason="the page needs the extra web")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

import uvicorn
from books import Epub
from fake_server import FakeEngine, make_services
from page_store import PageStore
from playwright import sync_api as playwright

from bark_infinity.server.app import make_app
from bark_infinity.server.services import ServerSettings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
FLAGS += ("--disable-component-update", "--disable-sync", "--mute-audio")
TIMEOUT_MS = 60_000

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
    pytest.mark.xdist_group("browser"),
]


class Engine(FakeEngine):
    """As `server.shared_engine.SharedEngine`."""

    name = "demo"


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as play:
        playwright.expect.set_options(timeout=TIMEOUT_MS)
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=TIMEOUT_MS)
        yield browser
        browser.close()


@pytest.fixture
def server(tmp_path) -> Iterator[tuple[str, PageStore]]:
    """The address of a server, and its jobs."""
    opened = socket.create_server(("127.0.0.1", 0))
    services = make_services(tmp_path, ServerSettings(port=opened.getsockname()[1]))
    (tmp_path / "out").mkdir()
    store = PageStore(tmp_path / "out", services.uploads)
    app = make_app(dataclasses.replace(services, store=store, engine=Engine(), bark=Engine()))
    serving = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{opened.getsockname()[1]}", store
    serving.should_exit = serving.force_exit = True
    thread.join()


@pytest.fixture(params=[(1280, 860), (360, 740)], ids=["desktop", "phone"])
def context(browser, server, request) -> Iterator[playwright.BrowserContext]:
    """A browser of one size. No page of it may have errors, or ask another machine for something."""
    width, height = request.param
    problems: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    context.set_default_timeout(TIMEOUT_MS)
    context.on("request", lambda asked: asked.url.startswith(server[0]) or problems.append(asked.url))
    context.on("console", lambda message: message.type == "error" and problems.append(message.text))
    context.on("weberror", lambda error: problems.append(str(error.error)))
    yield context
    context.close()
    assert not problems


def book() -> bytes:
    documents = {
        f"c{k}.xhtml": f"<h1>Chapter {k}</h1><p>This is chapter {k}. It ends soon.</p><p>And here it ends.</p>"
        for k in (1, 2, 3)
    }
    nav = [(f"Chapter {k}", f"c{k}.xhtml") for k in (1, 2, 3)]
    return Epub(documents, nav=nav, title="Three Doors").write()


def test_story_of_a_book(context, server, tmp_path):
    address, store = server
    expect, page = playwright.expect, context.new_page()
    page.goto(address)

    # a book: its chapters, a setting, and the start
    page.set_input_files("#file", {"name": "doors.epub", "mimeType": "application/epub+zip", "buffer": book()})
    expect(page.locator("#chapters-list li")).to_have_count(3)
    page.locator("#chapters-list input").nth(1).uncheck()
    expect(page.locator("#chapters-chosen")).to_have_text("2 of 3 chosen")
    page.locator("#settings > summary").click()
    page.locator("#settings-search").fill("goal length")
    page.locator("#f-split_character_goal_length").fill("20")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#start").click()
    page.wait_for_url("**/jobs/*")
    assert store.requests["job1"].options == {"chapters": "1,3", "split_character_goal_length": 20}

    # it is made: seen after a reload and in a second tab; what is typed stays
    rows = page.locator(".segment")
    n = store.job("job1").n_segments
    expect(rows).to_have_count(n)
    page.reload()
    expect(page.locator("#job-title")).to_contain_text("Chapter 1")
    store.advance("job1", n - 1, takes=2, faults=("too long",))
    expect(page.locator("#job-progress-text")).to_contain_text(f"{n - 1} of {n} segments")
    second = context.new_page()
    second.goto(page.url)
    expect(second.locator(".segment[data-state=made]")).to_have_count(n - 1)
    store.advance("job1")
    expect(page.locator("#job-state")).to_have_text("Finished")

    # a segment gets another text, while others change, and another one another take
    rows.nth(2).locator("[data-do=edit]").click()
    editor = rows.nth(2).locator("textarea")
    editor.fill("Words that are new.")
    store.make_again("job1", [2])
    expect(rows.nth(2)).to_have_attribute("data-state", "waiting")
    assert editor.input_value() == "Words that are new."
    editor.press("Control+Enter")
    expect(second.locator(".seg-text").nth(2)).to_have_text("Words that are new.")
    store.advance("job1")
    rows.nth(0).locator("[data-do=takes]").click()
    rows.nth(0).locator("[data-do=use-take]").nth(1).click()
    expect(rows.nth(0).locator(".seg-line")).to_contain_text("take 2 of 2")

    # it is heard, with keys, and downloaded
    page.locator("#job-title").focus()
    page.keyboard.press("j")
    page.keyboard.press(" ")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    expect(rows.nth(1)).to_have_attribute("aria-current", "true")  # it goes on by itself
    page.keyboard.press(" ")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    with page.expect_download() as download:
        page.get_by_text("Everything (zip)").click()
    download.value.save_as(tmp_path / "all.zip")
    assert len(zipfile.ZipFile(tmp_path / "all.zip").namelist()) == 2
    page.locator("[data-action=remove]").click()
    page.locator("#confirm .danger").click()
    expect(page.locator("#new-title")).to_be_visible()
    expect(second.locator("#missing")).to_be_visible()


def test_mistakes_in_a_script_are_shown_where_they_are_and_speakers_get_voices(context, server, make_voice, tmp_path):
    address, store = server
    (tmp_path / "voices").mkdir()
    make_voice().save(tmp_path / "voices" / "calm.npz")
    expect, page = playwright.expect, context.new_page()
    page.goto(address)
    text = "+++\n[cast]\nAnna = {}\n+++\nAnna: Good day.\n[pauze:1s] It rained.\n"
    page.locator("#text").fill(text)
    expect(page.locator("#problem")).to_contain_text("Line 6, column 1")
    page.locator("#problem-go").click()
    assert page.evaluate("[text.selectionStart, document.activeElement.id]") == [text.index("[pauze"), "text"]
    page.reload()
    expect(page.locator("#text")).to_have_value(text)  # what is written is kept
    page.locator("#text").fill(text.replace("pauze", "pause"))
    expect(page.locator("#problem")).to_be_hidden()
    page.locator(".speaker", has_text="Anna").locator("select").select_option("calm")
    page.locator("#command > summary").click()
    expect(page.locator("#command-text")).to_contain_text("--cast Anna=calm")
    page.locator("#start").click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator(".seg-line").first).to_contain_text("Anna")
    assert store.requests["job1"].options["cast"].startswith("Anna=")
