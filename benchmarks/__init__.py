"""One script for each claim; each prints the table that stands in RESULTS.md."""
