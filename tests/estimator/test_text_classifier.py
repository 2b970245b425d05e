"""scikit-learn's habits: each check that its own suite has for estimators, on texts."""

from __future__ import annotations

import pickle
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags

import tightfit
from tests.command import Recorder
from tests.toy_estimators import COUNT, IDS, SETTINGS, TEXTS, TWO, WEIGHTS, toy_estimator
from tightfit import TightfitClassifier, TrainResult
from tightfit.data import text_tokenizer
from tightfit.data.shared_work import BoundedMemory, SharedWork
from tightfit.data.table import Table
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.data.tokens import TextTokens
from tightfit.errors import ArtefactError, Interrupted
from tightfit.estimator import text_estimator
from tightfit.training import encoder_choice, probe
from tightfit.verbs import chosen

Make = Callable[..., TightfitClassifier]


@pytest.fixture
def make(bert: Path) -> Make:
    """A classifier on a toy encoder."""
    return partial(toy_estimator, bert)


def test_parameters_are_stored_untouched(make: Make) -> None:
    """Nothing is checked or copied before ``fit``, and ``clone`` finds the very same."""
    settings = {"optim.lr": "no number"}
    made = TightfitClassifier(budget=-1, settings=settings, recipe="none such", minutes=0)
    assert made.settings is settings
    assert clone(made).get_params() == made.get_params()
    assert made.set_params(budget=5).budget == 5
    assert set(vars(made)) == set(made.get_params())


def test_fit_returns_itself_and_sets_what_ends_in_an_underscore(make: Make) -> None:
    """Classes, run, history and plan."""
    made = make()
    before = made.get_params()
    assert made.fit(TEXTS, TWO) is made
    assert made.get_params() == before
    assert made.classes_.tolist() == ["no", "yes"]
    assert made.run_.labels == ("no", "yes")
    assert made.history_[0]["step"] == 0
    assert made.plan_.total <= 1_000_000


@pytest.mark.parametrize("method", ["decision_function", "predict", "predict_proba", "transform"])
def test_not_fitted(method: str, make: Make) -> None:
    """Before ``fit``, in scikit-learn's own kind of error; so too what needs a fit to be saved."""
    with pytest.raises(NotFittedError):
        getattr(make(), method)(TEXTS)
    with pytest.raises(NotFittedError):
        make().save(Path("x"))


@pytest.mark.parametrize("labels", [IDS - 1, IDS == 0], ids=["negative", "booleans"])
def test_classes_come_back_as_they_came(labels: Any, make: Make) -> None:
    """In the kind and order of ``classes_``; the other kinds are in test_sklearn_rows."""
    made = make().fit(TEXTS, labels)
    found = made.predict(TEXTS[:5])
    assert made.classes_.tolist() == sorted(set(labels.tolist()))
    assert found.dtype == labels.dtype
    assert set(found.tolist()) <= set(made.classes_.tolist())
    assert 0 <= made.score(TEXTS, labels, sample_weight=WEIGHTS) <= 1


def test_probabilities_and_decisions(fitted: TightfitClassifier) -> None:
    """A column a class, sums of one; of two classes one number decides."""
    probabilities_NK = fitted.predict_proba(TEXTS)
    assert probabilities_NK.shape == (COUNT, 2)
    assert np.allclose(probabilities_NK.sum(1), 1)
    decisions_N = fitted.decision_function(TEXTS)
    assert decisions_N.shape == (COUNT,)
    answers = fitted.classes_[(decisions_N > 0).astype(int)]
    assert answers.tolist() == fitted.predict(TEXTS).tolist()


def test_three_classes_have_a_decision_each(make: Make) -> None:
    """In the order of ``classes_``."""
    made = make().fit(TEXTS, IDS)
    assert made.decision_function(TEXTS).shape == (COUNT, 3)
    assert made.decision_function(TEXTS).argmax(1).tolist() == made.predict(TEXTS).tolist()


def test_the_embeddings_are_what_the_head_reads(fitted: TightfitClassifier) -> None:
    """The output layer over them gives the logits."""
    embeddings_NF = fitted.transform(TEXTS)
    layer = fitted.run_.model.network.head[-1].linear  # type: ignore[attr-defined]  # BERT's, known
    logits_NK = embeddings_NF @ layer.weight_OI.T + layer.bias_O
    assert np.allclose(logits_NK, fitted.run_.predictor.logits(TEXTS), atol=1e-5)
    names = fitted.get_feature_names_out()
    assert len(names) == embeddings_NF.shape[1]
    assert names[0] == "tightfitclassifier0"


FRAME = pd.DataFrame({"n": range(COUNT), "words": TEXTS})


