from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import autolabel.datasets.export as export_room
from autolabel.config import EngineConfig, ExportConfig, IngestConfig
from autolabel.datasets.export import Exported, export, is_current
from autolabel.datasets.folder import MARKER, STAGING, dataset_files
from autolabel.datasets.ground_truth import read_ground_truth
from autolabel.datasets.names import tidy_stem, unique_stems
from autolabel.datasets.split import val_images
from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.ops.images import content_id
from autolabel.ops.masks import encode
from autolabel.sources import to_uri
from autolabel.stages.ingest import ingest
from autolabel.store import Manifest, Workspace, bound_to
from autolabel.types import Objects, Record
from tests.conftest import Run, make_photos

ONTOLOGY = Ontology.from_prompts(["cat", "dog"])
GOLDEN = Path(__file__).parents[1] / "golden"
WIDTH, HEIGHT = 96, 64
ODD = [[0.123, 0.456, 95.9, 63.7], [10, 20, 30.333, 40.777]]
OBJECTS = Objects.create(
    ["dog", "cat", "cat"], [0.35, 0.9, 0.8], [*ODD, [1, 1, 2, 2]], keep=[True, True, False]
)


class Fixture:
    """A workspace of photos, each with the same objects but for the last, which has none."""

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self.root, self.out = root, root / "out"
        self.workspace = Workspace(root / "ws")
        self.records = [
            Record(content_id(p.read_bytes()), to_uri(p, root), WIDTH, HEIGHT, objects=OBJECTS)
            for p in paths
        ]
        self.records[-1] = replace(self.records[-1], objects=Objects.empty())
        self.write()

    def write(self, *records: Record) -> None:
        layer = self.workspace.layer("images")
        layer.path.mkdir(parents=True, exist_ok=True)
        layer.write_manifest(Manifest("images", source_root=str(self.root), shards=1))
        layer.write(0, records or self.records, None)

    def config(self, format_name: str = "coco", **values: Any) -> ExportConfig:
        values.setdefault("out", str(self.out))
        return ExportConfig(format=format_name, **values)

    def export(self, format_name: str = "coco", **values: Any) -> Exported:
        layer = self.workspace.layer("images")
        return export(self.workspace, layer, ONTOLOGY, self.config(format_name, **values))

    def is_current(self, format_name: str = "coco", **values: Any) -> bool:
        layer = self.workspace.layer("images")
        return is_current(self.workspace, layer, ONTOLOGY, self.config(format_name, **values))

    def files(self) -> list[str]:
        """The files of the dataset, without our own hidden ones."""
        found = (p.relative_to(self.out) for p in self.out.rglob("*") if not p.is_dir())
        return sorted(p.as_posix() for p in found if not p.name.startswith(".autolabel"))


@pytest.fixture
def made(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path, make_photos(tmp_path / "photos", 5))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# -- what others read -------------------------------------------------------------------------


def test_coco_layout(made: Fixture) -> None:
    done = made.export()
    assert (done.images, done.objects, done.splits) == (5, 8, {"train": 5})
    images = [f"images/train/{i:04d}.png" for i in range(5)]
    assert made.files() == ["annotations/instances_train.json", *images]
    for file in images:
        assert (made.out / file).read_bytes() == (
            made.root / "photos" / Path(file).name
        ).read_bytes()


def test_yolo_layout(made: Fixture) -> None:
    made.export("yolo", val_share=0.4)
    assert len(list((made.out / "images" / "val").iterdir())) == 2
    for folder, suffix in (("images", ".png"), ("labels", ".txt")):
        found = {p.name for s in ("train", "val") for p in (made.out / folder / s).iterdir()}
        assert found == {f"{i:04d}{suffix}" for i in range(5)}
    background = next(made.out.glob("labels/*/0004.txt"))
    assert background.read_bytes() == b""


@pytest.mark.parametrize("format_name", ["coco", "yolo"])
def test_golden(made: Fixture, format_name: str) -> None:
    """`AUTOLABEL_GOLDEN=1 pytest` writes the golden files anew."""
    # Groups of fixed names: the bytes of a PNG, and so its id, depend on the version of zlib.
    made.write(*(replace(r, group=str(i)) for i, r in enumerate(made.records)))
    made.export(format_name, val_share=0.4)
    got = {
        name: made.out.joinpath(name).read_text("utf-8")
        for name in made.files()
        if not name.startswith("images/")
    }
    golden = GOLDEN / format_name
    if os.environ.get("AUTOLABEL_GOLDEN"):
        for name, text in got.items():
            (golden / name).parent.mkdir(parents=True, exist_ok=True)
            (golden / name).write_text(text, "utf-8")
    assert got == {name: data.decode() for name, data in contents(golden).items()}


