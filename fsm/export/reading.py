"""Charts from files that other programs wrote: JSON and SCXML."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from fsm.chart import Chart
from fsm.export.errors import ReadError
from fsm.export.neutral import read as read_json
from fsm.export.scxml_reader import read as read_scxml

__all__ = ["LARGEST", "Imported", "read_file"]

LARGEST: Final = 10_000_000
"""The largest file that is read, in bytes."""


class Imported(NamedTuple):
    """A chart that was read, and what was dropped or changed on the way, in sentences."""

    chart: Chart
    notes: tuple[str, ...] = ()


def read_file(path: Path) -> Imported:
    """Read a chart from a `.json` or `.scxml` file.

    OSError when the file cannot be read; ReadError, with the place, when it holds no chart.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ReadError("", f"it is larger than {LARGEST // 1_000_000} MB, and a chart is a small table")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReadError(f"byte {error.start + 1}", "it is not UTF-8") from None
    if path.suffix.lower() == ".scxml":
        return Imported(*read_scxml(text, path.stem))
    return Imported(read_json(text))