def test_a_frame_gives_what_a_list_gives(make: Make, fitted: TightfitClassifier) -> None:
    """The same probabilities; the other forms are in test_sklearn_rows."""
    made = make(text_column="words").fit(FRAME, pd.Series(TWO))
    assert np.array_equal(made.predict_proba(FRAME), fitted.predict_proba(TEXTS))


def test_the_same_seed_gives_the_same(make: Make, fitted: TightfitClassifier) -> None:
    """Also from a generator; without a seed two fits differ."""
    again = make().fit(TEXTS, TWO).predict_proba(TEXTS)
    assert np.array_equal(again, fitted.predict_proba(TEXTS))
    seeds = [make(random_state=np.random.RandomState(7))._seed() for _ in range(2)]
    assert seeds[0] == seeds[1] == np.random.RandomState(7).randint(2**32, dtype=np.uint32)
    assert make(random_state=None)._seed() != make(random_state=None)._seed()


def test_the_callers_random_numbers_are_left_alone(make: Make) -> None:
    """All three generators."""

    def drawn() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(1))]

    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    wanted = drawn()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    make(random_state=None).fit(TEXTS, TWO).predict(TEXTS)
    assert drawn() == wanted


@pytest.mark.parametrize("kept", ["file", "joblib", "pickle"])
def test_it_is_kept_with_its_run(kept: str, fitted: TightfitClassifier, tmp_path: Path) -> None:
    """Without the base model; what comes back answers the same, and can be kept again."""
    path = tmp_path / "kept"
    if kept == "file":
        other = TightfitClassifier.load(fitted.save(path))
    elif kept == "joblib":
        joblib.dump(fitted, path)
        other = joblib.load(path)
    else:
        path.write_bytes(pickle.dumps(fitted))
        other = pickle.loads(pickle.dumps(pickle.loads(path.read_bytes())))
    assert np.array_equal(other.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert other.get_params() == fitted.get_params()
    assert other.run_.proofs == fitted.run_.proofs


def test_other_files_are_no_estimators(tmp_path: Path) -> None:
    """In words."""
    (tmp_path / "x").write_bytes(b"no pickle")
    (tmp_path / "y").write_bytes(pickle.dumps([1]))
    with pytest.raises(ArtefactError, match="no estimator can be read"):
        TightfitClassifier.load(tmp_path / "x")
    with pytest.raises(ArtefactError, match="holds something else"):
        TightfitClassifier.load(tmp_path / "y")


def test_no_folder_is_left_behind(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither in the working folder nor, once the estimator is gone, among temporary files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = make().fit(TEXTS, TWO)
    assert len(list(tmp_path.iterdir())) == 1
    made.fit(TEXTS, TWO)
    assert len(list(tmp_path.iterdir())) == 1
    del made
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_told_before_anything_is_done(make: Make) -> None:
    """scikit-learn's kind of error; every other fault is in test_sklearn_rows."""
    with pytest.raises(ValueError, match="row 0 is None"):
        make().fit([None, *TEXTS[1:]], TWO)
    with pytest.raises(ValueError, match="text_column is one of"):
        make().fit(FRAME, TWO)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"budget": 3}, "parameters would train"),
        ({"recipe": "tigth"}, "tight"),
        ({"settings": {"optim.rl": 1}}, r"optim\.lr"),
        ({"text_column": "gone"}, "no column 'gone'"),
    ],
)
def test_bad_parameters(given: dict[str, Any], words: str, make: Make) -> None:
    """Told in ``fit``."""
    with pytest.raises(ValueError, match=words):
        make(**given).fit(FRAME if "text_column" in given else TEXTS, TWO)


def test_warnings_are_those_of_python(make: Make) -> None:
    """Who sees no line of a fit still hears of what was passed over, and where it was called."""
    with pytest.warns(UserWarning, match="^label names are left out: ") as heard:
        make(settings={"data.label_names": "on"}).fit(TEXTS, IDS)
    assert {warning.filename for warning in heard} == {__file__}


@pytest.mark.parametrize("names", [["yes", "no"], ["no", "yes", "maybe"]])
def test_classes_are_those_of_y(names: list[str], make: Make) -> None:
    """In another order ``predict`` answered the wrong ones, and with more it failed."""
    declared = {"data.labels": names}
    for y in (TWO, [[each] for each in TWO]):
        with pytest.raises(ValueError, match=r"classes of y are \['no', 'yes'\]"):
            make(settings=declared).fit(TEXTS, y)


def test_integers_may_have_names(make: Make) -> None:
    """Which the run says, and the estimator does not."""
    ids = (TWO == "yes").astype(int)
    made = make(settings={"data.labels": ["money", "sport"]}).fit(TEXTS, ids)
    assert made.run_.labels == ("money", "sport")
    assert made.score(TEXTS, ids) > 0.5


