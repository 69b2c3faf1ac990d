"""The labels of a workspace, asked for by the name that another tool has for an image."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath

from autolabel.errors import AutolabelError
from autolabel.ops.boxes import box_areas, clip_boxes
from autolabel.sources import from_uri
from autolabel.stages.labels import chosen_labels
from autolabel.store import Rows, Workspace
from autolabel.types import Objects, Record


class LabelsByName:
    """The kept labels of the newest layer.

    One shard is in memory at a time.

    Args:
        path: of the workspace.

    Attributes:
        names: classes in the order of their ids.

    Raises:
        AutolabelError: there is no such workspace, or it has no labels.
    """

    def __init__(self, path: Path) -> None:
        workspace = Workspace(path)
        chosen = chosen_labels(workspace, None, allow_unfinished=True)
        self._path, self.names = path, chosen.ontology.names
        self._root = workspace.source_root
        self._rows = Rows(chosen.layer)
        self._ids: dict[str, list[str]] = defaultdict(list)
        for shard in chosen.layer.shards():
            rows = chosen.layer.table(shard, ["image_id", "uri", "split", "error"]).to_pylist()
            for record in (Record(**row) for row in rows):
                if record.usable:
                    self._ids[from_uri(record.uri, self._root).name].append(record.image_id)

    def of(self, name: str, width: int, height: int) -> Objects | None:
        """Return the labels of an image, clipped to it, or None where there is none of that name.

        Args:
            name: may have folders before it; those tell images of one name apart.
            width, height: of the image, pixels.

        Raises:
            AutolabelError: several images have that name, or that of the workspace has another
                size, and so is another one.
        """
        parts = PurePosixPath(name.replace("\\", "/")).parts
        found = [self._rows.record(one) for one in self._ids.get(parts[-1] if parts else "", [])]
        if len(found) > 1:
            ends = [r for r in found if from_uri(r.uri, self._root).parts[-len(parts) :] == parts]
            found = ends or found
        if not found:
            return None
        if len({record.image_id for record in found}) > 1:
            raise AutolabelError(
                f"{self._path} has {len(found)} images that are called {name}",
                hint="upload the images with their folders",
            )
        record = found[0]
        if (record.width, record.height) != (width, height):
            raise AutolabelError(
                f"{name} has {width} x {height} pixels, and {record.width} x {record.height} in "
                f"{self._path}",
                hint="it is another image, or was scaled: upload the images that were ingested",
            )
        boxes = clip_boxes(record.objects.xyxy, width, height)
        return record.objects[record.objects.keep & (box_areas(boxes) > 0)]
