"""A GridSearchCV over three learning rates and two folds, with scikit-learn's own tools.

Usage: ``python benchmarks/grid_search.py --data train.csv [--rows 500]``
"""

from __future__ import annotations

import argparse
import time

from sklearn.model_selection import GridSearchCV

from tightfit import TightfitClassifier
from tightfit.config import DEFAULT_RECIPE, load_config
from tightfit.data.sources import Columns, read_table
from tightfit.data.splits import limit_rows
from tightfit.tasks import SingleLabel

RATES = (5e-4, 1e-3, 2e-3)


def main() -> None:
    """Search, and print the scores, the seconds and those of the processors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sample")
    parser.add_argument("--rows", type=int, default=500)
    asked = parser.parse_args()
    table = read_table(asked.data, Columns.of(load_config(DEFAULT_RECIPE, []).data), labelled=True)
    task = SingleLabel.from_table(table)
    rows = list(range(len(table)))
    rows = limit_rows(rows, task.encode(table).tolist(), min(asked.rows, len(table)), seed=0)
    table = table.select(rows)
    # Where rows are few the steps go by the second one.
    grid = {"settings": [{"optim.lr": rate, "contrastive.lr": rate} for rate in RATES]}
    started, processor = time.perf_counter(), time.process_time()
    search = GridSearchCV(TightfitClassifier(random_state=0), grid, cv=2, refit=False)
    search.fit(table.texts, task.encode(table))
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    for rate, score in zip(RATES, search.cv_results_["mean_test_score"], strict=True):
        print(f"rate {rate:g}: {score:.1%} of {len(table):,} rows by two folds")
    print(f"{seconds:.0f} s, {processor:.0f} s of processors")


if __name__ == "__main__":
    main()