def test_partial_fit_is_refused(make: Make) -> None:
    """By name, with what there is in its place."""
    with pytest.raises(NotImplementedError, match="learns from all rows at once"):
        make().partial_fit(TEXTS, TWO)


def test_tags_say_that_texts_are_read(make: Make) -> None:
    """What scikit-learn's own tools ask."""
    tags = get_tags(make())
    assert tags.estimator_type == "classifier"
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert tags.target_tags.required


def test_in_a_pipeline_and_a_search(make: Make) -> None:
    """Settings as a grid, behind a step of texts; the best is fitted again."""
    pipeline = make_pipeline(FunctionTransformer(lambda texts: [t.lower() for t in texts]), make())
    rates = [{**SETTINGS, "optim.lr": lr} for lr in (1e-3, 1e-2)]
    grid = {"tightfitclassifier__settings": rates}
    found = GridSearchCV(pipeline, grid, cv=2).fit(TEXTS, TWO)
    assert found.best_params_["tightfitclassifier__settings"] in rates
    assert found.predict(TEXTS).shape == (COUNT,)


def test_a_search_tokenises_each_row_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rates, two folds, a last fit on all rows, and every scoring."""
    counts: Counter[str] = Counter()
    heads = text_tokenizer._ENCODERS["head"]

    def counted(tokenizer: TextTokenizer, texts: list[str], **most: int) -> list[TextTokens]:
        counts.update(texts)
        return heads(tokenizer, texts, **most)

    # The look at a sample of rows, whether the encoder reads them at all, does not come this way.
    monkeypatch.setitem(text_tokenizer._ENCODERS, "head", counted)
    monkeypatch.setattr("tightfit.estimator.text_estimator._SHARED", SharedWork())
    rates = [{**SETTINGS, "optim.lr": lr} for lr in (1e-4, 1e-3, 1e-2)]
    GridSearchCV(make(), {"settings": rates}, cv=2, return_train_score=True).fit(TEXTS, TWO)
    assert counts == Counter(TEXTS)


def test_a_search_chooses_and_probes_once_for_the_same_rows(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each fold, whatever the rate; and answers as fits do that share nothing."""
    calls: Counter[str] = Counter()
    monkeypatch.setattr(text_estimator, "_SHARED", SharedWork())
    for module, name in ((chosen, "choose_encoder"), (probe, "_features")):
        monkeypatch.setattr(module, name, partial(_counted, calls, getattr(module, name)))
    # A head that is solved at the end reads features of its own.
    alike = {**SETTINGS, "head.pooling": "auto", "head.end": "trained"}
    settings = [{**alike, "optim.lr": lr} for lr in (1e-3, 1e-2)]
    found = GridSearchCV(make(), {"settings": settings}, cv=2).fit(TEXTS, TWO)
    assert calls == {"choose_encoder": 3, "_features": 3}
    nothing = SharedWork(results=BoundedMemory(0))
    monkeypatch.setattr(text_estimator, "_SHARED", nothing)
    alone = clone(found.best_estimator_).fit(TEXTS, TWO)
    assert np.array_equal(alone.predict_proba(TEXTS), found.predict_proba(TEXTS))


def test_another_number_format_is_another_choice(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probes compute in it, so that figures differ in their last digits."""
    calls: Counter[str] = Counter()
    monkeypatch.setattr(text_estimator, "_SHARED", SharedWork())
    choose = partial(_counted, calls, encoder_choice.choose_encoder)
    monkeypatch.setattr(chosen, "choose_encoder", choose)
    for form in ("fp32", "bf16", "fp32"):
        make(settings={**SETTINGS, "train.precision": form}).fit(TEXTS, TWO)
    assert calls == {"choose_encoder": 2}


def _counted(calls: Counter[str], plain: Any, *given: Any, **named: Any) -> Any:
    calls[plain.__name__] += 1
    return plain(*given, **named)


def test_ctrl_c_ends_a_search(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fit that failed, after which the next one begins."""
    stop = Interrupted("stopped", signal_number=2, next_step="train again")
    calls = Recorder(stop)
    monkeypatch.setattr(text_estimator, "train", calls)
    search = GridSearchCV(make(), {"budget": [10_000, 20_000]}, cv=2, error_score=0.0)
    with pytest.raises(Interrupted):
        search.fit(TEXTS, TWO)
    assert calls.options["budget"] == 10_000


@pytest.mark.slow
@pytest.mark.timeout(600)  # two processes import torch
def test_processes_of_joblib_find_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And leave no folder; what they have fitted comes back whole."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    found = {
        jobs: VotingClassifier([("a", make()), ("b", make(random_state=2))], n_jobs=jobs)
        .fit(TEXTS, TWO)
        .transform(TEXTS)
        for jobs in (None, 2)
    }
    assert np.array_equal(*found.values())
    # A process lets go of what it has sent some time afterwards, and at its end at the latest.
    get_reusable_executor().shutdown(wait=True)
    assert not list(tmp_path.glob("tightfit-*"))


