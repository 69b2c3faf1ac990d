from __future__ import annotations

import json
import re
from pathlib import Path

from autolabel.store import Workspace
from tests.report import made
from tests.report.pages import PHOTO, SCRIPT, report


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


def test_a_line_looks_as_in_the_legend_where_another_is_missing(full: Workspace) -> None:
    result = json.loads((full.path / "evaluate/result.json").read_text())["result"]
    del result["rows"][0]["curves"]["cat"]
    result["rows"][0]["classes"]["cat"]["recall"] = None
    made.write_result(full, result)
    html = report(full).html
    cat = html[html.index("<bdi>cat</bdi></b></figcaption>") :].partition("</figure>")[0]
    series = [re.findall(rf'class="{shape} (series-\d)"', cat) for shape in ("line", "mark")]
    legend = html[: html.index("<bdi>cat</bdi></b></figcaption>")].rpartition("<ul")[2]
    assert re.findall(r'class="line (series-\d)".*?<bdi>(\w+)</bdi>', legend) == [
        ("series-1", "detect"), ("series-2", "tiny")
    ]  # fmt: skip
    assert series == [["series-2"], ["series-2"]]
