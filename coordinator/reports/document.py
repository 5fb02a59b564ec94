"""The report as a JSON object: the execution, every sample of its probes, and what is left broken. Adds nothing to the
record and loses nothing of it, so a report read back is the report that was written.
"""

from __future__ import annotations

import json
import math

from pydantic import JsonValue

from coordinator.faults.facts import Value
from coordinator.record import Execution, Report, Sample, Series


class _Samples(Value):
    """Of one probe."""

    samples: tuple[Sample, ...] = ()


class _Document(Execution):
    """What `as_json` writes, read in one go: there may be a million samples."""

    probes: dict[str, _Samples] = {}
    left_broken: tuple[str, ...] = ()


def document(report: Report) -> dict[str, JsonValue]:
    """The execution's fields, `probes: {name: {samples: [[offset_s, ok, latency_s, value]]}}` and `left_broken`."""
    body: dict[str, JsonValue] = report.execution.model_dump(mode="json", by_alias=True, exclude={"progress"})
    body["probes"] = {
        name: {"samples": [_sample(sample) for sample in series.samples]} for name, series in report.probes.items()
    }
    body["left_broken"] = list(report.left_broken)
    return body


def as_json(report: Report) -> str:
    """The document as text for people too: indented, but with all samples of a probe on one line."""
    whole = document(report)
    probes = whole.pop("probes")
    head = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)
    series = probes.items() if isinstance(probes, dict) else ()
    lines = [
        f"    {json.dumps(name)}: {json.dumps(samples, ensure_ascii=False, allow_nan=False)}"
        for name, samples in series
    ]
    block = "{\n" + ",\n".join(lines) + "\n  }" if lines else "{}"
    return head.removesuffix("\n}") + f',\n  "probes": {block}\n}}\n'


def parse_report(text: str | bytes) -> Report:
    """The report that `as_json` wrote. Raises pydantic's ValidationError (a ValueError) where it is none."""
    read = _Document.model_validate_json(text)
    return Report(
        execution=Execution(**{name: getattr(read, name) for name in Execution.model_fields}),
        # Not checked once more: each is a sample already.
        probes={
            name: Series.model_construct(probe=name, samples=series.samples) for name, series in read.probes.items()
        },
        left_broken=read.left_broken,
    )


def _sample(sample: Sample) -> JsonValue:
    """A sample as a list; JSON has no infinity and no NaN, so a value that is one becomes its name."""
    value = sample.value
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    return [sample.offset_s, sample.ok, sample.latency_s, value]
