"""What a training imports, for the process that :mod:`tests.warm` forks; nothing here computes."""

from __future__ import annotations

from importlib import import_module

for _name in (
    *("torch.optim", "transformers.models.auto.modeling_auto", "peft", "sklearn.linear_model"),
    *("scipy.cluster.hierarchy", "tightfit.cli.train_command", "tightfit.cli.predict_command"),
    *("scipy.optimize", "scipy.stats", "pyarrow.parquet", "pyarrow.dataset", "jinja2"),
    *("datasketch", "tightfit.cli", "tightfit.verbs.run_training", "tightfit.verbs.predict"),
    *("tightfit.verbs.write_export", "tightfit.reporting.page"),
):
    import_module(_name)
