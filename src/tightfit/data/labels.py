"""The label vocabulary: which raw label is which class, decided once and saved with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any

from tightfit.data.cell_labels import TRUTHS
from tightfit.data.checks.spelling import spelling_key
from tightfit.data.table import Table
from tightfit.errors import ArtefactError, DataError, first_few

LABELS_NAMED = 20
"""Labels that an error message lists one by one."""

LABEL_SHOWN = 60
"""Characters of a label in such a message: who takes texts for labels is not shown the texts."""

SUSPICIOUS_ROWS = 20
"""From so many rows on, labels that nearly all differ look like the wrong column."""

OWN_LABELS = 0.9
"""Labels to a row from which on they do. Few rows of many classes are a hard task, not a fault."""


class UnknownLabels(DataError):
    """Rows have labels that training did not see.

    Attributes:
        known: those that it saw, by name and by value, as strings.
        foreign: no row has any of them, in whatever spelling.
    """

    known: frozenset[str] = frozenset()
    foreign: bool = False


@dataclass(frozen=True)
class LabelSet:
    """The classes of a classifier; class id i has ``names[i]`` and the raw value ``values[i]``.

    Raises:
        DataError: two classes have the same name or value.
    """

    names: tuple[str, ...]
    values: tuple[int | str, ...]
    """What stood in the label column of the training rows, or would have for an absent class."""

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.values)
        for group in (self.names, self.values):
            if len(set(group)) != len(group):
                raise DataError("two classes have the same name", seen=_listed(group))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shown(self) -> tuple[int | str, ...]:
        """What people call the classes: by name where a bare integer says nothing."""
        pairs = zip(self.names, self.values, strict=True)
        return tuple(
            name if type(value) is int and str(value) != name else value for name, value in pairs
        )

    def spelt(self, label_format: str | None) -> tuple[int | str, ...]:
        """The classes by ``value``, ``id`` or ``name``; None is what people call them."""
        if label_format == "id":
            return tuple(range(len(self)))
        if label_format is None:
            return self.shown
        spelt = self.values if label_format == "value" else self.names
        # Labels that only ``data.labels`` declares may be names among integers.
        return spelt if len({*map(type, spelt)}) == 1 else tuple(map(str, spelt))

    @classmethod
    def from_table(cls, table: Table, declared: tuple[str, ...] = ()) -> LabelSet:
        """Fix the classes and their order from labelled rows.

        The order is the source's own (ClassLabel), else ascending integers, else sorted names.

        Args:
            table: the training rows.
            declared: names in order (setting ``data.labels``). They order the names that the rows
                carry, or else name the integers that the rows carry.

        Raises:
            DataError: no labels, fewer than 2 classes, about a class a row, or ``declared`` does
                not cover the labels.
        """
        present = _present(_labels(table))
        _check_classes(present, len(table))
        own = own_classes(table)
        return _declare(own, [_name(table, label) for label in present], declared)

    def encode(self, table: Table) -> list[int]:
        """Class ids of labelled rows.

        Rows that carry names (strings, or a source with class names) are matched by name if any
        of their names is known here, other rows by raw value.

        Raises:
            DataError: no labels, or labels that training did not see.
        """
        labels = _labels(table)
        id_of = self._ids(table, labels)
        unseen = [row for row, label in enumerate(labels) if label not in id_of]
        if unseen:
            raise _unseen(self, table, unseen, {str(_name(table, labels[row])) for row in unseen})
        return [id_of[label] for label in labels]

    def encode_sets(self, table: Table) -> list[list[int]]:
        """Class ids of rows with several labels each, as :meth:`encode` matches them.

        Raises:
            DataError: no labels, or labels that training did not see.
        """
        sets = table.label_sets
        if sets is None:
            raise DataError(
                f"{table.source} has not several labels a row, as the classifier has",
                next_step="give lists, names joined by data.label_separator, or columns of 0 and 1",
            )
        flat = [label for own in sets for label in own]
        id_of = self._ids(table, flat) if flat else {}
        unseen = [row for row, own in enumerate(sets) if not id_of.keys() >= set(own)]
        if unseen:
            strange = {str(_name(table, x)) for row in unseen for x in sets[row] if x not in id_of}
            raise _unseen(self, table, unseen, strange)
        return [[id_of[label] for label in own] for own in sets]

    def extended(self, table: Table) -> LabelSet:
        """These classes, whose ids stay, and after them those of the rows that are not known here.

        Raises:
            DataError: no labels, or a new one has the raw value of a known class.
        """
        labels = _labels(table)
        known, own = self._ids(table, labels), own_classes(table)
        names = [_name(table, label) for label in _present(labels) if label not in known]
        values = [own.values[own.names.index(name)] for name in names]
        return LabelSet((*self.names, *names), (*self.values, *values))

    def to_json(self) -> dict[str, list[Any]]:
        """Plain lists; :meth:`from_json` gives an equal object back."""
        return {"names": list(self.names), "values": list(self.values)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> LabelSet:
        """Read what :meth:`to_json` wrote.

        Raises:
            ArtefactError: it is something else.
        """
        names: Any = saved.get("names")
        values: Any = saved.get("values")
        whole = _is_list(names, str) and _is_list(values, int | str)
        if not whole or not len(names) == len(values) == len(set(names)) == len(set(values)):
            raise ArtefactError("the saved labels are damaged", seen=saved)
        return cls(tuple(names), tuple(values))

    def _ids(self, table: Table, labels: Sequence[int | str]) -> dict[int | str, int]:
        """The id of each raw label of ``table`` that is known here."""
        by_value = {value: index for index, value in enumerate(self.values)}
        by_name = {TRUTHS.get(name.lower(), name): i for i, name in enumerate(self.names)}
        by_name |= {name: index for index, name in enumerate(self.names)}
        names = {label: _name(table, label) for label in set(labels)}
        by_their_name = {x: by_name[name] for x, name in names.items() if name in by_name}
        if table.label_names is None and isinstance(labels[0], int):
            # Bare integers carry no names: "1" is at most a likeness, when no value fits.
            return by_value if set(labels) & set(by_value) else by_their_name
        # One shared name is enough: to match the rest by value could only swap classes silently.
        return by_their_name or by_value


def _unseen(known: LabelSet, table: Table, rows: list[int], names: set[str]) -> UnknownLabels:
    spelt = {spelling_key(name): name for name in known.names}
    meant = {name: spelt[key] for name in sorted(names) if (key := spelling_key(name)) in spelt}
    step = "remove these rows, or give their labels the names known here"
    sets = table.label_sets or [(label,) for label in table.labels or ()]
    fault = UnknownLabels(
        f"{table.source} has labels that the classifier does not know",
        seen=f"{_listed(sorted(names))} in {table.say(rows)}; {len(rows):,} of {len(table):,} rows",
        allowed=_listed(known.names),
        # As classes apart they would be trained, so nobody takes them for one unasked.
        next_step=f"{step}; for what differs in spelling alone, in pandas: .replace({meant})"
        if meant
        else step,
    )
    fault.known = frozenset({*known.names, *map(str, known.values)})
    fault.foreign = not meant and {str(_name(table, x)) for own in sets for x in own} <= names
    return fault


def own_classes(table: Table) -> LabelSet:
    """The classes as labelled rows themselves tell them, however few or many those are.

    Raises:
        DataError: there are no labels, or the source gives two classes the same name.
    """
    present = _present(_labels(table))
    if table.label_names is not None:
        values = table.label_values or tuple(range(len(table.label_names)))
        return LabelSet(table.label_names, values)
    if table.label_values is not None:
        return LabelSet(tuple(map(str, present)), tuple(name == str(True) for name in present))
    return LabelSet(tuple(map(str, present)), tuple(present))


def _is_list(value: object, kind: type | UnionType) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _labels(table: Table) -> list[int | str]:
    if table.label_sets is not None:
        raise DataError(
            f"{table.source} has several labels a row, where the classifier has one",
            next_step="give each row one label",
        )
    if not table.labels:
        raise DataError(
            f"{table.source} has no labels", next_step="choose them with --label-column"
        )
    return table.labels


def _present(labels: Sequence[int | str]) -> list[int | str]:
    """The different labels: ascending integers, or sorted strings."""
    return sorted(set(labels), key=lambda label: (str(type(label)), label))


def _name(table: Table, label: int | str) -> str:
    if table.label_names is not None and isinstance(label, int):
        return table.label_names[label]
    return str(label)


def _check_classes(present: Sequence[int | str], rows: int) -> None:
    if len(present) < 2:
        raise DataError(
            "a classifier needs rows of at least 2 classes",
            seen=f"{_listed(present)} alone, in {rows:,} row{'s' if rows > 1 else ''}",
            next_step="choose the column of labels with --label-column, or give rows of more",
        )
    if rows >= SUSPICIOUS_ROWS and len(present) > OWN_LABELS * rows:
        raise DataError(
            "nearly every row has a label of its own",
            seen=f"{len(present):,} labels in {rows:,} rows",
            next_step="choose the column of labels with --label-column, or give more rows of each",
        )


def check_different(table: Table) -> None:
    """Check that rows of several labels differ in them, and that there are two or more.

    Raises:
        DataError: nothing can be learned from these.
    """
    sets = [set(own) for own in table.label_sets or ()]
    every = set().union(*sets)
    if len(every) == 1:
        raise DataError(
            "all rows together have one label, where several a row need two",
            seen=f"{next(iter(every))!r} in {sum(map(len, sets)):,} of {len(sets):,} rows",
            next_step="what a row has or has not is one label a row: name both cases",
        )
    if all(own == every for own in sets):
        raise DataError(
            "all rows have the same labels, from which nothing can be learned",
            seen=f"{', '.join(sorted(map(str, every)))} in {len(sets):,} rows",
            next_step="choose the column of labels with --label-column",
        )


def _declare(own: LabelSet, present: Sequence[str], declared: tuple[str, ...]) -> LabelSet:
    """``own`` in the declared order, or under the declared names.

    Args:
        own: the classes as the rows tell them.
        present: names of those that have rows.
        declared: names in order; none leaves ``own`` as it is.
    """
    if not declared:
        return own
    value_of = dict(zip(own.names, own.values, strict=True))
    if set(present) <= set(declared):
        return LabelSet(declared, tuple(value_of.get(name, name) for name in declared))
    integers = [value for value in own.values if type(value) is int]
    unnamed = len(integers) == len(own) and not set(declared) & set(own.names)
    if unnamed and integers[0] >= 0 and integers[-1] < len(declared):
        return LabelSet(declared, tuple(range(len(declared))))
    if unnamed and len(integers) == len(declared):
        return LabelSet(declared, tuple(integers))
    raise DataError(
        "data.labels does not cover the labels of the rows",
        seen=_listed(present),
        allowed=_listed(declared),
        next_step="set data.labels to all labels in order, or leave it out",
    )


def _listed(labels: Sequence[int | str]) -> str:
    names = [str(label) for label in labels]
    short = [name if len(name) <= LABEL_SHOWN else f"{name[: LABEL_SHOWN - 1]}…" for name in names]
    return first_few(short, LABELS_NAMED)
