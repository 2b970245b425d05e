"""The front for scikit-learn: a classifier and a regressor of texts.

Both are pickled under the names that they have here, whatever file they are written in.
"""

from tightfit.estimator.text_classifier import TightfitClassifier
from tightfit.estimator.text_regressor import TightfitRegressor

__all__ = ["TightfitClassifier", "TightfitRegressor"]
