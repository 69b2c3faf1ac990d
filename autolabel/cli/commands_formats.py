"""The command `formats`."""

from __future__ import annotations

from autolabel.cli.arguments import Json


def formats(json: Json = False) -> None:
    """List the formats of datasets, and what each carries: masks, holes, scores, empty images.

    `export --format` takes those that are written; wherever hand labels are named, those that are
    read. What a format does not carry is counted at export. A package can register more, by the
    entry point group `autolabel.formats`.
    """
    from autolabel.cli.show_formats import formats as show_formats
    from autolabel.cli.show_formats import formats_known

    show_formats(formats_known(), json)
