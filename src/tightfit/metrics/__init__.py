"""Numbers in, numbers out: scores, their intervals, paired comparisons and calibration.

Nothing here knows of models or files. Arrays are named by shape: B rows, K classes, C cells (kinds
of rows that a count stands for), R resamples.
"""
