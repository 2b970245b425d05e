"""Rows of text and label: where they come from, what the labels mean, how they are split."""
