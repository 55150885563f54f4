"""Clips over HTTP: who may hear and judge them, and that every one ends in one place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamgmm.clips.naming import id_in_name
from streamgmm.clips.reviewing import Judgement, judge, list_candidates
from streamgmm.sinks.socket.listeners import TcpListener
from streamgmm.sinks.socket.token import Token
from streamgmm.sinks.web.clip_audio import resolve_range
from streamgmm.sinks.web.clip_index import ClipIndex
from streamgmm.sinks.web.clips import MAX_ANSWERS, MAX_BODY_BYTES
from streamgmm.sinks.web.task import WebTask
from tests.clips.clip_rig import clips_in
from tests.clips.test_reviewing import write_clips
from tests.narrowing import present
from tests.system.run_rig import wait_until
from tests.web_rig import Answer, Served, Stream, connect

OWN = {"content_type": "application/json", "x_streamgmm": "page"}

Judge = Callable[..., Answer]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_clips(tmp_path / "clips")
    return tmp_path / "clips"


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    """An open sink with the clips r-0, r-1 (events), r-10, r-11 (near misses) and r-20 (unknown)."""
    served = Served(clips_directory=str(folder))
    yield served
    served.sink.close(1.0)


def send(served: Served, event_id: str, verdict: str, label: str = "", **headers: str) -> Answer:
    body = json.dumps({"verdict": verdict, "label": label}).encode()
    return served.ask(f"/v1/clips/{event_id}/judgement", "POST", body, **{**OWN, **headers})


def path_of(folder: Path, event_id: str) -> Path:
    (path,) = folder.rglob(f"*_{event_id}.flac")
    return path


def test_audio_is_served_whole_and_in_ranges(served: Served, folder: Path) -> None:
    content = path_of(folder, "r-0").read_bytes()
    answer = served.ask("/v1/clips/r-0")
    assert (answer.code, answer.body, answer.headers["content-type"]) == (200, content, "audio/flac")
    assert answer.headers["accept-ranges"] == "bytes"
    answer = served.ask("/v1/clips/r-0", range="bytes=10-19")
    assert (answer.code, answer.body) == (206, content[10:20])
    assert answer.headers["content-range"] == f"bytes 10-19/{len(content)}"
    assert served.ask("/v1/clips/r-0", range=f"bytes={len(content)}-").code == 416
    assert served.ask("/v1/clips/r-0", "HEAD").headers["content-length"] == str(len(content))


RANGES = [
    *(("", (200, 0, 100)), ("bytes=0-", (206, 0, 100)), ("bytes=5-9", (206, 5, 10)), ("bytes=-10", (206, 90, 100))),
    *(("bytes=90-1000", (206, 90, 100)), ("bytes=100-", (416, 0, 0)), ("bytes=-0", (416, 0, 0))),
    *(("bytes=-1000", (206, 0, 100)), ("bytes=9-5", (200, 0, 100)), ("bytes=0-1,5-9", (200, 0, 100))),
    *(("bytes=" + "0-0," * 9999, (200, 0, 100)), ("bytes=-", (200, 0, 100)), ("lines=1-2", (200, 0, 100))),
]


@pytest.mark.parametrize(("wanted", "expected"), RANGES, ids=[wanted[:20] for wanted, _ in RANGES])
def test_ranges(wanted: str, expected: tuple[int, int, int]) -> None:
    assert resolve_range(wanted, 100) == expected


def test_each_judgement_has_its_place(served: Served, folder: Path) -> None:
    assert send(served, "r-0", "accept").json == {"judgement": {"verdict": "accept", "label": "dog"}}
    assert send(served, "r-1", "reject").json == {"judgement": {"verdict": "reject", "label": "background"}}
    assert send(served, "r-10", "not_mine").json == {"judgement": {"verdict": "not_mine", "label": "glass"}}
    assert send(served, "r-20", "accept", "door bell").json["judgement"]["label"] == "door bell"
    places = {path.stem.rpartition("_")[2]: str(path.parent.relative_to(folder)) for path in folder.rglob("*.flac")}
    assert places == {
        "r-0": "accepted/dog",
        "r-1": "accepted/background",
        "r-10": "not_mine/glass",
        "r-11": "near_misses/glass",
        "r-20": "accepted/door bell",
    }
    assert len(clips_in(folder)) == 5
    assert served.ask("/v1/clips/r-0").code == 200, "a clip that was judged can still be heard"


def test_second_reviewer_is_told_what_the_first_has_said(served: Served, folder: Path) -> None:
    assert send(served, "r-0", "reject").code == 200
    answer = send(served, "r-0", "accept", "cat")
    assert (answer.code, answer.json["judgement"]["verdict"]) == (409, "reject")
    # The other one sits at a terminal.
    clip = path_of(folder, "r-1")
    assert judge(folder, clip, "dog", Judgement("accept", "cat"))
    wait_until(lambda: send(served, "r-1", "reject").code == 409, "it is not found again")
    assert send(served, "r-1", "reject").json["judgement"] == {"verdict": "accept", "label": "cat"}
    assert served.ask("/v1/clips/r-1/judgement").json["judgement"]["label"] == "cat"


def test_of_reviewers_at_the_same_moment_one_wins(served: Served, folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: send(served, "r-0", "accept", f"label {n}"), range(8)))
    (won,) = [answer for answer in answers if answer.code == 200]
    lost = [answer for answer in answers if answer.code == 409]
    assert len(lost) == 7
    assert {answer.json["judgement"]["label"] for answer in lost} == {won.json["judgement"]["label"]}
    assert len(clips_in(folder)) == 5


def test_viewers_are_told_of_a_judgement(served: Served) -> None:
    stream = Stream(served.address).open()
    assert stream.read_until("state").data["has_clips"] is True
    send(served, "r-0", "reject")
    told = stream.read_until("judgement").data
    assert told == {"id": "r-0", "judgement": {"verdict": "reject", "label": "background"}}
    stream.close()


def test_E54_clip_that_is_gone(served: Served, folder: Path) -> None:
    assert served.ask("/v1/clips/r-0/judgement").json == {"judgement": None}
    path_of(folder, "r-0").unlink()
    for answer in (served.ask("/v1/clips/r-0"), served.ask("/v1/clips/none"), send(served, "r-0", "accept")):
        assert (answer.code, answer.text.startswith("there is no clip of this event")) == (404, True)


def test_E54_folder_that_is_gone_and_comes_back(served: Served, folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    answer = served.ask("/v1/clips/r-0")
    assert (answer.code, str(folder) in answer.text) == (503, False)
    (folder.parent / "elsewhere").rename(folder)
    wait_until(lambda: served.ask("/v1/clips/r-0").code == 200, "it is not read again")


@pytest.mark.parametrize("label", ["..", "a/b", "../x", ".hidden", "x" * 65, "\u202e", "Background"])
def test_label_that_is_none_is_refused(served: Served, folder: Path, label: str) -> None:
    answer = send(served, "r-0", "accept", label)
    assert (answer.code, "label" in answer.text) == (400, True)
    assert path_of(folder, "r-0").parent == folder / "dog"


def test_unknown_sound_needs_a_label(served: Served) -> None:
    assert send(served, "r-20", "accept").text == "an unknown sound is accepted only with a label\n"


BODIES = [
    *(b"", b"x", b"[]", b"{}", b'{"verdict": "delete"}', b'{"verdict": "accept", "path": "x"}', b"\xff" * 9),
    *(b'{"verdict": "accept", "label": 1}', b" " * (MAX_BODY_BYTES + 1), b"[" * MAX_BODY_BYTES),
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_E52_body_that_is_no_judgement_is_refused(served: Served, body: bytes) -> None:
    assert served.ask("/v1/clips/r-0/judgement", "POST", body, **OWN).code == 400


FOREIGN = [
    {"x_streamgmm": ""},
    {"content_type": "text/plain"},
    {"content_type": "application/x-www-form-urlencoded"},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_E52_pages_of_other_sites_cannot_judge(served: Served, folder: Path, headers: dict[str, str]) -> None:
    assert send(served, "r-0", "reject", **headers).code == 403
    assert path_of(folder, "r-0").parent == folder / "dog"


def test_own_page_may_judge_and_other_hosts_may_not(served: Served) -> None:
    assert send(served, "r-0", "reject", host="evil.example").code == 421
    own = served.address.removeprefix("http://")
    assert send(served, "r-0", "reject", origin=f"http://{own}", sec_fetch_site="same-origin").code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_E52_only_a_post_changes_anything(served: Served, folder: Path, method: str) -> None:
    served.ask("/v1/clips/r-0/judgement?verdict=reject", method, b'{"verdict": "reject"}', **OWN)
    assert served.ask("/v1/clips/r-0", "POST", b'{"verdict": "reject"}', **OWN).code == 405
    assert path_of(folder, "r-0").parent == folder / "dog"


IDS = [
    *("..", "../../secret", "..%2f..%2fsecret", "%2e%2e", "/etc/passwd", "dog%2fr-0", "r-0.flac"),
    *("%00", "r-0%00", "", "~", "x" * 9000),
]


@pytest.mark.parametrize("event_id", IDS, ids=[event_id[:20] for event_id in IDS])
def test_E52_no_id_leads_out_of_the_clips(served: Served, folder: Path, event_id: str) -> None:
    (folder.parent / "secret").write_text("secret")
    (folder.parent / "secret.flac").write_text("secret")
    answer = served.ask(f"/v1/clips/{event_id}")
    assert (answer.code in (400, 404, 307), b"secret" in answer.body) == (True, False)
    assert send(served, event_id, "reject").code in (400, 404, 405, 307)


def test_E52_link_and_pipe_in_the_place_of_a_clip_are_not_read(served: Served, folder: Path) -> None:
    (folder.parent / "secret").write_text("secret")
    for event_id, make in (("r-0", lambda path: path.symlink_to(folder.parent / "secret")), ("r-1", os.mkfifo)):
        path = path_of(folder, event_id)
        path.unlink()
        make(path)
        answer = served.ask(f"/v1/clips/{event_id}")
        assert (answer.code in (404, 503), b"secret" in answer.body) == (True, False)


def test_token_is_needed_for_clips_too(folder: Path) -> None:
    token = "0123456789abcdef0123456789abcdef"
    served = Served(token=Token(token.encode()), clips_directory=str(folder))
    try:
        assert (served.ask("/v1/clips/r-0").code, send(served, "r-0", "reject").code) == (401, 401)
        assert send(served, "r-0", "reject", authorization=f"Bearer {token}").code == 200
    finally:
        served.sink.close(1.0)


def test_clips_are_not_served_to_other_machines_without_a_token() -> None:
    listener = TcpListener("web://0.0.0.0:0", allow_remote=True)
    assert WebTask(listener, clips_directory="/clips").request.clips_directory == b""
    token = Token(b"0" * 32)
    assert WebTask(listener, token=token, clips_directory="/clips").request.clips_directory == b"/clips"


def test_without_clips_nothing_can_be_judged() -> None:
    served = Served()
    try:
        assert served.ask("/v1/state").json["has_clips"] is False
        assert (served.ask("/v1/clips/r-0").code, send(served, "r-0", "reject").code) == (404, 405)
    finally:
        served.sink.close(1.0)


def test_E50_requests_for_clips_are_bounded(served: Served) -> None:
    slow = [connect(served.address) for _ in range(MAX_ANSWERS)]
    for connection in slow:
        head = "POST /v1/clips/r-0/judgement HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nX-Streamgmm: 1\r\n"
        connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n{")
    wait_until(lambda: served.ask("/v1/clips/r-0").code == 503, "all are answered")
    assert served.ask("/healthz").code == 200
    for connection in slow:
        connection.close()
    wait_until(lambda: served.ask("/v1/clips/r-0").code == 200, "the places are not free again")


def test_listing_the_folder_takes_a_small_share_of_the_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    n_listings = 0

    def list_slowly(directory: Path) -> list[object]:
        nonlocal n_listings
        n_listings += 1
        now_s[0] += 2.0
        return list(list_candidates(directory))

    monkeypatch.setattr("streamgmm.sinks.web.clip_index.time.monotonic", lambda: now_s[0])
    monkeypatch.setattr("streamgmm.sinks.web.clip_index.list_candidates", list_slowly)
    index = ClipIndex(folder)
    for n in range(100):
        assert index.find(f"none-{n}") is None
        assert present(index.find("r-0")).label == "dog"
    assert n_listings == 1
    now_s[0] += 18.0
    index.find("none")
    assert n_listings == 2


def test_clip_that_is_judged_between_listing_and_move(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = ClipIndex(folder)
    index.find("r-0")
    shutil.rmtree(folder / "dog")
    assert index.judge("r-0", Judgement("accept")) is None


def test_ids_are_as_in_the_names_of_files() -> None:
    assert id_in_name("r-küche 1") == "r-k_che_1"
