"""ELECTRA (arXiv:2003.10555)."""

from __future__ import annotations

from dataclasses import replace

from tightfit.families import bert, roberta
from tightfit.families.family import Family

ELECTRA = Family("electra", bert.LINEARS, (replace(roberta.TWO_LAYERS, activation="gelu"),))
