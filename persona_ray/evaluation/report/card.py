"""The model card: what a report found, in Markdown, to go with the bundle.

Nothing in it is written by hand for one model: each sentence is a figure, or says that there is
none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.evaluation.report import findings, words
from persona_ray.files import write_whole

if TYPE_CHECKING:
    from persona_ray.evaluation.bootstrap import Estimate
    from persona_ray.evaluation.report.data import ReportData
    from persona_ray.evaluation.slices import Slices
    from persona_ray.models.contract import Contract

CARD = "MODEL_CARD.md"
_TEMPLATES = Path(__file__).parent / "templates"
# Of fewer, an interval from resampling them is itself unsure.
_FEW_CUSTOMERS = 20


def model_card(data: ReportData, contract: Contract, digest: str) -> str:
    """Markdown. `digest` is that of the bundle, so that a card can be told to be another's."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=False,  # Markdown; what strangers wrote passes `cell`
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        cell=cell,
        duration=words.duration,
        estimate=estimate,
        number=words.number,
        percent=words.percent,
        signed=words.signed,
        span=words.span,
    )
    return environment.get_template("model_card.md.j2").render(
        data=data,
        contract=contract,
        digest=digest,
        findings=findings,
        slices=_slices(data),
        limits=list(_limits(data)),
    )


def write_card(card: str, bundle: Path) -> Path:
    """Beside the bundle's files, whole or not at all. The bundle's manifest does not list it: a
    bundle is the same model before and after it was judged."""
    path = bundle / CARD
    write_whole(path, card)
    return path


def cell(text: str) -> str:
    """`text` on one line, without anything that Markdown or a browser would act on."""
    plain = " ".join(text.split())
    for mark, told in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        plain = plain.replace(mark, told)
    return "".join(f"\\{letter}" if letter in "\\`*_[]|#!~" else letter for letter in plain)


def estimate(found: Estimate | None, digits: int = 0) -> str:
    """`62 % (51–73 %)`; a dash for none."""
    if found is None:
        return words.NONE
    bounds = words.interval(found)
    value = words.percent(found.value, digits)
    return f"{value} ({bounds})" if bounds else value


def _slices(data: ReportData) -> Slices | None:
    """Those of the most customers."""
    return max(data.slices, key=lambda part: part.customers, default=None)


def _limits(data: ReportData) -> Iterator[str]:
    """What the figures do not say, from the figures."""
    if data.synthetic:
        yield "Judged on synthetic calls alone; on calls of people it is not judged at all."
    yield from _limits_of_customers(data)
    for judged in data.calibration:
        if judged.note:
            yield f"Its probabilities are not calibrated ({judged.basis}): {judged.note}."
    slices = _slices(data)
    if slices is None:
        yield "Accuracy by scene, codec, voice, length and noise was not measured."
        return
    for dimension in slices.dimensions:
        for part in dimension.slices:
            if part.stands_out and part.difference is not None and part.difference.value < 0:
                yield (
                    f"Worse than elsewhere: {cell(dimension.name)}: {cell(part.name)}, "
                    f"{words.signed(part.difference)} points over {part.clips} clips."
                )
        if dimension.left_out:
            names = "; ".join(cell(name) for name in dimension.left_out)
            yield (
                f"Too few clips to say anything ({cell(dimension.name)}, "
                f"{words.number(dimension.left_out_clips)} clips in all): {names}."
            )
    if slices.alike:
        yield f"All clips are alike in: {', '.join(cell(name) for name in slices.alike)}."


def _limits_of_customers(data: ReportData) -> Iterator[str]:
    if data.held_out is None:
        yield "Not judged on customers it never heard: none of the test split has a labelled clip."
        return
    customers = data.held_out.customers
    if customers.count < _FEW_CUSTOMERS:
        yield (
            f"Judged on {customers.count} customers: the share of customers named right is known "
            f"no better than {words.interval(customers.accuracy) or 'one figure without interval'}."
        )
    absent = [
        label
        for label, row in zip(data.labels, data.held_out.clips.confusion, strict=True)
        if not sum(row)
    ]
    if absent:
        yield f"No clip of the test split has the label {', '.join(cell(name) for name in absent)}."
    if data.leakage and (pairs := data.leakage.near_duplicates_found):
        yield (
            f"{words.number(pairs)} {'pair' if pairs == 1 else 'pairs'} of alike texts across "
            "splits: what is learned by heart may look like skill."
        )
    if data.comparison is None:
        yield "Without rotated folds: one split of customers, one model, one seed."
