from __future__ import annotations

import base64
import io
import json
import re
import shutil
import webbrowser
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.config import ReportConfig
from autolabel.report import write_report
from autolabel.report.pictures import image_budget
from autolabel.stages.history import ontology_of
from autolabel.store import Workspace
from autolabel.types import Objects
from tests.conftest import Run
from tests.report import made

SCRIPT = "<script>alert(1)</script>"
PHOTO = "a\"'><img src=x onerror=alert(2)>.png"


class Page(HTMLParser):
    """What a browser would make of a page: tags, attributes, and text without style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.inside:
            del self.inside[len(self.inside) - 1 - self.inside[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if "style" not in self.inside:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def pictures(self) -> list[Image.Image]:
        uris = [str(image["src"]) for image in self.all("img")]
        assert all(uri.startswith("data:image/") for uri in uris)
        return [Image.open(io.BytesIO(base64.b64decode(u.partition(",")[2]))) for u in uris]


def report(home: Workspace, **options: Any) -> Page:
    layer = home.layer("detect")
    done = write_report(home, layer, ontology_of(layer), ReportConfig(**options))
    text = done.out.read_text("utf-8")
    assert done.size == len(text.encode())
    return checked(Page(text))


def checked(page: Page) -> Page:
    """What holds for every page."""
    policy = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy
    assert str(policy[0]).startswith("default-src 'none'; img-src data:")
    forbidden = {"script", "iframe", "object", "embed", "form", "base", "video", "audio"}
    assert not forbidden & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, attributes)
            if name in ("src", "href", "xlink:href", "srcset"):
                assert str(value).startswith(("data:", "#")), (tag, value)
    assert not re.search(r"url\(|@import", page.html)
    ids = [str(a["id"]) for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = {str(a["href"])[1:] for a in page.all("a")}
    assert links <= set(ids)
    assert all(image.get("alt") and image.get("width") for image in page.all("img"))
    headers = [a for tag, a in page.tags if tag == "th"]
    assert all("scope" in a for a in headers)
    regions = [a for _, a in page.tags if a.get("role") == "region"]
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in regions)
    assert len(page.all("table")) == len(regions)
    assert len(page.html) < 6_000_000
    assert len(page.all("h1")) == 1
    return page


@pytest.fixture
def full(tmp_path: Path) -> Workspace:
    """Labels, hand labels on the same photos, and a student."""
    home = made.workspace(tmp_path)
    made.measured(home, made.truth(tmp_path), student="tiny")
    held_out = [f"held_{i}.jpg" for i in range(72)]
    settings = {"imgsz": 256, "epochs": 100, "holdout": held_out}
    made.trained(home, "tiny", resumed_from=[2], skipped={"leak": 4}, settings=settings)
    return home


def test_everything_in_its_order(full: Workspace) -> None:
    page = report(full)
    parts = [
        "Of 100 objects that people marked on 3 photos, the labels find about 75, and of 100 "
        "labels about 90 are right.",
        "The small detector keeps 100 % of the labels’ accuracy (AP50 0.80 against 0.80) and is "
        "25 times as fast as the large models.",
        "Against hand labels",
        "Precision against recall",
        "What is taken for what",
        "On the part of the labels set aside",
        "How the labels were made",
        "owner/model",
        "Counts",
        "Hand labels and machine labels side by side",
        "Kept and rejected",
        "Rejected, by reason",
        "The worst photos",
        "How this page was made",
    ]
    start = page.text.index("Skip to the content")
    main = page.text.index("How this page was made") + 1  # after the list of contents
    at = [page.text.index(part, start if i < 2 else main) for i, part in enumerate(parts)]
    assert at == sorted(at)
    assert "was stopped and went on from epoch 2" in page.text
    assert "4 leak" in page.text
    options = re.search(r"options ((holdout: 72 photos|imgsz: 256)(, )?){2} ", page.text)
    assert options  # 100 epochs are the default
    assert "autolabel train " in page.text.rpartition("command by command")[2]
    assert "clearly worse" in page.text
    assert "box_threshold: 0.3" in page.text
    plots = [a for a in page.all("div") if a.get("role") == "img"]
    assert len(plots) == len(made.CLASSES) + 2
    assert all("AP50" in str(a["aria-label"]) for a in plots[:3])


def test_photos_that_failed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = made.workspace(tmp_path, photos=5)
    layer = home.layer("detect")
    for shard in layer.shards():
        rows = [replace(r, error="damaged", objects=Objects.empty()) for r in layer.read(shard)]
        layer.write(shard, [replace(rows[0], uri=PHOTO), *rows[1:]], layer.source_digest(shard))
    page = report(home)
    assert "5 × damaged" in page.text
    assert page.text.count(f"{PHOTO} : damaged") == len(layer.shards())
    assert "more: autolabel status" not in page.text
    monkeypatch.setattr("autolabel.report.layer_statistics._MOST_FAILED", 2)
    assert "And 3 more: autolabel status --errors names all." in report(home).text


def test_pictures_show_hand_labels_labels_and_student(full: Workspace) -> None:
    page = report(full, images=1, crops=2)
    titles = [str(a["alt"]) for a in page.all("img")]
    assert titles[:3] == [
        "hand labels on 0000.png: 1\u00a0×\u00a0cat, 1\u00a0×\u00a0bird",
        "labels on 0000.png: 1\u00a0×\u00a0cat",
        "small detector on 0000.png: 1\u00a0×\u00a0cat",
    ]
    hand, labels, student = (np.asarray(p.convert("RGB"), int) for p in page.pictures[:3])
    assert abs(hand - labels)[38:62, 58:82].max() > 60  # the bird is marked by hand alone
    assert abs(labels - student)[:30, 45:].max() < 25  # a rejected label is not drawn
    # Right, false and missed: nobody found the bird, and the cat is right.
    assert "1 right; false: none; missed: 1\u00a0×\u00a0bird" in page.html
    assert page.text.count("3, 2 of them at random") == 2  # cats kept, dogs rejected


def test_names_are_only_text(tmp_path: Path) -> None:
    classes = (SCRIPT, "a & b", "$x_1$ \u202e<b>")
    home = made.workspace(tmp_path, classes=classes, names={0: PHOTO})
    truth = made.truth(tmp_path, classes=classes)
    made.measured(home, truth, classes=classes, student="tiny")
    made.trained(home, "tiny", student=SCRIPT)
    page = report(home)
    assert SCRIPT in page.text
    assert "&lt;script&gt;" in page.html
    assert PHOTO in page.text
    assert "$x_1$" in page.text
    assert not page.all("b") or all(not a for a in page.all("b"))


def test_without_evaluation_nothing_is_known(tmp_path: Path) -> None:
    page = report(made.workspace(tmp_path))
    assert "Nothing is known about whether these 3 labels are right" in page.text
    assert "no small detector is trained yet" in page.text
    assert "No label of “dog” is kept: all 3 found were rejected." in page.text
    assert "No label of “bird” is kept: none was found." in page.text
    assert "AP50, labels" not in page.text
    assert len(page.pictures) == 3 + 3 + 3  # photos, kept, rejected


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Objects.empty(), "No label was kept on 3 photos: the models found nothing."),
        (made.labels(made.CLASSES)[1:], "No label was kept on 3 photos: all 3 were rejected."),
    ],
)
def test_zero_kept_labels(tmp_path: Path, found: Objects, said: str) -> None:
    page = report(made.workspace(tmp_path, found=found))
    assert said in page.text
    assert "There are no labels to judge" in page.text
    assert "No label is kept." in page.text


@pytest.mark.parametrize("out", [".", "..", "folder", "/"])
def test_a_folder_in_the_place_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, out: str
) -> None:
    home = made.workspace(tmp_path)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    done = run("report", home.path, "--out", out)
    assert done.status == 2
    assert "is a folder, and the report is a file" in done.err
    assert "--out FOLDER/report.html" in done.err


def test_one_image_without_masks(tmp_path: Path) -> None:
    found = made.labels(made.CLASSES, masks=False)
    home = made.workspace(tmp_path, photos=1, found=found)
    made.trained(home, "tiny", epochs=1)
    page = report(home)
    assert "1 photo was read" in page.text
    assert "A small detector (tiny) was trained, but nothing is known" in page.text


def test_truth_without_a_class(tmp_path: Path) -> None:
    home = made.workspace(tmp_path)
    truth = made.truth(tmp_path, known=1)
    result = made.measured(home, truth, classes=("cat",))
    result["classes_without_truth"] = ["dog", "bird"]
    result["rows"][0]["classes"]["cat"] |= {"truth": 3, "recall": 0.2}
    result["rows"][0]["intervals"]["ap50"] = [0.2, 0.9]
    result["unmatched_reasons"] = {"gone.png": "not in the layer"}
    made.write_result(home, result)
    page = report(home)
    assert "Nothing is known about “dog”: the hand labels do not have this class." in page.text
    assert "“cat” is measured on 3 hand-labelled objects only." in page.text
    assert "“cat” is weak: of 100 people marked, about 20 are found." in page.text
    assert "anything from 0.20 to 0.90" in page.text
    assert "1 photo with hand labels could not be compared: not in the layer." in page.text


def test_figures_that_are_not_defined(tmp_path: Path) -> None:
    home = made.workspace(tmp_path)
    result = made.measured(home, made.truth(tmp_path), student="tiny")
    for row in result["rows"]:
        row |= dict.fromkeys(("ap", "ap50", "ap75", "precision", "recall", "f1", "best_f1"))
        row |= {"curves": {}, "confusion": None, "images_per_second": None, "intervals": {}}
        row["classes"] = {}
    result |= {"speed": None, "bootstrap": 0, "differences": []}
    made.write_result(home, result)
    page = report(home)
    assert "show no object of these classes" in page.text
    assert "Nothing is known about the small detector tiny" in page.text
    assert "No intervals were computed" in page.text


def test_a_twin_on_hand_labels(full: Workspace) -> None:
    result = json.loads((full.path / "evaluate/result.json").read_text())["result"]
    share = {"ap50": {"value": 0.97, "interval": [0.94, 1.01]}, "ap": None}
    reference = {"of": "tiny", "minus": "tiny on hand labels", "images": 3, "share": share}
    made.write_result(full, {**result, "reference": reference, "notes": ["a <note>"]})
    page = report(full)
    assert "97 % 94 % to 101 %" in page.text
    assert "97 % of what hand labels give 95 %: 94 to 101 %" in page.text
    assert "a <note>" in page.text
    result["rows"][1] |= {"ap50": 0.01}
    made.write_result(full, {**result, "reference": {**reference, "share": {"ap50": None}}})
    page = report(full)
    assert "No share can be given" in page.text
    assert "The small detector has learned next to nothing (AP50 0.01): do not use it." in page.text


def test_photos_that_were_moved_away(full: Workspace, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    shutil.copy(tmp_path / "photos/truth.json", truth)
    result = json.loads((full.path / "evaluate/result.json").read_text())["result"]
    made.write_result(full, {**result, "truth": str(truth)})
    shutil.rmtree(tmp_path / "photos")
    page = report(full)
    assert "3 photos could not be read and are not shown" in page.text
    assert "--source-root" in page.text
    assert "There is no photo with labels to show." in page.text
    truth.unlink()
    assert "The hand labels cannot be shown: no such file or folder" in report(full).text


@pytest.mark.parametrize("content", ["{", '{"result": {"layer": "detect", "ap": 0.5}}', "[]", "7"])
def test_files_that_are_damaged(tmp_path: Path, content: str) -> None:
    home = made.workspace(tmp_path)
    (home.path / "evaluate").mkdir()
    (home.path / "evaluate/result.json").write_text(content)
    made.trained(home, "good").joinpath("metrics.csv").write_text("epoch,ap50\n1,0.5\n2,0.")
    made.trained(home, "cut").joinpath("run.json").write_text('{"stu')
    page = report(home)
    assert "result.json is damaged or was written by another version; it is not shown." in page.text
    assert "train/cut/ is damaged and left out" in page.text
    assert "Nothing is known about whether these 3 labels are right" in page.text


def test_what_was_measured_before_the_settings_changed(tmp_path: Path) -> None:
    home = made.workspace(tmp_path)
    old = made.workspace(tmp_path / "old", settings={"box_threshold": 0.1})
    shutil.copytree(old.path, home.path / "evaluate" / "abc")
    result = made.measured(home, made.truth(tmp_path / "old"))
    made.write_result(home, {**result, "workspace": "evaluate/abc"})
    page = report(home)
    assert "labelled by other settings (box_threshold 0.1, not 0.3)" in page.text
    made.write_result(home, {**result, "workspace": "../old/ws"})
    assert "no longer in this workspace" in report(home).text  # it lies outside


def test_a_student_of_labels_that_have_changed(tmp_path: Path) -> None:
    home = made.workspace(tmp_path)
    same = home.layer("detect").fingerprint()
    made.trained(home, "tiny", layer="detect", layer_fingerprint=same)
    made.trained(home, "late", layer="detect", layer_fingerprint="other", state="unfinished")
    page = report(home)
    assert "late learned from labels that have changed since" in page.text
    assert "tiny learned from labels" not in page.text
    assert "The training of late is unfinished" in page.text


def test_pictures_beyond_the_budget_are_left_out(
    full: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = report(full)
    monkeypatch.setattr(image_budget.ImageBudget.__init__, "__defaults__", (8_000,))
    page = report(full)
    left = re.search(r"(\d+) pictures are left out to keep this page small", page.text)
    assert left
    assert len(page.pictures) + int(left[1]) == len(whole.pictures)
    assert sum(len(str(a["src"])) for a in page.all("img")) < 9_000 + 30 * len(page.pictures)


def test_the_same_page_twice(full: Workspace) -> None:
    first, second = (re.sub(r"Written on [^<]*", "", report(full).html) for _ in range(2))
    assert first == second


# -- the command -------------------------------------------------------------------------------


def test_command(run: Run, full: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    done = run("report", full.path)
    assert done.status == 0, done.err
    assert "the labels find about 75" in done.err
    out = full.path / "report/report.html"
    assert f"-> {out}" in done.err
    assert not opened
    out.write_text("an older page")
    done = run("report", full.path, "--open", "--json", "--images", 0, "--crops", 0)
    assert opened == [out.resolve().as_uri()]
    assert done.json()["size"] == out.stat().st_size
    assert not checked(Page(out.read_text())).pictures
    assert [p.name for p in out.parent.iterdir()] == ["report.html"]


def test_mistakes(run: Run, full: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for arguments, status, said in [
        ((full.path, "--layer", "nothing"), 1, "has no layer 'nothing'"),
        ((full.path, "--out", tmp_path / "file/page.html"), 1, "cannot be written"),
        ((full.path, "--images", "-1"), 2, "--images"),
        ((tmp_path / "none",), 2, "does not exist"),
    ]:
        done = run("report", *arguments)
        assert (done.status, said in done.err) == (status, True), done.err
        assert "hint:" in done.err


def test_a_run_ends_with_the_report(
    run: Run, tmp_path: Path, random_detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.make_photos(tmp_path / "photos", 2)
    monkeypatch.chdir(tmp_path)
    config = {
        "workspace": "ws",
        "engine": {"device": "cpu"},
        "ingest": {"source": "photos"},
        "detect": {"model": str(random_detector), "prompt": ["red cell", "dog"]},
        "report": {"images": 1},
    }
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    done = run("run", "run.yaml")
    assert done.status == 0, done.err
    assert "-> ws/report/report.html" in done.err.splitlines()[-1]
    page = checked(Page((tmp_path / "ws/report/report.html").read_text()))
    assert "autolabel run pipeline.yaml" in page.text
    assert "--prompt" not in page.text
    assert "autolabel detect ws --ontology ws/ontology.yaml" in page.text
