"""Label Studio itself, from PyPI: shows what we write, and what people do there comes back.

It is installed in an environment of its own, which an environment variable names:

    python -m venv label-studio && label-studio/bin/pip install label-studio
    AUTOLABEL_LABEL_STUDIO_PYTHON=$PWD/label-studio/bin/python pytest -m slow tests/integrations
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.config import EngineConfig, FilterConfig, ImportConfig
from autolabel.corrections.decisions import Decisions
from autolabel.datasets.ground_truth import read_hand_labels
from autolabel.ops.masks import boxes, decode, encode
from autolabel.stages.importing import import_labels
from autolabel.stages.table import STAGES
from autolabel.types import Objects
from tests.datasets.conftest import Fixture
from tests.integrations.label_studio_server import PASSWORD, PYTHON, USER, Server, label_studio
from tests.report import browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PYTHON not in os.environ,
        reason=f"{PYTHON} must name the Python of an environment with label-studio",
    ),
]
WIDTH, HEIGHT = 640, 480
GREY = 190


def drawn_masks() -> Any:
    """A ring with a hole and a speck beside it, and a disc at the border."""
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(xs - 180, ys - 200)
    ring = (distance < 120) & (distance > 60)
    ring[360:390, 300:340] = True
    return np.stack([ring, np.hypot(xs - 560, ys - 90) < 100])


BOX = [380.0, 300.0, 560.0, 440.0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Fixture:
    """Two grey photos: on the first a dog, a cat and a box without a mask; nothing on the other."""
    root = tmp_path_factory.mktemp("made")
    (root / "photos").mkdir()
    paths = [root / "photos" / name for name in ("one.png", "two & more.png")]
    for i, path in enumerate(paths):
        Image.new("RGB", (WIDTH, HEIGHT), (GREY, GREY, GREY - i)).save(path)
    made = Fixture(root, paths)
    counts = encode(drawn_masks())
    objects = Objects.create(
        ["dog", "cat", "cat"], [0.9, 0.8, 0.7],
        [*boxes(counts, HEIGHT, WIDTH).tolist(), BOX], mask=[*counts, None],
    )  # fmt: skip
    first, second = (replace(one, width=WIDTH, height=HEIGHT) for one in made.records)
    made.records = [replace(first, objects=objects), second]
    made.write()
    made.label()
    made.export("label-studio")
    return made


@pytest.fixture(scope="module")
def server(made: Fixture, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with label_studio(tmp_path_factory.mktemp("label-studio"), made.out) as one:
        yield one


@pytest.fixture(scope="module")
def project(made: Fixture, server: Server) -> int:
    """A project of our config with our tasks."""
    number = server.project("autolabel", config_of(made), made.out / "images")
    done = server.call(f"/api/projects/{number}/import", tasks_of(made))
    assert (done["task_count"], done["prediction_count"]) == (2, 2)
    return number


def config_of(made: Fixture) -> str:
    return (made.out / "config.xml").read_text("utf-8")


def tasks_of(made: Fixture) -> list[Any]:
    tasks: list[Any] = json.loads((made.out / "tasks.json").read_text("utf-8"))
    return tasks


def test_its_own_library_reads_what_we_write(made: Fixture) -> None:
    """Its check of predictions finds nothing, and its decoder gives every mask to the pixel."""
    script = """if True:
        import json, sys
        import numpy as np
        from label_studio_sdk.converter.brush import decode_rle
        from label_studio_sdk.label_interface import LabelInterface
        tasks, config = json.load(open(sys.argv[1])), open(sys.argv[2]).read()
        checked, masks = LabelInterface(config), []
        for prediction in (one for task in tasks for one in task["predictions"]):
            assert checked.validate_prediction(prediction, return_errors=True) == [], prediction
            for one in prediction["result"]:
                if one["type"] == "brushlabels":
                    size = (one["original_height"], one["original_width"], 4)
                    masks.append(decode_rle(one["value"]["rle"]).reshape(size)[:, :, 3])
        np.save(sys.argv[3], np.stack(masks))
    """
    at = [str(made.out / "tasks.json"), str(made.out / "config.xml"), str(made.root / "masks.npy")]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([os.environ[PYTHON], "-c", script, *at], check=True, env=env)
    found = np.load(made.root / "masks.npy")
    assert set(np.unique(found)) == {0, 255}
    assert (found == 255 * drawn_masks().astype(int)).all()


def test_people_see_boxes_and_masks_where_they_belong(
    server: Server, project: int, tmp_path: Path
) -> None:
    executable = browser.find()
    if executable is None:
        pytest.skip("there is no Chromium")
    first = server.tasks(project)[0]["id"]
    file = Path(os.environ.get("AUTOLABEL_SCREENSHOTS", tmp_path)) / "label-studio.png"
    with browser.browse(executable, tmp_path / "profile") as page:
        page.open(f"{server.url}/user/login/", width=1500, height=1000)
        page.evaluate(
            f"document.querySelector('input[name=email]').value = {USER!r};"
            f"document.querySelector('input[name=password]').value = {PASSWORD!r};"
            "document.querySelector('form').submit()"
        )
        time.sleep(5)
        page.open(f"{server.url}/projects/{project}/data?task={first}", width=1500, height=1000)
        until(page, "document.body.innerText.includes('0.90') ? 'there' : null")
        time.sleep(5)  # until all is drawn, where it stays
        # The picture itself, which may be a little larger than the canvas over it.
        rect = until(page, "JSON.stringify(document.querySelector('img[alt=image]')"
                           ".getBoundingClientRect().toJSON())")  # fmt: skip
        page.screenshot(file, whole=False)
    coloured = seen(file, json.loads(rect))
    masks = drawn_masks()
    x1, y1, x2, y2 = (int(v) for v in BOX)
    # The border may be cut off, and tools lie over the top right.
    apart = np.zeros((HEIGHT, WIDTH), bool)
    apart[20:-20, 20:520] = True
    border = np.zeros((HEIGHT, WIDTH), bool)
    border[y1:y2, x1:x2] = True
    for mask in (masks[0], masks[1], border):
        inside = mask & apart
        assert coloured[inside].mean() > 0.98
    nothing = apart & ~masks.any(axis=0) & ~border
    assert coloured[nothing].mean() < 0.02
    hole = np.hypot(*np.mgrid[-200 : HEIGHT - 200, -180 : WIDTH - 180]) < 50
    assert not coloured[hole].any()


def until(page: browser.Page, expression: str) -> Any:
    """Wait for a value; what is not there yet is an exception."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            if value := page.evaluate(expression):
                return value
        except AssertionError:
            pass
        time.sleep(1)
    raise AssertionError(page.evaluate("document.body.innerText.slice(0, 2000)"))