def test_pycocotools_gives_back_every_kept_box(made: Fixture) -> None:
    from pycocotools.coco import COCO

    made.export()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(made.out / "annotations" / "instances_train.json"))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["cat", "dog"]
    assert len(coco.getImgIds()) == 5
    for image in coco.loadImgs(coco.getImgIds()):
        assert (made.out / "images" / "train" / image["file_name"]).is_file()
        rows = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        if rows:
            x, y, w, h = np.array([row["bbox"] for row in rows]).T
            np.testing.assert_allclose(np.stack([x, y, x + w, y + h], axis=1), ODD, atol=0.01)
            assert [row["category_id"] for row in rows] == [2, 1]


@pytest.mark.filterwarnings("ignore:OpenCV")
@pytest.mark.parametrize("format_name", ["coco", "yolo"])
def test_supervision_gives_back_every_kept_box(made: Fixture, format_name: str) -> None:
    """Also where the dataset was moved."""
    import supervision as sv

    made.export(format_name)
    moved = made.out.rename(made.root / "moved")
    images = str(moved / "images" / "train")
    if format_name == "coco":
        data = sv.DetectionDataset.from_coco(
            images, str(moved / "annotations" / "instances_train.json")
        )
    else:
        data = sv.DetectionDataset.from_yolo(
            images, str(moved / "labels" / "train"), str(moved / "data.yaml")
        )
    assert data.classes == ["cat", "dog"]
    assert len(data) == 5
    for path, _, found in data:
        if Path(path).name == "0004.png":
            assert len(found) == 0
        else:
            np.testing.assert_allclose(found.xyxy, ODD, atol=0.01)
            assert found.class_id.tolist() == [1, 0]


def test_ultralytics_gives_back_every_kept_box(made: Fixture, tmp_path: Path) -> None:
    """From any folder, and after the dataset was moved, by absolute and by relative path."""
    pytest.importorskip("ultralytics", reason="needs autolabel[test]")
    made.export("yolo", val_share=0.4)
    script = """if True:
        import json, os, sys
        from pathlib import Path
        from ultralytics.cfg import get_cfg
        from ultralytics.data.build import build_yolo_dataset
        from ultralytics.data.utils import check_det_dataset
        out = Path(sys.argv[1])
        data = check_det_dataset(out / "data.yaml", autodownload=False)
        assert Path(data["train"]) == out / "images" / "train", data
        moved = out.rename(out.with_name("moved"))
        for here in (moved / "data.yaml", os.path.relpath(moved / "data.yaml")):
            data = check_det_dataset(str(here), autodownload=False)
            assert Path(data["train"]) == moved / "images" / "train", data
        rows = {}
        for split in ("train", "val"):
            dataset = build_yolo_dataset(get_cfg(), data[split], 1, data, mode="val")
            for label in dataset.labels:
                cls, box = label["cls"].ravel().tolist(), label["bboxes"].tolist()
                rows[label["im_file"]] = sorted(zip(cls, box))
        json.dump({"names": list(data["names"].values()), "rows": rows}, open(sys.argv[2], "w"))
    """
    result = tmp_path / "result.json"
    env = {**os.environ, "YOLO_OFFLINE": "1", "YOLO_CONFIG_DIR": str(tmp_path / "config")}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-c", script, str(made.out.resolve()), str(result)]
    done = subprocess.run(
        command, env=env, cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "corrupt" not in (done.stdout + done.stderr).replace("0 corrupt", "")
    found = json.loads(result.read_text("utf-8"))
    assert found["names"] == ["cat", "dog"]
    assert len(found["rows"]) == 5
    for path, rows in found["rows"].items():
        if Path(path).name == "0004.png":
            assert rows == []
            continue
        assert [row[0] for row in rows] == [0, 1]
        cx, cy, w, h = np.array([row[1] for row in rows]).T
        boxes = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)
        expected = np.array(ODD[::-1]) / [WIDTH, HEIGHT, WIDTH, HEIGHT]
        np.testing.assert_allclose(boxes, expected, atol=1e-4)


