"""Split-conformal intervals: the finite-sample quantile, and the coverage that it promises."""

import numpy as np
import pytest

from tightfit.metrics.conformal import conformal_reach, fit_reach


def test_the_reach_is_an_order_statistic_with_the_new_row_counted() -> None:
    """The reach is an order statistic with the new row counted."""
    # Of 19 rows ceil(20 * 0.9) = 18: the second largest.
    assert conformal_reach(np.arange(1, 20)) == 18.0
    assert conformal_reach([-3, 1, 2, 1, 1, 1, 1, 1, 1]) == 3.0


def test_it_is_that_of_numpy_at_the_level_corrected_for_few_rows() -> None:
    """It is that of numpy at the level corrected for few rows."""
    errors_N = np.random.default_rng(0).normal(size=137)
    level = np.ceil(138 * 0.9) / 137
    wanted = np.quantile(abs(errors_N), level, method="inverted_cdf")
    assert conformal_reach(errors_N) == pytest.approx(wanted, abs=1e-9)


def test_too_few_rows_promise_nothing() -> None:
    """Too few rows promise nothing."""
    assert conformal_reach(np.ones(8)) is None
    assert conformal_reach(np.ones(9)) == 1.0
    assert fit_reach(np.ones(10)).coverage is None


def test_new_rows_are_covered_as_promised_over_50_splits() -> None:
    """New rows are covered as promised over 50 splits."""
    # Exactly: with 99 rows a new one is covered with probability 90 / 100. Fixed seeds.
    random = np.random.default_rng(5)
    shares = []
    for _ in range(50):
        errors_N = random.standard_t(3, size=99 + 400)
        reach = conformal_reach(errors_N[:99])
        assert reach is not None
        shares.append((abs(errors_N[99:]) <= reach).mean())
    standard_error = np.std(shares, ddof=1) / np.sqrt(50)
    assert abs(np.mean(shares) - 0.9) < 2 * standard_error


def test_coverage_is_measured_on_rows_that_had_no_say() -> None:
    """Coverage is measured on rows that had no say."""
    found = fit_reach(np.random.default_rng(1).normal(size=400))
    assert found.rows == 400
    assert found.coverage is not None
    assert found.coverage.low < 0.9 < found.coverage.high
