"""``python -m tightfit`` is the ``tightfit`` command."""

from __future__ import annotations

from tightfit.cli import main

main()
