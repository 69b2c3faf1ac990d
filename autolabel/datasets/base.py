"""What a dataset format is: how hand labels in it are found and read, how a dataset is written.

A format is one file that ends in a `Format`. Ours are rows of `autolabel.datasets.formats`; another
package registers one by the entry point group `autolabel.formats`. `autolabel.testing.check_format`
is what every one must pass.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autolabel.datasets.labelled import GroundTruthImage
from autolabel.types import Record


@dataclass(frozen=True)
class Carries:
    """What files of a format hold of labels, besides class and box.

    Attributes:
        masks: masks, in whatever form.
        holes: the holes in them too.
        scores: how sure the labelling model was.
        empty_images: images without any object, as looked at.
        corrections: that a person corrected an object; who and when too, where there is a place.
    """

    masks: bool = False
    holes: bool = False
    scores: bool = False
    empty_images: bool = True
    corrections: bool = False


Labels = tuple[tuple[str, ...], list[GroundTruthImage]]
"""Class names in the order of their ids, and the images."""


@dataclass(frozen=True)
class Candidate:
    """One way to read a file or folder as hand labels.

    Attributes:
        source: the file, or folder of files, that would be read.
        read: reads them.
        sure: whether the content says that it is of this format, and not the file's ending alone;
            what no format is sure of is read by the first that has a candidate.
        labels: where the labels themselves lie, if `source` only lists the classes.
        skipped: what `read` found and could not read: how many objects, by what in words
            (``"polylines"``); it is filled while `read` runs, and said to the user.
        files: the files that are read, where there are several or `source` is their folder.
    """

    source: Path
    read: Callable[[], Labels]
    sure: bool = True
    labels: Path | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Reader:
    """How hand labels are read.

    Attributes:
        find: the ways to read an existing file or folder; a file's ending is one of `suffixes`.
        suffixes: endings of the files that labels may be named by, such as ``.json``.
        looks: what such labels look like, in words that follow "it may be".
        carries: what is read of them.
    """

    find: Callable[[Path], Iterable[Candidate]]
    suffixes: tuple[str, ...]
    looks: str
    carries: Carries


@dataclass(frozen=True)
class Signature:
    """How a file tells that autolabel wrote it, also where it was moved or copied.

    Attributes:
        pattern: looked for at both ends of the file.
        where: in words; ``{}`` stands for the file's name.
    """

    pattern: re.Pattern[bytes]
    where: str


@dataclass(frozen=True)
class ExportImage:
    """One image of a dataset that is written.

    Attributes:
        record: its labels; boxes lie within the image.
        folder: where the image lies, relative to the dataset.
        stem, suffix: its file name in there; the stem is no other image's of the dataset.
    """

    record: Record
    folder: str
    stem: str
    suffix: str

    @property
    def file_name(self) -> str:
        """Name and ending."""
        return self.stem + self.suffix

    @property
    def path(self) -> str:
        """Where the image lies, relative to the dataset."""
        return f"{self.folder}/{self.file_name}"


Splits = Mapping[str, Sequence[ExportImage]]
"""The images of each split; ``train`` comes first and is always there."""


@dataclass(frozen=True)
class WriteOptions:
    """How labels are written.

    Attributes:
        names: classes in the order of their ids.
        masks: whether masks are, and not boxes alone.
        polygons: whether masks are outlines where the format could hold pixels too.
    """

    names: Sequence[str]
    masks: bool
    polygons: bool = False


@dataclass
class Written:
    """What a writer wrote.

    Attributes:
        files: their paths, relative to the folder; images are not among them.
        lost: what of the labels the files do not hold: how many objects, by what. What
            `Carries` says is counted already.
    """

    files: list[str] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Writer:
    """How a dataset is laid out and written.

    Attributes:
        items: what lies at the top of the dataset's folder, folders with a slash at the end.
        write: writes all but the images into a folder in which these lie already.
        carries: what the files hold.
        images: the folder of the images of a split; ``{split}`` stands for its name.
        heads: how the paths begin that other programs open first; see `FileSet`.
        caches: what other programs derive from the files and would go on believing.
        signature: how one file of it tells who wrote it, where it can.
    """

    items: tuple[str, ...]
    write: Callable[[Path, Splits, WriteOptions], Written]
    carries: Carries
    images: str = "images/{split}"
    heads: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    signature: Signature | None = None


@dataclass(frozen=True)
class Format:
    """A format of datasets; one that is only read, or only written, has one of the two.

    Attributes:
        title: what people call it.
        reader: how hand labels in it are read.
        writer: how a dataset is written in it.
    """

    title: str
    reader: Reader | None = None
    writer: Writer | None = None