def seen(file: Path, rect: dict[str, float]) -> Any:
    """Tell which pixels of the photo have another colour on the screen, bool (height, width)."""
    screen = np.asarray(Image.open(file).convert("RGB")).astype(int)
    ys = (rect["y"] + (np.arange(HEIGHT) + 0.5) * rect["height"] / HEIGHT).astype(int)
    xs = (rect["x"] + (np.arange(WIDTH) + 0.5) * rect["width"] / WIDTH).astype(int)
    shown = screen[ys[:, None], xs[None, :]]
    return np.ptp(shown, axis=2) > 8


def test_an_annotation_comes_back_locked_and_stays(
    made: Fixture, server: Server, project: int
) -> None:
    first, second = server.tasks(project)
    dog, _, box = (dict(one, origin="prediction") for one in first["predictions"][0]["result"])
    moved = dict(box, origin="prediction-changed", value={**box["value"], "x": 55.0})
    server.call(f"/api/tasks/{first['id']}/annotations/", {"result": [dog, moved]})
    server.call(f"/api/tasks/{second['id']}/annotations/", {"result": []})
    file = made.root / "exported.json"
    exported = server.call(f"/api/projects/{project}/export?exportType=JSON")
    file.write_text(json.dumps(exported))
    image = read_hand_labels(file).records[0]
    assert [(c.action, c.who) for c in image.objects.correction] == [
        ("confirmed", "1"), ("moved", "1"),
    ]  # fmt: skip
    assert (decode([image.objects.mask[0]], HEIGHT, WIDTH)[0] == drawn_masks()[0]).all()
    assert image.objects.xyxy[1].tolist() == [352, 300, 532, 440]

    workspace, engine = made.workspace, EngineConfig(device="cpu")
    done = import_labels(workspace, file, ImportConfig(), engine)
    assert done.decisions == {"confirmed": 1, "moved": 1, "deleted": 1}
    before = locked(made)
    assert [label for label, *_ in before] == ["dog", "cat"]
    STAGES["filter"].run(workspace, FilterConfig(min_side=1000), engine)
    assert locked(made) == before


def locked(made: Fixture) -> list[tuple[Any, ...]]:
    """What people left of the first photo, to the bit."""
    from autolabel.stages.corrected import refresh

    corrected = refresh(made.workspace)
    assert corrected is not None
    objects = next(iter(corrected.records())).objects
    objects = objects[objects.locked & objects.keep]
    return [*zip(objects.label, objects.xyxy.tolist(), objects.mask, objects.correction,
                 strict=True)]  # fmt: skip


def test_it_asks_our_server_and_tells_it_what_people_said(
    made: Fixture, server: Server, tmp_path: Path
) -> None:
    workspace = made.workspace.path
    said = len(Decisions(workspace).read())
    command = [sys.executable, "-m", "autolabel", "serve", str(workspace), "--port", "0",
               "--no-model"]  # fmt: skip
    ours = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert ours.stdout is not None
        address = ours.stdout.readline().strip()
        project = server.project("served", config_of(made), made.out / "images")
        bare = [{"data": one["data"]} for one in tasks_of(made)]
        server.call(f"/api/projects/{project}/import", bare)
        backend = {"url": address, "project": project, "title": "autolabel"}
        assert server.call("/api/ml/", backend)["readable_state"] == "Connected"
        everything = {"selectedItems": {"all": True, "excluded": []}, "ordering": []}
        retrieve = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
        server.call(retrieve, everything)
        first, second = server.tasks(project)
        shown = [one["value"] for one in first["predictions"][0]["result"]]
        assert [value.get("x") for value in shown] == [None, 55.0]  # as the person left it
        assert second["predictions"][0]["result"] == []

        hook = {"project": project, "url": f"{address}webhook", "send_payload": True}
        server.call("/api/webhooks/", {**hook, "send_for_all_actions": True})
        result = first["predictions"][0]["result"]
        server.call(f"/api/tasks/{first['id']}/annotations/", {"result": result[:1]})
        end = time.monotonic() + 60
        while len(Decisions(workspace).read()) == said and time.monotonic() < end:
            time.sleep(0.5)
        (new,) = Decisions(workspace).read()[said:]
        assert (new.action, new.label, new.via) == ("deleted", "cat", "label-studio")

        other = server.project("other classes", config_of(made).replace("dog", "lion"),
                               made.out / "images")  # fmt: skip
        with pytest.raises(AssertionError, match="400"):
            server.call("/api/ml/", {**backend, "project": other})
    finally:
        ours.terminate()
        ours.communicate(timeout=60)