@pytest.mark.parametrize("format_name", ["coco", "yolo"])
def test_our_own_reader_gives_back_every_kept_box(made: Fixture, format_name: str) -> None:
    made.export(format_name)
    truth = read_ground_truth(made.out)
    assert truth.names == ("cat", "dog")
    for image, record in zip(truth.records, made.records, strict=True):
        assert image.image_id == record.image_id
        kept = record.objects.kept
        assert image.objects.label.tolist() == kept.label.tolist()
        np.testing.assert_allclose(image.objects.xyxy, kept.xyxy, atol=0.01)


# -- boxes or masks ----------------------------------------------------------------------------


def ring_and_disc() -> npt.NDArray[np.bool_]:
    """Two masks (2, HEIGHT, WIDTH): a ring with a hole and a speck beside it, and a disc."""
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(xs - 30, ys - 30)
    ring = (distance < 20) & (distance > 10)
    ring[50:54, 60:64] = True
    return np.stack([ring, np.hypot(xs - 75, ys - 20) < 15])


@pytest.fixture
def masked(made: Fixture) -> Fixture:
    """On each of five photos a ring, a disc, a box without a mask, and a rejected box."""
    boxes = [[10, 10, 64, 54], [60, 5, 91, 36], [1, 1, 20, 9], [0, 0, 9, 9]]
    objects = Objects.create(
        ["dog", "cat", "cat", "cat"],
        [0.9, 0.8, 0.7, 0.2],
        boxes,
        mask=[*encode(ring_and_disc()), None, None],
        keep=[True, True, True, False],
        scores=[{"detector": 0.9}, {}, {}, {}],
    )
    made.write(*(replace(record, objects=objects) for record in made.records))
    return made


LOST = {"evidence": 5, "rejected": 5}
OUTLINES_LOSE = {"scores": 15, "seams": 5, "boxes_as_outlines": 5}


@pytest.mark.parametrize(
    ("format_name", "values", "task", "lost"),
    [
        ("yolo", {}, "segment", {"scores": 15, "seams": 5, "boxes_as_outlines": 5}),
        (
            "yolo",
            {"task": "segment"},
            "segment",
            {"scores": 15, "seams": 5, "boxes_as_outlines": 5},
        ),
        ("yolo", {"task": "detect"}, "detect", {"scores": 15, "masks": 10}),
        ("coco", {}, "segment", {}),
        ("coco", {"coco_masks": "polygon"}, "segment", {"holes": 5}),
        ("coco", {"task": "detect"}, "detect", {"masks": 10}),
    ],
)
def test_the_task_is_chosen_and_what_is_lost_is_counted(
    masked: Fixture, format_name: str, values: dict[str, Any], task: str, lost: dict[str, int]
) -> None:
    done = masked.export(format_name, **values)
    assert (done.objects, done.task, done.lost) == (15, task, lost | LOST)
    asked = "as asked" if "task" in values else "since 66 % of the kept labels have masks"
    assert done.reason == asked
    assert masked.is_current(format_name, **values)
    other = "detect" if task == "segment" else "segment"
    assert not masked.is_current(format_name, **{**values, "task": other})


def test_masks_that_are_asked_for_must_be_there(made: Fixture) -> None:
    assert made.export("yolo").reason == "since no kept label has a mask"
    with pytest.raises(AutolabelError, match="no kept label of images/ has a mask") as e:
        made.export("yolo", task="segment")
    assert "--task detect" in e.value.hint


@pytest.mark.filterwarnings("ignore:OpenCV")
def test_supervision_reads_the_outlines_of_a_yolo_export(masked: Fixture) -> None:
    import supervision as sv

    masked.export("yolo")
    out = masked.out
    data = sv.DetectionDataset.from_yolo(
        str(out / "images" / "train"), str(out / "labels" / "train"), str(out / "data.yaml"),
        force_masks=True,
    )  # fmt: skip
    box = np.zeros((HEIGHT, WIDTH), bool)
    box[1:9, 1:20] = True
    for _, _, found in data:
        assert found.class_id.tolist() == [1, 0, 0]
        for seen, mask in zip(found.mask, [*ring_and_disc(), box], strict=True):
            assert (seen & mask).sum() / (seen | mask).sum() > 0.8  # it draws the border too


