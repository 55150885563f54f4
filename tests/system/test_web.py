"""The page of a real daemon: what it shows, what it costs the others if it fails, and how it looks in a browser."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from streamgmm.records import Bye, Window
from streamgmm.sinks.web.app import FILES, STATIC
from tests.browser_rig import Browser
from tests.clips.test_reviewing import write_clips
from tests.ports import free_port
from tests.required import axe, chromium
from tests.sinks.sink_rig import HELLO, end, start, status
from tests.system.run_rig import Daemon, Json, check_stream, frames_of, parse, run, running, wait_until
from tests.web_rig import Served, Stream, ask


class Page:
    """A daemon that reads raw samples, with a page and a file beside it."""

    def __init__(self, daemon: Daemon, port: int, path: Path) -> None:
        self.daemon = daemon
        self.address = f"http://127.0.0.1:{port}"
        self.path = path

    def feed(self, wav: Path, first_s: float, end_s: float) -> None:
        self.daemon.stdin.write(frames_of(wav, first_s, end_s))
        self.daemon.stdin.flush()

    @property
    def child_pid(self) -> int:
        shown = subprocess.run(["pgrep", "-P", str(self.daemon.process.pid)], capture_output=True, check=True).stdout
        return int(shown)

    @property
    def records(self) -> list[Json]:
        return parse(self.path.read_bytes())

    def answers(self, path: str = "/healthz") -> bool:
        try:
            return ask(self.address, path).code == 200
        except (OSError, ValueError):
            return False


@contextlib.contextmanager
def serving(model: Path, folder: Path, *arguments: object) -> Iterator[Page]:
    port, path = free_port(), folder / "records"
    sinks = ("-k", f"file://{path}", "-k", f"web://127.0.0.1:{port}")
    with running("-m", model, "-s", "pcm:-", *sinks, *arguments, stdin=subprocess.PIPE) as daemon:
        daemon.wait_for_log("sink.connected")
        yield Page(daemon, port, path)


def test_daemon_shows_a_scene(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    with serving(demo_model, tmp_path) as page:
        stream = Stream(page.address).open()
        page.feed(demo_scene, 0.0, 30.0)
        started = stream.read_until("start").data
        wait_until(lambda: started in ask(page.address, "/v1/events").json["events"], "the event is not kept")
        wait_until(lambda: page.answers("/readyz"), "it is not ready")
        (source,) = ask(page.address, "/v1/state").json["sources"]
        assert source["name"] == started["source"]
        assert f'label="{started["label"]}"' in ask(page.address, "/metrics").text
        page.daemon.stdin.close()
        assert stream.read_until("bye").data["reason"] == "end of input"
        assert page.daemon.wait() == 0
        stream.close()
    check_stream(page.records)


def test_windows_of_the_page_change_nothing_for_other_sinks(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    with serving(demo_model, tmp_path) as page:
        stream = Stream(page.address).open()
        page.feed(demo_scene, 0.0, 20.0)
        page.daemon.stdin.close()
        window = stream.read_until("window")
        assert (window.id, set(window.data["thresholds"]) < set(window.data["scores"])) == ("", True)
        assert page.daemon.wait() == 0
        stream.close()
    alone = run("-m", demo_model, "-s", "pcm:-", stdout=subprocess.PIPE, input=frames_of(demo_scene, 0.0, 20.0))
    assert [record["type"] for record in page.records].count("start") >= 1
    assert "window" not in {record["type"] for record in page.records}
    kept = [[record for record in records if record["type"] != "status"] for records in (page.records, alone.records)]
    assert [without(each) for each in kept[0]] == [without(each) for each in kept[1]]


def without(record: Json) -> Json:
    """A record but for what differs between two runs: their ids, clocks, and when states were reported."""
    return {key: value for key, value in record.items() if key not in ("id", "run_id", "seq") and "time" not in key}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_E49_other_sinks_lose_nothing_while_the_child_is_replaced(
    demo_model: Path, demo_scene: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with serving(demo_model, tmp_path) as page:
        page.feed(demo_scene, 0.0, 10.0)
        wait_until(lambda: len(page.records) > 2, "no event")
        pid = page.child_pid
        os.kill(pid, number)
        at_s = time.monotonic()
        page.feed(demo_scene, 10.0, 40.0)
        wait_until(lambda: page.daemon.log.count("sink.connected") == 2, "it is not replaced")
        assert time.monotonic() - at_s < 6.0  # 1.7 s on a machine that has nothing else to do
        wait_until(page.answers, "it does not answer")
        assert page.child_pid != pid
        page.daemon.terminate()
    check_stream(page.records, "SIGTERM")


def test_F1_shutdown_is_bounded_with_browsers_that_never_read(demo_model: Path, tmp_path: Path) -> None:
    with serving(demo_model, tmp_path) as page:
        stuck = [Stream(page.address, receive_space_bytes=4096) for _ in range(10)]
        page.daemon.terminate()
        for stream in stuck:
            stream.close()


def test_child_ends_with_a_daemon_that_is_killed(demo_model: Path, tmp_path: Path) -> None:
    with serving(demo_model, tmp_path) as page:
        pid = page.child_pid
        page.daemon.signal(signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the child survives its daemon")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(chromium(), tmp_path)
    yield browser
    browser.close()


IS_DRAWN = """
[...document.querySelectorAll('canvas')].every(
  (canvas) => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size > 10)