def test_threads_of_a_process_are_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In processes that joblib started, and in no other."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for parent in (None, object()):
        monkeypatch.setattr(text_estimator, "parent_process", lambda parent=parent: parent)
        text_estimator._say_threads.cache_clear()
        for _ in range(2):
            text_estimator._say_threads()
        assert capsys.readouterr().err.count("have 1 of") == (parent is not None)


def test_beside_numbers(make: Make) -> None:
    """Its embeddings and a scaled column, under another classifier."""
    columns = ColumnTransformer(
        [("text", make(), "words"), ("number", StandardScaler(), ["n"])]
    ).set_output(transform="pandas")
    model = make_pipeline(columns, LogisticRegression()).fit(FRAME, TWO)
    seen = columns.fit(FRAME, TWO).transform(FRAME)
    assert {"text__tightfitclassifier0", "number__n"} <= set(seen.columns)
    assert model.predict(FRAME).shape == (COUNT,)


META: dict[str, Callable[[TightfitClassifier], Any]] = {
    "calibrated": lambda one: CalibratedClassifierCV(one, cv=2),
    "pipeline": lambda one: make_pipeline(FunctionTransformer(list), one),
    "search": lambda one: GridSearchCV(one, {"class_weight": [None, "balanced"]}, cv=2),
    "stacking": lambda one: StackingClassifier(
        [("a", one)], LogisticRegression().set_fit_request(sample_weight=False), cv=2
    ),
    "threshold": lambda one: FixedThresholdClassifier(one, threshold=0.3, pos_label="yes"),
    "tuned threshold": lambda one: TunedThresholdClassifierCV(
        one, cv=2, scoring=make_scorer(accuracy_score).set_score_request(sample_weight=False)
    ),
    "voting": lambda one: VotingClassifier([("a", one), ("b", clone(one))], voting="soft"),
}


@pytest.mark.parametrize("name", sorted(META))
def test_in_other_estimators(name: str, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that take classifiers and fit them anew; each fit gets its rows' weights."""
    seen: list[Table] = []

    def noted(table: Table, **options: Any) -> TrainResult:
        seen.append(table)
        return tightfit.train(table, **options)

    monkeypatch.setattr("tightfit.estimator.text_estimator.train", noted)
    one = make()
    with config_context(enable_metadata_routing=True):
        one.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        found = META[name](one).fit(TEXTS, TWO, sample_weight=WEIGHTS).predict(TEXTS)
    assert set(found.tolist()) <= {"no", "yes"}
    due = dict(zip(TEXTS, WEIGHTS.tolist(), strict=True))
    assert [table.weights == [due[text] for text in table.texts] for table in seen[:1]] == [True]


def test_weights_of_classes_multiply_those_of_rows(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And reach the run: its scores are the weighted ones."""
    plain, heavy = make(), make(class_weight={"yes": 50.0})
    accuracies = [
        one.fit(TEXTS, TWO, sample_weight=WEIGHTS).run_.metrics.validation.accuracy.value
        for one in (plain, heavy)
    ]
    assert accuracies[0] != accuracies[1]


def test_lists_of_labels_are_scored(make: Make) -> None:
    """As the matrix of them is: rows whose labels are all right."""
    own = [[word] if i % 4 else [word, "third"] for i, word in enumerate(TWO.tolist())]
    marks = np.array([[int(name in each) for name in ("no", "third", "yes")] for each in own])
    lists, matrix = make().fit(TEXTS, own), make().fit(TEXTS, marks.tolist())
    assert 0 < lists.score(TEXTS, own) < 1
    assert lists.score(TEXTS, own) == matrix.score(TEXTS, marks.tolist())
    assert lists.score(TEXTS, own, sample_weight=WEIGHTS) == matrix.score(TEXTS, marks, WEIGHTS)
    assert matrix.predict(TEXTS[:2]).shape == (2, 3)


def test_cross_validation(make: Make) -> None:
    """Every row answered by a fit without it."""
    found = cross_val_predict(make(), TEXTS, TWO, cv=2, method="predict_proba")
    assert found.shape == (COUNT, 2)
    assert np.allclose(found.sum(1), 1)
