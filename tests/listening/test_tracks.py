from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm import units
from streamgmm.audio.reading import RecordingError
from streamgmm.decision.assembly import make_judge
from streamgmm.decision.events import EventClosed, EventOpened, LabelRule, Segmenter
from streamgmm.demo.recordings import write_wav
from streamgmm.listening.events import Detection
from streamgmm.listening.tracks import ScoreTrack, keep_scores, replay, score_recording
from streamgmm.model.file import load_model
from streamgmm.settings.config import Config
from tests.decision.decider_streams import BARK, DOOR, HOP, LABELS, NOTHING, PLAIN, RATE_HZ, make_hop
from tests.decision.decider_streams import make_judge as judge_of

SCORES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
RULES = st.builds(
    lambda onset, offset, least, hangover, refractory, most: LabelRule(
        onset, min(onset, offset), least, hangover, refractory, most
    ),
    st.sampled_from([0.3, 0.5, 0.9]),
    st.sampled_from([0.0, 0.1, 0.5]),
    *[st.sampled_from([0, 50, HOP, 3 * HOP])] * 3,
    st.sampled_from([0, 5 * HOP]),
)


def as_run(scores, ends, rule):
    """Detections of automata that are updated at every hop."""
    segmenter = Segmenter([rule], HOP)
    detections, reported = [], 0

    def finish(changes):
        for change in changes:
            if isinstance(change, EventClosed):
                samples = (change.onset_sample, change.offset_sample, reported)
                start_s, end_s, reported_s = (units.samples_to_seconds(n, RATE_HZ) for n in samples)
                detections.append(Detection("bark", start_s, end_s, reported_s, change.max_score))

    for score, end in zip(scores, ends, strict=True):
        for change in segmenter.update(np.array([score]), end):
            finish([change])
            reported = end if isinstance(change, EventOpened) else reported
    finish(segmenter.close_all("flush"))
    return detections


@given(scores=st.lists(SCORES, max_size=60), rule=RULES, cut=st.integers(0, HOP - 1))
def test_a_replay_of_the_hops_with_a_score_gives_the_events_of_a_run(scores, rule, cut):
    # The last hop of a recording may be a shorter one.
    ends = [HOP * (i + 1) - (cut if i == len(scores) - 1 else 0) for i in range(len(scores))]
    kept = [(end, score) for end, score in zip(ends, scores, strict=True) if score > 0.0]
    track = ScoreTrack(np.array([end for end, _ in kept], np.int64), np.array([score for _, score in kept]))
    spec: Any = SimpleNamespace(hop_samples=HOP, sample_rate_hz=RATE_HZ)  # no real one has so short a hop
    assert replay(track, "bark", rule, spec, ends[-1] if ends else 0) == as_run(scores, ends, rule)


def test_scores_from_the_lowest_on_are_kept_label_by_label():
    hops = [make_hop(i, hop) for i, hop in enumerate([NOTHING, BARK, DOOR, BARK])]
    hops.append(make_hop(4, BARK, level_dbfs=-150.0))
    heard = keep_scores(Path("yard"), iter(hops), judge_of(PLAIN), len(LABELS), 0.5)
    assert [track.end_samples.tolist() for track in heard.tracks] == [[2 * HOP, 4 * HOP], [3 * HOP], []]
    assert (heard.end_sample, heard.silent_samples) == (5 * HOP, HOP)
    everything = keep_scores(Path("yard"), iter(hops), judge_of(PLAIN), len(LABELS), 0.0)
    assert [len(track.scores) for track in everything.tracks] == [4, 4, 0]


def test_a_recording_is_scored_to_its_end_with_progress(demo_model, demo_scene):
    model = load_model(demo_model)
    seconds: list[float] = []
    heard = score_recording(demo_scene, model, Config(), 0.01, seconds.append)
    assert heard.end_sample == 60 * model.spec.sample_rate_hz
    assert sum(seconds) == pytest.approx(60.0)
    assert len(seconds) > 3
    assert sum(len(track.scores) for track in heard.tracks) > 20


def test_digital_silence_is_silent_throughout(demo_model, tmp_path):
    model = load_model(demo_model)
    write_wav(tmp_path / "silence.wav", np.zeros(30000, np.float32), 16000)
    heard = score_recording(tmp_path / "silence.wav", model, Config(), 0.0)
    assert heard.silent_samples == heard.end_sample == 30000


def test_a_file_that_is_not_a_recording_is_rejected(demo_model, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(RecordingError):
        score_recording(tmp_path / "text.wav", load_model(demo_model), Config(), 0.0)


def test_the_judge_of_a_run_has_the_priors_of_the_settings(demo_model):
    model = load_model(demo_model)
    config = Config()
    hop = make_hop(0, np.zeros(len(model.labels)))
    posteriors = make_judge(model, config).update(hop).posteriors
    assert posteriors == pytest.approx(np.full(len(model.labels), 1 / len(model.labels)))