"""

WIDTHS = [(1280, False), (768, True), (360, False)]


@pytest.mark.parametrize(("width", "is_dark"), WIDTHS)
def test_page_in_a_browser(
    browser: Browser, demo_model: Path, demo_scene: Path, tmp_path: Path, width: int, is_dark: bool
) -> None:
    with serving(demo_model, tmp_path) as page:
        page.feed(demo_scene, 0.0, 15.0)
        browser.open(page.address, width, is_dark=is_dark)
        browser.wait_for("document.querySelectorAll('#rows tr').length > 0 && document.querySelector('.labels li')")
        for first_s in range(15, 40):
            page.feed(demo_scene, first_s, first_s + 1.0)
        browser.wait_for("document.querySelectorAll('#rows tr').length > 3")
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it has to be scrolled sideways"
        browser.wait_for("document.querySelector('.state').textContent === 'ok'")
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(20, 24, 28)" if is_dark else "rgb(246, 247, 248)"
        )
        # A canvas that nothing was drawn on is empty.
        browser.wait_for(IS_DRAWN)
        browser.save(tmp_path / f"{width}.png")
        if folder := os.environ.get("STREAMGMM_SCREENSHOTS"):
            browser.save(Path(folder) / f"{width}.png")
        assert browser.errors == []


def test_page_by_keyboard_and_after_the_child_was_replaced(
    browser: Browser, demo_model: Path, demo_scene: Path, tmp_path: Path
) -> None:
    with serving(demo_model, tmp_path) as page:
        page.feed(demo_scene, 0.0, 15.0)
        browser.open(page.address, 800)
        browser.wait_for("document.querySelectorAll('#rows tr').length > 0")
        browser.press(" ")
        browser.wait_for("document.getElementById('pause').getAttribute('aria-pressed') === 'true'")
        browser.press(" ")
        os.kill(page.child_pid, signal.SIGKILL)
        browser.wait_for("document.getElementById('connection').classList.contains('lost')")
        browser.wait_for("document.getElementById('connection').textContent === 'connected'")
        assert browser.evaluate("document.querySelectorAll('#rows tr').length") > 0, "what was seen is forgotten"


SAID = "document.getElementById('clip-said').textContent"
IS_PLAYABLE = "document.getElementById('clip-audio').readyState >= 1 && document.getElementById('clip-audio').duration"


@pytest.fixture
def reviewed(tmp_path: Path) -> Iterator[Served]:
    """A page with the events of two clips, r-0 and r-1, and of one that has none."""
    write_clips(tmp_path / "clips")
    served = Served(clips_directory=str(tmp_path / "clips"))
    ends = [structs.replace(end(n + 1, f"r-{n}", "dog"), clip=f"clips/r-{n}.flac") for n in range(2)]
    served.publish(structs.replace(HELLO, labels=["dog", "cat"]), *ends, end(3, "other"))
    yield served
    served.sink.close(1.0)


def places(folder: Path) -> set[str]:
    return {str(path.parent.relative_to(folder)) for path in folder.rglob("*.flac")}


@pytest.mark.parametrize(("width", "is_dark"), WIDTHS)
def test_clip_is_heard_and_judged_on_the_page(
    browser: Browser, reviewed: Served, tmp_path: Path, width: int, is_dark: bool
) -> None:
    browser.open(reviewed.address, width, is_dark=is_dark)
    browser.wait_for("document.querySelectorAll('#rows button').length == 2")
    browser.click("#rows button")
    browser.wait_for(IS_PLAYABLE)
    browser.wait_for("!document.querySelector('#clip-form button').disabled")
    assert browser.evaluate("document.activeElement.id") == "clip-title"
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it has to be scrolled sideways"
    if folder := os.environ.get("STREAMGMM_SCREENSHOTS"):
        browser.save(Path(folder) / f"clip-{width}.png")
    browser.evaluate("document.getElementById('clip-other').value = 'door bell'")
    browser.click("#clip-form button[type=submit]")
    browser.wait_for(f"{SAID} === 'Judged: accepted as door bell'")
    assert "accepted/door bell" in places(tmp_path / "clips")
    browser.click("#clip-close")
    browser.wait_for("document.activeElement.textContent === 'Listen'")
    assert browser.errors == []


def test_page_tells_what_another_reviewer_has_said_and_that_a_clip_is_gone(
    browser: Browser, reviewed: Served, tmp_path: Path
) -> None:
    browser.open(reviewed.address, 800)
    browser.wait_for("document.querySelectorAll('#rows button').length == 2")
    browser.click("#rows button")
    browser.wait_for("!document.querySelector('#clip-form button').disabled")
    own = {"content_type": "application/json", "x_streamgmm": "test"}
    body = b'{"verdict": "not_mine"}'
    assert reviewed.ask("/v1/clips/r-1/judgement", "POST", body, **own).code == 200
    browser.wait_for(f"{SAID} === 'Judged: right, but not mine: dog'")
    browser.evaluate("judge('reject', '')")
    browser.wait_for(f"{SAID} === 'Somebody else was faster: right, but not mine: dog'")
    for path in (tmp_path / "clips").rglob("*_r-0.flac"):
        path.unlink()
    browser.click("#rows tr:last-child button")
    browser.wait_for(f"{SAID}.startsWith('The clip is gone')")
    assert browser.evaluate("document.querySelector('#clip-form button').disabled")


def test_focus_and_player_outlive_new_events(browser: Browser, reviewed: Served) -> None:
    browser.open(reviewed.address, 800)
    browser.wait_for("document.querySelectorAll('#rows button').length == 2")
    browser.evaluate("document.querySelector('#rows button').focus()")
    reviewed.publish(start(4, "new"), structs.replace(end(5, "new"), clip="clips/new.flac"))
    browser.wait_for("document.querySelectorAll('#rows button').length == 3")
    assert browser.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Listen to dog")


def test_why_a_sound_was_rejected_stays_to_be_read(browser: Browser) -> None:
    served = Served()
    scores = {"door": 0.55, "kettle": 0.1, "background": 0.35}
    window = Window(
        t=1.0, source="mic", label="unknown", score=0.55, scores=scores, llr=1.0, level_dbfs=-30.0, reject="unknown",
        thresholds={"door": 0.6, "kettle": 0.5},
    )  # fmt: skip
    later = structs.replace(window, t=3.0, seq=2, label="background", reject="silence")
    try:
        served.publish(HELLO)
        browser.open(served.address, 800)
        browser.wait_for("document.getElementById('connection').textContent === 'connected'")
        served.publish(structs.replace(window, seq=1))
        browser.wait_for("document.querySelector('.verdict').textContent.startsWith('Rejected: unlike everything')")
        served.publish(later)
        browser.wait_for("document.querySelector('.rejected').textContent.startsWith('Last rejected, 2 s ago: unlike')")
        assert browser.evaluate("document.querySelector('.rejected').textContent").endswith("door, 0.55 of 0.60")
    finally:
        served.sink.close(1.0)


def window_at(t: float, seq: int) -> Window:
    scores = {"door": 0.55, "background": 0.45}
    return Window(t=t, seq=seq, source="mic", label="door", score=0.55, scores=scores, llr=1.0, level_dbfs=-30.0)


def shown(browser: Browser) -> Any:
    """The time up to which the page draws, and the times of the windows that it keeps."""
    return browser.evaluate("[sources.get('mic').now_t, sources.get('mic').windows.map((each) => each.t)]")


def test_plots_begin_again_where_a_reload_replaces_a_source(browser: Browser) -> None:
    served = Served()
    event = (
        structs.replace(start(2, "old"), t=86400.0, start_t=86399.0),
        structs.replace(end(3, "old"), t=86402.0, start_t=86399.0, end_t=86401.0),
    )
    bye = Bye(
        seq=4,
        t=86402.0,
        source="mic",
        reason="no longer in the settings",
        captured_samples=0,
        analysed_samples=0,
        lost_samples=0,
        in_flight_samples=0,
    )
    is_timeline_empty = "document.querySelector('.timeline').getAttribute('aria-label').includes('minutes: 0')"
    try:
        served.publish(HELLO)
        browser.open(served.address, 800)
        browser.wait_for("document.getElementById('connection').textContent === 'connected'")
        served.publish(window_at(86399.0, 1), *event, window_at(86402.0, 3))
        browser.wait_for("sources.get('mic').windows.length === 2")
        served.publish(bye, structs.replace(HELLO, seq=5), window_at(0.5, 5))
        browser.wait_for("sources.get('mic').windows.at(-1).t === 0.5")
        browser.wait_for(is_timeline_empty)
        assert shown(browser) == [0.5, [0.5]]
        # A page that is opened now learns of the past events, but not their time.
        browser.open(served.address, 800)
        browser.wait_for("document.querySelectorAll('#rows tr').length === 1")
        served.publish(window_at(1.0, 6))
        browser.wait_for("sources.get('mic').windows.at(-1)?.t === 1")
        browser.wait_for(is_timeline_empty)
        assert shown(browser)[0] == 1.0
        # Even without a hello, time that goes back keeps no windows for ever.
        served.publish(window_at(0.25, 7))
        browser.wait_for("sources.get('mic').windows.at(-1).t === 0.25")
        assert shown(browser) == [0.25, [0.25]]
    finally:
        served.sink.close(1.0)


def test_clip_of_a_daemon_is_heard_while_it_runs(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    with serving(demo_model, tmp_path, "--set", f"clips.directory={folder}") as page:
        stream = Stream(page.address).open()
        page.feed(demo_scene, 0.0, 30.0)
        ended = stream.read_until("end").data
        place = f"/v1/clips/{ended['id']}"
        wait_until(lambda: ask(page.address, place).code == 200, "the clip is not served")
        assert ask(page.address, place).body == Path(ended["clip"]).read_bytes()
        stream.close()


VIOLATIONS = """
axe.run().then((found) => { window.violations = found.violations.flatMap(
  (each) => each.nodes.map((node) => `${each.id} (${each.impact}): ${node.html}`)); })
