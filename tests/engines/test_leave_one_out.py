"""Which words an answer hangs on, against reading each text without each word by itself."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.command import cli
from tests.toys import toy_rows
from tightfit import Run, TrainResult, report
from tightfit.data.words import without, words
from tightfit.engines.leave_one_out import explain, strongest
from tightfit.reporting.page import render

TEXTS = ["goal team, the bank!", "profit", "", "match match coach \U0001f642"]


@pytest.fixture(scope="module")
def run(finished: TrainResult) -> Run:
    """It tells sport from money."""
    return Run.load(finished.run)


def test_effects_are_those_of_one_text_at_a_time(run: Run) -> None:
    """The log odds of the answer, with all words and without one."""
    found, told = run.explain(TEXTS)
    assert found.ids == run.predict(TEXTS).ids
    for text, answer, reasons in zip(TEXTS, found.ids, told, strict=True):
        assert [reason.text for reason in reasons] == [text[a:b] for a, b in words(text)]
        whole = run.predict(text).probabilities[0, answer]
        for span, reason in zip(words(text), reasons, strict=True):
            share = run.predict(without(text, span)).probabilities[0, answer]
            odds = [math.log(p / (1 - p)) for p in (whole, share)]
            assert reason.without == pytest.approx(share, abs=1e-6)
            assert reason.effect == pytest.approx(odds[0] - odds[1], abs=1e-3)
            assert text[reason.start :].startswith(reason.text)


def test_the_words_of_a_class_speak_for_it(run: Run) -> None:
    """Sport needs its own words; the one of money speaks against it."""
    _, [reasons] = run.explain("goal team bank")
    effects = {reason.text: reason.effect for reason in reasons}
    assert effects["bank"] < 0 < min(effects["goal"], effects["team"])
    assert [word.text for word in strongest(reasons, 2)] == sorted(
        effects, key=lambda word: -abs(effects[word])
    )[:2]


def test_long_texts_are_weighed_in_parts(run: Run) -> None:
    """No more than asked, and nothing of the text is passed over."""
    text = " ".join(["goal"] * 50)
    _, [reasons] = explain(run.predictor, [text], most_words=7)
    assert len(reasons) == 7
    assert " ".join(reason.text for reason in reasons) == text
    assert np.isfinite([reason.effect for reason in reasons]).all()


def test_the_command_line_shows_them(finished: TrainResult) -> None:
    """Under the answer, the strongest first; all of them with their numbers in JSON."""
    words_ = ["predict", str(finished.run), "--text", "goal team bank", "--explain"]
    told = cli(*words_)
    first, text, *listed = told.stdout.splitlines()
    assert first == cli(*words_[:-1]).stdout.strip()
    assert text == "  goal team bank"
    assert {line.split()[0] for line in listed} == {"goal", "team", "bank"}
    [answer] = json.loads(cli(*words_, "--json").stdout)["predictions"]
    assert [word["word"] for word in answer["words"]] == ["goal", "team", "bank"]
    assert set(answer["words"][0]) == {"word", "start", "effect", "confidence_without"}


def test_a_terminal_gets_colours(finished: TrainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Green for the answer, red against it."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    words_ = ["predict", str(finished.run), "--text", "goal team bank", "--explain"]
    told = cli(*words_).stdout
    assert "\x1b[31m" in told
    assert "32m" in told


@pytest.mark.parametrize("more", [["--data", "d", "--out", "o.csv"], ["--text", "a", "--cascade"]])
def test_what_cannot_be_explained(finished: TrainResult, more: list[str]) -> None:
    """Whole files, and the answers of two models."""
    told = cli("predict", str(finished.run), "--explain", *more)
    assert (told.exit_code, "exclude each other" in told.stderr) == (2, True)


def mistaken(run: Run) -> Run:
    """The same run, whose validation rows all count as answered wrongly."""
    kept = run.validation
    assert kept is not None
    texts = [row["text"] for row in toy_rows(len(kept), seed=8)]
    logits_NK = run.predictor.logits(texts)
    targets_N = 1 - logits_NK.argmax(1)
    return run.with_parts(validation=type(kept).gather(run.task, logits_NK, targets_N, texts))


def test_the_report_shows_them_for_ten_mistakes(run: Run) -> None:
    """Marked in the text; nobody asked, nothing is marked."""
    wrong = mistaken(run)
    page = render(wrong, explain=True)
    mistakes = page.split('<section id="mistakes">')[1].split("</section>")[0]
    quotes = mistakes.split("<blockquote>")[1:]
    assert '<mark class="for" title="+' in quotes[0]
    assert sum('title="' in quote for quote in quotes) == 10
    assert "In 10 of those shown, words that the answer hangs on" in page
    assert "<mark" not in render(wrong)


def test_the_report_does_without_the_base_model(
    finished: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says why no words are marked."""
    wrong = mistaken(Run.load(finished.run))
    run = Run.open(shutil.copytree(finished.run, tmp_path / "run"))
    wrong = run.with_parts(validation=wrong.validation)
    manifest = run.manifest.model_copy(
        update={"base": {**run.manifest.base, "name": "./gone", "public_name": "./gone"}}
    )
    page = render(wrong.with_parts(manifest=manifest), explain=True)
    assert "The words they hang on could not be found: the base model" in page
    assert report(run.path).is_file()
