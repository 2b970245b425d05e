"""What is wrong with rows of text and label: found, counted, shown, and mended on request only."""

from tightfit.data.checks.cleaning import FIXES, Cleaned, Fix, cleaned
from tightfit.data.checks.examine import check_table
from tightfit.data.checks.findings import KINDS, Example, Finding, Findings, Kind
from tightfit.data.checks.quick import quick_warnings