@pytest.mark.parametrize("coco_masks", ["rle", "polygon"])
def test_pycocotools_gives_back_every_mask(masked: Fixture, coco_masks: str) -> None:
    from pycocotools.coco import COCO

    masked.export(coco_masks=coco_masks)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(masked.out / "annotations" / "instances_train.json"))
    ring, disc = ring_and_disc()
    if coco_masks == "polygon":
        ring |= np.hypot(*np.mgrid[-30 : HEIGHT - 30, -30 : WIDTH - 30]) < 20  # its hole is filled
    least = 0.95 if coco_masks == "polygon" else 1
    for image in coco.getImgIds():
        rows = coco.loadAnns(coco.getAnnIds(imgIds=[image]))
        assert rows[2]["segmentation"] == []
        for row, mask in zip(rows, (ring, disc), strict=False):
            seen = coco.annToMask(row).astype(bool)
            assert (seen & mask).sum() / (seen | mask).sum() >= least
            assert row["area"] == seen.sum()
            assert isinstance(row["segmentation"], list) == (coco_masks == "polygon")


def test_the_command_says_the_task_and_what_is_lost(masked: Fixture, run: Run) -> None:
    layer = masked.workspace.layer("images")
    manifest = replace(layer.manifest, settings={"ontology": ONTOLOGY.to_mapping()})
    detect = masked.workspace.begin("detect", bound_to(manifest, layer), overwrite=True)
    detect.write(0, layer.read(0), layer.digest(0))
    command = ("export", masked.workspace.path, "--out", masked.out, "--format", "yolo")
    done = run(*command)
    assert done.status == 0, done.err
    assert "task: segment, since 66 % of the kept labels have masks" in done.err
    assert "15 scores" in done.err
    assert "5 rejected objects" in done.err
    shown = run(*command, "--task", "detect", "--json").json()
    assert (shown["task"], shown["lost"]["masks"]) == ("detect", 10)
    wrong = run(*command, "--coco-masks", "polygon")
    assert wrong.status == 2
    assert "--coco-masks cannot be polygon: the format is yolo" in wrong.err


# -- which images, under which names ----------------------------------------------------------


def test_what_is_not_usable_is_counted(made: Fixture) -> None:
    a, b, c, d, e = made.records
    made.write(
        a,
        replace(b, split="leak"),
        replace(c, error="truncated"),
        replace(d, split="duplicate"),
        e,
        a,
    )
    done = made.export()
    assert done.images == 2
    assert done.skipped == {"duplicate": 2, "leak": 1, "unreadable": 1}


def test_missing_and_changed_images_are_counted_and_tried_again(made: Fixture) -> None:
    photos = sorted((made.root / "photos").iterdir())
    gone = photos[0].rename(made.root / "away.png")
    photos[1].write_bytes(photos[2].read_bytes())
    done = made.export()
    assert done.images == 3
    assert done.skipped == {"changed": 1, "missing": 1}
    assert done.problems[0] == "photos/0000.png: missing"
    assert not made.is_current()
    gone.rename(photos[0])
    assert made.export().images == 4


def test_nothing_to_export_is_an_error_and_leaves_the_old_export(made: Fixture) -> None:
    made.export()
    before = made.files()
    shutil.move(made.root / "photos", made.root / "moved")
    with pytest.raises(AutolabelError, match="none of the 5 images") as e:
        made.export()
    assert "--source-root" in e.value.hint
    made.write(replace(made.records[0], split="leak"))
    with pytest.raises(AutolabelError, match="1 leak"):
        made.export()
    assert made.files() == before


def test_boxes_are_cut_at_the_border_and_dropped_without_area(made: Fixture) -> None:
    boxes = [[-5, -5, 200, 30], [300, 0, 400, 9], [5, 5, 5, 9]]
    objects = Objects.create(["cat"] * 3, [1] * 3, boxes)
    made.write(replace(made.records[0], objects=objects))
    done = made.export("yolo")
    assert (done.objects, done.empty_boxes) == (1, 2)
    (image,) = read_ground_truth(made.out).records
    np.testing.assert_allclose(image.objects.xyxy, [[0, 0, WIDTH, 30]], atol=1e-3)


