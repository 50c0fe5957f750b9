"""The console in Chromium: first load, edits as they stream, keys that end, an engine that dies, long diffs, hostile names."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest
from e2e.browser.conftest import NARROW, SCREENSHOTS, WIDE, Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MANY = 5000
HOSTILE = "<img src=x onerror=window.pwned=1>"
VIEWS = ("live", "edits", "playground", "keys", "audit", "card")


def engine_of(server: Server) -> int:
    """The process id of a server's engine."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            words = status.read_text().split()
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if b"dovetail.serve.worker" in command and words[words.index("PPid:") + 1] == str(server.process.pid):
            return int(status.parent.name)
    raise AssertionError("the engine process is not there")


def fill(page, content: str, *, path: str = "calc.py", instruction: str = "Change it") -> None:
    page.get_by_label("Path of file 1").fill(path)
    page.get_by_label("Content of file 1").fill(content)
    page.get_by_label("Instruction").fill(instruction)


def test_first_load_without_keys(tab, real: Server) -> None:
    page = tab(real).open()
    page.get_by_role("heading", name="Up, serving").wait_for()
    assert page.title() == "Live · Dovetail"
    assert page.locator(".headline dt").all_inner_texts()[0] == "In flight"
    page.get_by_text("No request yet.").or_(page.locator("table.requests tbody tr").first).first.wait_for()
    names = page.locator("#views a").all_inner_texts()
    assert names == ["Live", "Edits", "Playground", "Keys and usage", "Audit", "System card"]
    assert page.evaluate("Object.keys(sessionStorage).length + Object.keys(localStorage).length") == 0


def test_the_keyboard_reaches_everything(tab, real: Server) -> None:
    page = tab(real).open()
    page.locator("#views a").first.wait_for()
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator("#views a", has_text="Edits").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Edit playground").wait_for()
    page.get_by_label("Instruction").focus()
    page.keyboard.press("Control+Enter")
    page.locator(".checks li").first.wait_for()
    page.locator(".diff").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".t.current").count() == 1
    said = page.locator(".token-said").inner_text()
    assert re.search(r"(sampled|drafted|forced|resampled), probability", said), said


def test_a_streamed_edit(tab, real: Server) -> None:
    page = tab(real).open("edits")
    page.get_by_role("button", name="Make the edit").click()
    page.locator(".checks li").first.wait_for()
    assert set(page.locator(".checks li").evaluate_all("all => all.map(each => each.className)")) == {"yes"}
    assert page.locator(".row.add").first.inner_text().endswith("def plus(a, b):")
    assert page.locator(".row.del").first.inner_text().endswith("def add(a, b):")
    assert page.locator(".row.around").count() > 0
    token = page.locator(".row.add .t").first
    token.hover()
    assert re.fullmatch(r"(sampled|drafted|forced|resampled) p = [0-9.e-]+", page.locator(".tip").inner_text())
    page.get_by_role("button", name="Model output").click()
    page.get_by_text("<<<<<<< SEARCH").wait_for()
    page.get_by_role("button", name="Patch").click()
    assert page.locator("pre.patch").inner_text().startswith("diff --git a/calc.py b/calc.py")


@pytest.mark.parametrize("form", ["apply_patch", "unified_diff", "whole_file", "str_replace"])
def test_other_formats_show_what_is_written_and_the_diff(tab, real: Server, form: str) -> None:
    page = tab(real).open("edits")
    page.get_by_text("Settings").click()
    page.get_by_label("Format").select_option(form)
    page.get_by_label("Most tokens").fill("60")
    page.get_by_role("button", name="Make the edit").click()
    page.locator(".figures div").first.wait_for()
    page.get_by_role("button", name="Model output").click()
    if page.locator(".figures dd").nth(1).inner_text() != "0 tokens":
        page.locator(".diff .t").first.wait_for()
    assert page.locator(".notice.bad").count() == 0


def test_chat_completion_and_the_middle(tab, real: Server) -> None:
    page = tab(real).open("playground")
    page.get_by_label("Your message").fill("hello")
    page.get_by_text("Settings").click()
    page.get_by_label("Most tokens").fill("8")
    page.get_by_role("button", name="Send").click()
    page.get_by_text(re.compile("tokens? in ")).wait_for()
    page.get_by_role("button", name="Completion").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_text(re.compile("tokens? in ")).wait_for()
    page.get_by_role("button", name="Fill in the middle").click()
    page.get_by_role("button", name="Fill the gap").click()
    page.get_by_text(re.compile("tokens? in ")).or_(page.locator(".notice")).first.wait_for()


