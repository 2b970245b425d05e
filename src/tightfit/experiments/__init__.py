"""Comparisons: which cells there are, what each is worth, and what was found already."""