"""


@pytest.mark.parametrize("is_dark", [False, True])
def test_page_has_no_barriers_that_axe_finds(browser: Browser, reviewed: Served, is_dark: bool) -> None:
    source = axe()
    window = Window(
        t=5.0, source="mic", label="dog", score=0.9, scores={"dog": 0.9, "cat": 0.1}, llr=1.0, level_dbfs=-30.0,
        thresholds={"dog": 0.6, "cat": 0.5},
    )  # fmt: skip
    reviewed.publish(status(4, "audio flows"), start(5, "open", "dog"), structs.replace(window, seq=6))
    browser.open(reviewed.address, 800, is_dark=is_dark)
    browser.wait_for("document.querySelectorAll('#rows button').length == 2 && document.querySelector('.labels li')")
    browser.click("#rows button")
    browser.click("summary")
    browser.wait_for("!document.querySelector('#clip-form button').disabled")
    # By the protocol of the debugger, as the page itself admits no script but its own.
    browser.evaluate(source)
    browser.evaluate(VIOLATIONS)
    browser.wait_for("window.violations")
    assert browser.evaluate("violations") == []


def test_E53_hostile_names_are_text(browser: Browser, tmp_path: Path) -> None:
    name = "<img src=x onerror=document.title='taken'>"
    served = Served()
    hello = structs.replace(HELLO, source=name, labels=[name])
    started = structs.replace(start(2, "<b>", name), source=name)
    try:
        served.publish(hello, structs.replace(status(1, name), source=name), started)
        browser.open(served.address, 800)
        browser.wait_for("document.querySelectorAll('#rows tr').length > 0")
        assert browser.evaluate("document.querySelector('#rows td:nth-child(2)').textContent") == name
        assert browser.evaluate("document.querySelectorAll('main img').length") == 0
        assert browser.evaluate("document.title") == "streamgmm"
    finally:
        served.sink.close(1.0)


def test_page_is_small_and_takes_nothing_from_outside() -> None:
    files = list(STATIC.iterdir())
    assert {file.name for file in files} == {name for name, _ in FILES.values()}
    assert sum(file.stat().st_size for file in files) < 150 * 1024
    texts = "".join(file.read_text() for file in files).replace("http://www.w3.org/2000/svg", "")
    assert "://" not in texts
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(| style=| on[a-z]+=\"", texts)