def test_a_label_that_is_not_in_the_ontology_is_named(made: Fixture) -> None:
    made.write(replace(made.records[0], objects=Objects.create(["cow"], [1], [[0, 0, 9, 9]])))
    with pytest.raises(AutolabelError, match="cow"):
        made.export()
    assert made.files() == []


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["a.jpg", "a.png"], ["a-{0}", "a-{1}"]),
        (["A.png", "a.jpg"], ["A-{0}", "a-{1}"]),
        (["a/1.png", "b/1.png", "2.png"], ["1-{0}", "1-{1}", "2"]),
        (["снимок 1.png", "it's.png"], ["снимок 1", "it's"]),
        (["a\nb.png", 'a"b*.png'], ["a_b", "a_b_"]),
        (["con.png", ".hidden.png", "a .png"], ["_con", "_hidden", "a"]),
    ],
)
def test_names_are_flat_and_unique(tmp_path: Path, names: list[str], stems: list[str]) -> None:
    paths = []
    for name, photo in zip(names, make_photos(tmp_path / "made", len(names)), strict=True):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(photo.rename(path))
    made = Fixture(tmp_path, paths)
    made.export("yolo")
    ids = [record.image_id[:8] for record in made.records]
    expected = sorted(stem.format(*ids) + ".png" for stem in stems)  # by content, whatever the name
    assert sorted(p.name for p in (made.out / "images" / "train").iterdir()) == expected
    assert len(read_ground_truth(made.out).records) == len(names)


@given(st.text(max_size=300))
def test_a_tidy_name_is_taken_everywhere(stem: str) -> None:
    tidy = tidy_stem(stem)
    assert tidy
    assert tidy.isprintable()
    assert not set(tidy) & set('<>:"/\\|?*')
    assert not tidy.startswith((".", " "))
    assert not tidy.endswith((".", " "))
    assert len(tidy.encode()) < 240
    assert tidy_stem(tidy) == tidy


@given(st.dictionaries(st.uuids().map(lambda u: u.hex), st.sampled_from(["a", "A", "b", "a-0"])))
def test_names_are_unique_whatever_the_case_and_order(stems: dict[str, str]) -> None:
    names = unique_stems(stems)
    assert len({name.casefold() for name in names.values()}) == len(stems)
    assert names == unique_stems(dict(reversed(stems.items())))


def test_a_name_that_looks_like_a_collision_is_kept_apart() -> None:
    ids = ["0" * 8 + "1" * 24, "2" * 32, "3" * 32]
    names = unique_stems(dict(zip(ids, ["x", "X", "x-00000000"], strict=True)))
    assert len({name.casefold() for name in names.values()}) == 3


@given(
    st.dictionaries(st.text(max_size=4), st.sampled_from("abcdefgh"), min_size=1, max_size=40),
    st.floats(0, 0.99),
    st.integers(0, 9),
)
def test_the_split_keeps_groups_whole(groups: dict[str, str], share: float, seed: int) -> None:
    val = val_images(groups, share, seed)
    train = groups.keys() - val
    assert val == val_images(dict(reversed(groups.items())), share, seed)
    assert not {groups[i] for i in val} & {groups[i] for i in train}
    assert train
    assert bool(val) == (share > 0 and len(set(groups.values())) > 1)


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.01, 1), (0.2, 20), (0.5, 50), (0.99, 99)])
def test_the_share_is_met_where_groups_allow(share: float, count: int) -> None:
    groups = {str(i): str(i) for i in range(100)}
    assert len(val_images(groups, share, 0)) == count
    if 0 < share < 0.99:
        assert val_images(groups, share, 0) != val_images(groups, share, 1)


# -- images -----------------------------------------------------------------------------------


def one_image(root: Path, name: str, save: dict[str, Any], mode: str = "RGB") -> Fixture:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:32, :48] = [200, 30, 30]
    (root / "photos").mkdir()
    Image.fromarray(pixels).convert(mode).save(root / "photos" / name, **save)
    return Fixture(root, [root / "photos" / name])