def test_each_view_asks_the_chosen_model_or_adapter(tab, keyed: Server) -> None:
    page = tab(keyed).open("playground", key=keyed.key("choosing"))
    assert page.get_by_label("Model").locator("option").all_inner_texts() == [
        "coder",
        "small",
        "sql (adapter of coder)",
    ]
    said = {"coder": "Certainly not.", "sql": "Certainly sql."}
    for name, answer in said.items():
        page.get_by_label("Model").select_option(name)
        page.get_by_label("Your message").fill("hello")
        page.get_by_role("button", name="Send").click()
        page.locator(".talk .assistant", has_text=answer).wait_for()
    page.get_by_label("Model").select_option("small")
    page.get_by_text("small cannot do this:").wait_for()
    for mode, button in (("Completion", "Go on"), ("Fill in the middle", "Fill the gap")):
        page.get_by_role("button", name=mode).click()
        assert page.get_by_label("Model").input_value() == "small"
        page.get_by_role("button", name=button).click()
        page.locator(".made mark", has_text="Small talk.").wait_for()
    page.goto(f"{keyed.url}/#/edits")
    page.get_by_text("small cannot do this:").wait_for()
    page.get_by_label("Model").select_option("sql")
    assert page.locator(".notice.warn").count() == 0
    fill(page, "a = 1\n")
    page.get_by_role("button", name="Make the edit").click()
    page.locator(".checks li").first.wait_for()


def test_a_key_of_one_model_is_offered_no_other(tab, keyed: Server) -> None:
    page = tab(keyed).open("playground", key=keyed.key("narrow", models=("small",)))
    page.get_by_text("small cannot do this:").wait_for()
    assert page.get_by_label("Model").count() == 0
    page.get_by_role("button", name="Completion").click()
    page.get_by_role("button", name="Go on").click()
    page.locator(".made mark", has_text="Small talk.").wait_for()


def test_the_system_card_is_a_page_with_its_other_forms(tab, keyed: Server) -> None:
    page = tab(keyed).open("card", key=keyed.key("reader"))
    page.get_by_role("heading", name="Guarantees").wait_for()
    page.get_by_role("heading", name="Also hosted: small").wait_for()
    page.get_by_role("heading", name="Also hosted: sql").wait_for()
    row = page.get_by_role("region", name="Guarantees").locator("tbody tr", has_text="Whatever max_tokens is")
    assert "by construction" in row.inner_text()
    with page.expect_download() as download:
        page.get_by_label("Download the card").select_option("cyclonedx")
    assert download.value.suggested_filename.endswith(".cdx.json")
    assert '"CycloneDX"' in Path(download.value.path()).read_text()
    page.get_by_label("Download the card").select_option("dsse")
    page.get_by_text("Cards of this server are not signed").wait_for()


def test_signing_in_and_what_each_key_sees(tab, keyed: Server) -> None:
    page = tab(keyed).open()
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    dialog.get_by_label("API key").fill("dvt_wrong_key")
    dialog.get_by_role("button", name="Sign in").click()
    dialog.get_by_text("The API key is not one of this server's.").wait_for()
    dialog.get_by_label("API key").fill(keyed.key("ordinary"))
    dialog.get_by_role("button", name="Sign in").click()
    page.get_by_text("Signed in as ordinary").wait_for()
    assert page.locator("#views a").all_inner_texts() == ["Edits", "Playground", "System card"]
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("dialog").wait_for()
    assert page.evaluate("sessionStorage.getItem('dovetail.key')") is None
    page.get_by_label("API key").fill(keyed.key("chief", admin=True))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Up, serving").wait_for()
    assert page.evaluate("document.cookie + Object.keys(localStorage).join()") == ""


def test_an_expired_key_is_asked_for_again_and_nothing_typed_is_lost(tab, keyed: Server) -> None:
    page = tab(keyed).open("edits", key=keyed.key("brief"))
    fill(page, "a = 1\n", instruction="Add a one")
    page.get_by_role("button", name="Make the edit").click()
    page.locator(".checks li").first.wait_for()
    keyed.expire("brief")
    deadline = time.monotonic() + 30
    while not page.get_by_role("dialog").is_visible():
        assert time.monotonic() < deadline
        page.get_by_role("button", name="Make the edit").click(timeout=5000)
        page.wait_for_timeout(300)
    page.get_by_role("dialog").get_by_text("has expired").wait_for()
    page.get_by_label("API key").fill(keyed.key("fresh"))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_text("Signed in as fresh").wait_for()
    assert page.get_by_label("Instruction").input_value() == "Add a one"
    page.get_by_role("button", name="Make the edit").click()
    page.locator(".checks li").first.wait_for()


