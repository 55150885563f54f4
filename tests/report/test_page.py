from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from streamgmm.evaluation.conditions import Conditions, Noise
from streamgmm.evaluation.scores import score_trial
from streamgmm.report.markup import share_bar, table, text
from streamgmm.report.page import evaluation_page
from streamgmm.settings.config import Config
from streamgmm.shares import share_text
from tests.report.report_rig import HOSTILE, make_trial

pytest.importorskip("matplotlib")

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    conditions = Conditions(Noise("white", 10.0), gain_db=-20.0)
    return make_trial(tmp_path_factory.mktemp("trial"), conditions=conditions, is_open_set=True)


@pytest.fixture(scope="module")
def html(trial) -> str:
    return evaluation_page(trial, Config())


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_names_that_are_markup_are_shown_and_do_nothing(html, page):
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script" not in html
    assert HOSTILE in page.text  # the warning
    assert HOSTILE + r"\n.wav" in page.text  # what was left out
    assert HOSTILE.replace("/", "|") + " 'sounds'" in page.text


def test_nothing_is_loaded_and_nothing_runs(page):
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("data:image/png;base64,", "#"))


def test_no_two_elements_share_an_id(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) > 50
    assert len(set(ids)) == len(ids)


def test_the_figures_are_those_of_the_evaluation(trial, page):
    result = score_trial(trial)
    assert f"{result.accuracy:.1%} ± {result.accuracy_se:.1%}" in page.text
    assert f"{result.log_loss:.3f} ± {result.log_loss_se:.3f}" in page.text
    assert f"{result.ece:.1%} {result.ece_uncalibrated:.1%} before calibration" in page.text
    assert f"{result.auroc_unknown:.3f} each class left out" in page.text
    assert "white noise at 10 dB SNR, gain -20 dB" in page.text
    for label, one in result.per_class.items():
        recall, precision = (share_text(one.n_right, n, result.n_seeds) for n in (one.n_clips, one.n_answered))
        assert f"{label} {one.recall:.1%} {recall} {one.precision:.1%} {precision} {one.f1:.1%}" in page.text


def test_the_ablation_shows_losses_with_their_errors(page):
    assert "With everything 90.0% ± 5.0% of clips are right" in page.text
    assert "frames 80.0% ± 7.0% +10.0" in page.text
    assert f"{HOSTILE} 92.0% ± 5.0% -2.0" in page.text


def test_there_are_pictures_mistakes_settings_and_versions(trial, page):
    assert [tag for tag, _ in page.tags].count("svg") == 4
    n_wrong = sum(one.decision.label != one.clip.label for one in trial.answers)
    assert [tag for tag, _ in page.tags].count("img") == n_wrong
    assert "silence_gate_dbfs: -75" in page.text
    assert re.search(r"streamgmm \d+\.\d+.*numpy \d+\.\d+", page.text)


def test_evaluations_that_were_not_requested_are_not_shown(tmp_path):
    page = Page(evaluation_page(make_trial(tmp_path)._replace(ablation=[]), Config()))
    assert "each part" not in page.text
    assert "unknown accepted" not in page.text
    assert "as recorded" in page.text
    assert [tag for tag, _ in page.tags].count("svg") == 3


def test_a_page_without_mistakes(tmp_path):
    trial = make_trial(tmp_path)
    folds = [
        fold._replace(answers=[one for one in fold.answers if one.decision.label == one.clip.label])
        for fold in trial.folds
    ]
    assert "There are no mistakes." in Page(evaluation_page(trial._replace(folds=folds), Config())).text


def test_pieces():
    assert text('a<b>&"\n') == "a&lt;b&gt;&amp;&quot;\\n"
    cells = Page(table(["<x>", "y"], [["1", share_bar(0.5)]]))
    assert cells.text == "<x> y 1 50.0%"