def test_a_turned_image_is_written_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made = one_image(tmp_path, "a.jpg", {"exif": exif, "quality": 95})
    made.write(replace(made.records[0], width=HEIGHT, height=WIDTH))
    made.export(link="symlink")
    path = made.out / "images" / "train" / "a.jpg"
    assert not path.is_symlink()
    with Image.open(path) as image:
        assert image.size == (HEIGHT, WIDTH)
        assert image.getexif().get(0x0112, 1) == 1
        assert image.layer[0][1:3] == image.layer[1][1:3]  # 4:4:4
        assert image.getpixel((55, 10))[0] > 150  # the upper left has gone to the upper right
        assert image.getpixel((10, 10))[0] < 50


@pytest.mark.parametrize(
    ("name", "mode", "save", "written"),
    [
        ("a.jpg", "CMYK", {}, "a.jpg"),
        ("a.png", "RGBA", {}, "a.png"),
        ("a.gif", "P", {}, "a.png"),
        ("a.webp", "RGB", {}, "a.webp"),
        ("wrong.jpg", "RGB", {"format": "PNG"}, "wrong.png"),
        ("photo.JPEG", "L", {}, "photo.jpg"),
    ],
)
def test_every_image_is_8_bit_under_its_true_ending(
    tmp_path: Path, name: str, mode: str, save: dict[str, Any], written: str
) -> None:
    made = one_image(tmp_path, name, save, mode)
    made.export()
    assert made.files()[-1] == f"images/train/{written}"
    with Image.open(made.out / "images" / "train" / written) as image:
        assert image.mode == ("L" if mode == "L" else "RGB")
        assert image.format == {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[written.split(".")[1]]


@pytest.mark.parametrize("compression", ["zstd", "lzma"])
def test_a_tiff_that_opencv_cannot_read_is_written_anew(tmp_path: Path, compression: str) -> None:
    made = one_image(tmp_path, "a.tif", {"compression": compression})
    for link in ("copy", "symlink"):
        assert made.export(link=link).rewritten == 1
        assert made.files()[-1] == "images/train/a.png"


def test_the_first_page_is_the_picture_in_every_stage(tmp_path: Path) -> None:
    """The second page lies behind the end of the file."""
    pages = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "a.tif"
    pages[0].save(photo, save_all=True, append_images=pages[1:])
    data = bytearray(photo.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, len(data) - 3)
    photo.write_bytes(data)

    workspace = Workspace(tmp_path / "ws")
    config = IngestConfig(source=(str(tmp_path / "photos"),))
    layer = ingest(workspace, config, EngineConfig()).layer
    (record,) = layer.records()
    assert (record.error, record.width, record.height) == (None, WIDTH, HEIGHT)
    done = export(workspace, layer, ONTOLOGY, ExportConfig(out=str(tmp_path / "out")))
    assert (done.images, done.problems) == (1, ())
    with Image.open(tmp_path / "out" / "images" / "train" / "a.png") as image:
        assert image.getpixel((0, 0)) == (255, 0, 0)


def test_images_are_linked_where_that_is_asked_for(made: Fixture) -> None:
    source, target = made.root / "photos" / "0000.png", made.out / "images" / "train" / "0000.png"
    made.export(link="hardlink")
    assert target.samefile(source)
    assert not target.is_symlink()
    made.export(link="symlink")
    assert target.is_symlink()
    assert target.samefile(source)
    made.export(link="copy")
    assert not target.samefile(source)
    assert source.read_bytes() == target.read_bytes()


def test_links_that_the_system_refuses_say_what_to_type(
    made: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(AutolabelError, match="cannot be linked") as e:
        made.export(link="hardlink")
    assert "--link copy" in e.value.hint


# -- folders that are there already -----------------------------------------------------------


def test_foreign_files_stay_and_our_old_ones_go(made: Fixture) -> None:
    made.export("yolo", val_share=0.4)
    foreign = {
        name: made.out / name for name in ("notes.md", "images/train/own.png", "labels/own.txt")
    }
    for name, path in foreign.items():
        path.write_text(name)
    (made.out / "labels" / "train.cache").write_text("stale")
    made.write(*made.records[:2])
    made.export("yolo")
    ours = ["images/train/0000.png", "images/train/0001.png"]
    labels = ["labels/train/0000.txt", "labels/train/0001.txt"]
    assert made.files() == sorted(["data.yaml", *ours, *labels, *foreign])
    assert not (made.out / "images" / "val").exists()
    assert all(path.read_text() == name for name, path in foreign.items())


@pytest.mark.parametrize("item", ["images/x.jpg", "annotations/x.json", "images"])
def test_a_folder_that_is_somebody_elses_is_refused_untouched(made: Fixture, item: str) -> None:
    path = made.out / item
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(AutolabelError, match="no export wrote it") as e:
        made.export()
    assert "--out" in e.value.hint
    assert contents(made.out) == {item: b"mine"}


def test_other_files_and_empty_folders_are_no_hindrance(made: Fixture) -> None:
    (made.out / "images").mkdir(parents=True)
    (made.out / "README.md").write_text("mine")
    assert made.export().images == 5


def test_a_foreign_file_in_the_way_is_refused(made: Fixture) -> None:
    made.write(*made.records[1:])
    made.export()
    (made.out / "images" / "train" / "0000.png").write_text("mine")
    before = contents(made.out)
    made.write(*made.records)
    with pytest.raises(AutolabelError, match=r"0000\.png is there already"):
        made.export()
    assert contents(made.out) == before


def test_an_export_of_another_format_is_refused(made: Fixture) -> None:
    made.export("coco")
    with pytest.raises(AutolabelError, match="coco format") as e:
        made.export("yolo")
    assert "--out" in e.value.hint


def test_the_out_folder_must_be_a_folder(made: Fixture) -> None:
    made.out.write_text("mine")
    with pytest.raises(AutolabelError, match="not a folder"):
        made.export()


@pytest.mark.parametrize("files", [["../../photos/0000.png"], ["/etc/hostname"], [3], None])
def test_a_forged_marker_or_journal_removes_nothing(made: Fixture, files: Any) -> None:
    made.export()
    marker = json.dumps({"format": "coco", "files": files})
    journal = json.dumps({"gone": files, "marker": {"files": []}})
    for name, text in ((MARKER, marker), (f"{STAGING}/commit.json", journal)):
        path = made.out / name
        old = path.read_text() if path.exists() else None
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        with pytest.raises(AutolabelError, match="damaged"):
            made.export()
        assert not made.is_current()
        if old:
            path.write_text(old)
    assert len(list((made.root / "photos").iterdir())) == 5


def plant(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def planted_marker(out: Path, away: Path) -> None:
    """A folder of theirs in the place of images/, and a note that all in it was exported."""
    out.mkdir()
    (out / "images").symlink_to(away)
    plant(out / MARKER, {"format": "coco", "files": ["images/0000.png", "images/x/0001.png"]})


def planted_inner_link(out: Path, away: Path) -> None:
    (out / "images").mkdir(parents=True)
    (out / "images" / "old").symlink_to(away)
    plant(out / MARKER, {"format": "coco", "files": ["images/old/0000.png"]})


def planted_journal(out: Path, away: Path) -> None:
    """A commit that moves their photos into the dataset."""
    files = ["images/train/0000.png"]
    marker = {"format": "coco", "files": files}
    plant(out / STAGING / "commit.json", {"gone": [], "marker": marker})
    (out / STAGING / "images").mkdir()
    (out / STAGING / "images" / "train").symlink_to(away)


def planted_staging(out: Path, away: Path) -> None:
    out.mkdir()
    (out / STAGING).symlink_to(away)


def planted_lock(out: Path, away: Path) -> None:
    out.mkdir()
    (out / ".autolabel-export.lock").symlink_to(away / "0000.png")


def planted_cache_folder(out: Path, away: Path) -> None:
    """What trainers keep beside the labels is deleted, but not over there."""
    out.mkdir()
    (away / "train.cache").write_text("theirs")
    (out / "labels").symlink_to(away)
    plant(out / MARKER, {"format": "coco", "files": []})


def planted_temporary_name(out: Path, away: Path) -> None:
    out.mkdir()
    (out / f".{MARKER}.tmp").symlink_to(away / "0000.png")


@pytest.mark.parametrize(
    ("lay", "refused"),
    [
        (planted_marker, True),
        (planted_inner_link, True),
        (planted_journal, True),
        (planted_staging, True),
        (planted_lock, True),
        (planted_cache_folder, False),
        (planted_temporary_name, False),
    ],
)
def test_nothing_is_written_or_deleted_by_way_of_a_link(
    made: Fixture, lay: Callable[[Path, Path], None], refused: bool
) -> None:
    away = made.root / "away"
    make_photos(away, 2)
    make_photos(away / "x", 2)
    lay(made.out, away)
    before = contents(away)
    if refused:
        with pytest.raises(AutolabelError, match=r"is a link|no export wrote it"):
            made.export()
    else:
        assert made.export().images == 5
    assert contents(away) == before


@pytest.mark.parametrize("error", [RuntimeError("crash"), KeyboardInterrupt(), OSError(28, "full")])
@pytest.mark.parametrize("after", [0, 2])
def test_a_failure_while_building_leaves_the_old_export(
    made: Fixture, monkeypatch: pytest.MonkeyPatch, error: BaseException, after: int
) -> None:
    made.export("yolo")
    before = contents(made.out)
    place, calls = export_room.place_image, []

    def fail(*args: Any) -> str:
        calls.append(args)
        if len(calls) > after:
            raise error
        return place(*args)

    made.write(*made.records[:3])
    monkeypatch.setattr(export_room, "place_image", fail)
    full = isinstance(error, OSError)
    expected, message = (AutolabelError, "written: full") if full else (type(error), None)
    with pytest.raises(expected, match=message):
        made.export("yolo")
    assert contents(made.out) == before
    assert not (made.out / STAGING).exists()


@pytest.mark.parametrize("moves", range(0, 16, 3))
def test_a_kill_while_moving_is_finished_by_the_next_run(made: Fixture, moves: int) -> None:
    """The process is gone, not just the call: nothing of ours cleans up after it."""
    made.export("yolo")
    (made.out / "images" / "train" / "own.png").write_text("mine")
    made.write(*(replace(r, objects=Objects.empty()) for r in made.records[:3]))
    script = f"""if True:
        import os, sys
        from pathlib import Path
        from autolabel.config import ExportConfig
        from autolabel.datasets.export import export
        from autolabel.ontology import Ontology
        from autolabel.store import Workspace
        from autolabel.datasets.folder import STAGING
        left, out = [{moves}], Path(sys.argv[2])
        def counted(act):
            def run(self, *args, **kwargs):
                if STAGING in str(self) or "unlink" in act.__name__:
                    left[0] -= 1
                    if left[0] < 0 and (out / STAGING / "commit.json").exists():
                        os._exit(9)
                return act(self, *args, **kwargs)
            return run
        Path.replace, Path.unlink = counted(Path.replace), counted(Path.unlink)
        workspace, ontology = Workspace(Path(sys.argv[1])), Ontology.from_prompts(["cat", "dog"])
        config = ExportConfig(format="yolo", out=str(out))
        export(workspace, workspace.layer("images"), ontology, config)
    """
    command = [sys.executable, "-c", script, str(made.workspace.path), str(made.out)]
    assert subprocess.run(command, check=False).returncode == 9
    assert not made.is_current("yolo")
    assert made.export("yolo").images == 3
    assert made.is_current("yolo")
    labels = [f"labels/train/000{i}.txt" for i in range(3)]
    images = [f"images/train/000{i}.png" for i in range(3)]
    assert made.files() == ["data.yaml", *images, "images/train/own.png", *labels]
    assert all((made.out / label).read_bytes() == b"" for label in labels)
    assert not (made.out / STAGING).exists()


def test_an_export_is_current_until_something_changes(made: Fixture) -> None:
    assert not made.is_current()
    made.export()
    assert made.is_current()
    assert not made.is_current("yolo")
    assert not made.is_current(seed=1)
    (made.out / "images" / "train" / "0000.png").unlink()
    assert not made.is_current()
    made.export()
    assert made.is_current()
    made.write(*made.records[1:])
    assert not made.is_current()


def test_the_same_labels_give_the_same_bytes(made: Fixture) -> None:
    made.export(val_share=0.4, out=str(made.root / "a"))
    made.export(val_share=0.4, out=str(made.root / "b"))
    first, second = contents(made.root / "a"), contents(made.root / "b")
    del first[MARKER], second[MARKER]  # names the folder
    assert first == second


def test_a_second_export_into_the_same_folder_waits_for_nobody(made: Fixture) -> None:
    with (
        dataset_files(made.out).staged(lambda: None),
        pytest.raises(AutolabelError, match="another export"),
    ):
        made.export()