def test_the_engine_dies_while_an_edit_streams_and_comes_back(tab, real: Server) -> None:
    watching = tab(real).open()
    page = tab(real).open("edits")
    engine = engine_of(real)
    os.kill(engine, signal.SIGSTOP)  # so that the answer has begun and cannot end before it dies
    page.get_by_role("button", name="Make the edit").click()
    page.get_by_text("Reading the files…").wait_for()
    page.wait_for_timeout(500)
    os.kill(engine, signal.SIGKILL)
    page.get_by_role("alert").get_by_text("The engine stopped, and is being started again.").wait_for()
    watching.get_by_role("heading", name="The engine is being started again").wait_for()
    page.get_by_text("It is ready again").wait_for()
    watching.get_by_role("heading", name="Up, serving").wait_for()
    watching.get_by_text("engine_died").first.wait_for()
    page.get_by_role("button", name="Make the edit").click()
    page.locator(".checks li").first.wait_for()
    assert page.get_by_role("alert").count() == 0


def test_a_diff_of_5000_lines(tab, keyed: Server) -> None:
    page = tab(keyed).open("edits", key=keyed.key("long"))
    content = "".join(f"a{number} = {number + 1}\n" for number in range(MANY))
    page.get_by_role("button", name="Remove calc.py").click()
    chosen = {"name": "many.py", "mimeType": "text/x-python", "buffer": content.encode()}
    page.locator("input[type=file]").set_input_files(chosen)
    page.get_by_label("Path of file 1").wait_for()
    page.get_by_role("button", name="Make the edit").click()
    page.get_by_text(re.compile(r"Decoding: [\d,]+ tokens")).wait_for()
    page.get_by_label("Instruction").fill("still answering")  # the page goes on while the edit streams
    page.locator(".checks li").first.wait_for()
    rows = page.locator(".chunk").evaluate_all("all => all.map(each => Number(each.style.getPropertyValue('--rows')))")
    assert sum(rows) == 2 * MANY + 1
    assert page.locator(".diff .row").count() < 1000
    diff = page.locator(".diff")
    diff.evaluate("each => { each.scrollTop = 0; }")
    page.locator(".row.del", has_text="a0 = 1").first.wait_for()
    diff.evaluate("each => { each.scrollTop = each.scrollHeight; }")
    page.locator(".row.add", has_text=f"a{MANY - 1} = {MANY}1").wait_for()
    page.get_by_role("button", name="Patch").click()
    patch = page.locator("pre.patch").inner_text()
    assert len(re.findall(r"(?m)^\+a\d", patch)) == len(re.findall(r"(?m)^-a\d", patch)) == MANY


def test_hostile_names_are_text(tab, keyed: Server) -> None:
    key = keyed.key(HOSTILE, admin=True)
    httpx.get(f"{keyed.url}/v1/{HOSTILE}", headers={"x-api-key": key}, trust_env=False)
    asked = {"messages": [{"role": "user", "content": "hello"}]}
    httpx.post(f"{keyed.url}/v1/chat/completions", json=asked, headers={"x-api-key": key}, trust_env=False)
    page = tab(keyed).open("live", key=key)
    page.locator("table.requests", has_text=HOSTILE).wait_for()
    for view in ("keys", "audit"):
        page.goto(f"{keyed.url}/#/{view}")
        page.locator("table", has_text=HOSTILE).first.wait_for()
    page.goto(f"{keyed.url}/#/edits")
    fill(page, f"# {HOSTILE}\n", path="hostile.txt", instruction=HOSTILE)
    page.get_by_role("button", name="Make the edit").click()
    page.locator(".row.add", has_text=HOSTILE).wait_for()
    assert page.evaluate("window.pwned") is None
    blocked = "try { document.body.innerHTML = '<b>x</b>'; 'made' } catch (error) { error.name }"
    assert page.evaluate(blocked) == "TypeError"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1440", "390"])
def test_accessible_and_within_the_screen(tab, keyed: Server, viewport: dict[str, int], dark: bool) -> None:
    from e2e.browser.conftest import AXE

    own = tab(keyed, viewport=viewport, dark=dark)
    page = own.open("live", key=keyed.key("chief", admin=True))
    page.locator(".headline dd").first.wait_for()
    page.evaluate(AXE.read_text())
    for view in VIEWS:
        page.goto(f"{keyed.url}/#/{view}")
        page.locator(f".view-{view}").wait_for()
        if view == "edits":
            fill(page, "a = 1\nb = 2\n")
            page.get_by_role("button", name="Make the edit").click()
            page.locator(".checks li").first.wait_for()
        page.wait_for_timeout(400)
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        told = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in serious]
        assert not told, f"{view}: {told}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        name = f"{view}-{viewport['width']}-{'dark' if dark else 'light'}.png"
        page.screenshot(path=str(SCREENSHOTS / name), full_page=True)
