"""Brings in :mod:`tests.fixtures`, wherever tests run."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The process that hands tests to others runs none: it need not import what trains."""
    if config.getoption("dist", "no") == "no":
        config.pluginmanager.import_plugin("tests.fixtures")
