"""What Label Studio asks, answered from a workspace; what its people say, recorded in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from autolabel.corrections.decisions import Decisions
from autolabel.datasets.label_studio_config import BRUSH, RECTANGLE, labelling_of, to_xml
from autolabel.serving.label_studio import application
from autolabel.serving.labels import Labels
from autolabel.serving.password import Password
from autolabel.stages.corrected import refresh
from autolabel.store import Workspace
from autolabel.types import Objects, Record
from autolabel.web.guard import Guard
from tests.conftest import make_photos
from tests.datasets.conftest import Fixture

CONFIG = to_xml(labelling_of(["cat", "dog"], [BRUSH, RECTANGLE]))
EVENT = {"project": {"label_config": CONFIG}}


class FoundNothing:
    """A model that finds one cat in every photo, and notes which it was shown."""

    def __init__(self) -> None:
        self.shown: list[Path] = []

    def label(self, path: Path) -> Record:
        self.shown.append(path)
        objects = Objects.create(["cat"], [0.5], [[0, 0, 4, 4]])
        return Record("", path.name, 96, 64, objects=objects)


class Asked:
    """A server, what it is asked with, and what it said."""

    def __init__(self, workspace: Workspace, root: Path | None = None) -> None:
        self.said: list[str] = []
        self.model = FoundNothing()
        self.labels = Labels(workspace, None, [root] if root else [])
        app = application(self.labels, lambda: self.model, self.said.append)  # type: ignore[arg-type,return-value]
        guarded = Guard(app, host="127.0.0.1", port=9090, token=None, largest_body=2**20)
        self.client = TestClient(guarded, base_url="http://127.0.0.1:9090")

    def post(self, path: str, **data: Any) -> Any:
        return self.client.post(path, json=data)

    def predict(self, *images: str, config: str = CONFIG) -> list[Any]:
        tasks = [{"id": i, "data": {"image": image}} for i, image in enumerate(images)]
        answer = self.post("/predict", tasks=tasks, label_config=config)
        assert answer.status_code == 200, answer.text
        results: list[Any] = answer.json()["results"]
        return results

    def annotate(self, image: str, *results: dict, **more: Any) -> Any:
        annotation = {
            "id": 1, "completed_by": 7, "updated_at": "2026-01-02T00:00:00Z",
            "was_cancelled": False, "result": list(results), **more,
        }  # fmt: skip
        task = {"id": 3, "data": {"image": image}}
        event = {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": task}
        return self.post("/webhook", **event, **EVENT)


@pytest.fixture
def made(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path, make_photos(tmp_path / "photos", 5))


@pytest.fixture
def asked(made: Fixture) -> Asked:
    made.label()
    return Asked(made.workspace)


def test_health_and_setup(asked: Asked) -> None:
    assert asked.client.get("/health").json()["status"] == "UP"
    assert asked.post("/setup", schema=CONFIG).json() == {"model_version": asked.labels.version}


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/3/0a1b2c3d-0001.png",
        "/data/local-files/?d=photos/0001.png",
        "/data/local-files/?d=images/train/0001.jpg",
        "https://example.org/some/0001.png",
    ],
)
def test_a_photo_of_the_workspace_is_answered_with_its_labels(asked: Asked, image: str) -> None:
    (answer,) = asked.predict(image)
    assert answer["model_version"] == asked.labels.version
    assert [r["value"][RECTANGLE] for r in answer["result"]] == [["dog"], ["cat"]]
    assert answer["score"] == 0.35
    assert asked.model.shown == []


def test_many_tasks_are_answered_in_their_order(asked: Asked) -> None:
    answers = asked.predict("0004.png", "unknown.png", "0000.png", "")
    found = [len(one["result"]) if isinstance(one, dict) else one for one in answers]
    assert found == [0, [], 2, []]


def test_a_photo_is_known_by_its_bytes_whatever_its_name(made: Fixture, tmp_path: Path) -> None:
    made.label()
    root = tmp_path / "root"
    root.mkdir()
    (root / "other.png").write_bytes((made.root / "photos" / "0002.png").read_bytes())
    asked = Asked(made.workspace, root)
    (answer,) = asked.predict("/data/local-files/?d=other.png")
    assert len(answer["result"]) == 2
    assert asked.model.shown == []


def test_another_photo_is_shown_to_the_model(made: Fixture, tmp_path: Path) -> None:
    made.label()
    root = tmp_path / "root"
    make_photos(root, 9)[8].rename(root / "new.png")
    asked = Asked(made.workspace, root)
    (answer,) = asked.predict("/data/local-files/?d=new.png")
    assert [r["score"] for r in answer["result"]] == [0.5]
    assert asked.model.shown == [root / "new.png"]


@pytest.mark.parametrize(
    "path", ["../{}", "..%2F{}", "{}", "%2E%2E/{}", "link.png", "a/../../{}", "..%5C{}", "../../{}"]
)
def test_nothing_outside_the_root_is_read(
    made: Fixture, tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    made.label()
    outside = tmp_path_factory.mktemp("outside")
    root = outside / "root"
    root.mkdir()
    secret = make_photos(outside / "more", 9)[8].rename(outside / "secret.png")
    (root / "link.png").symlink_to(secret)
    asked = Asked(made.workspace, root)
    assert asked.predict(f"/data/local-files/?d={path.format('secret.png')}") == [[]]
    assert asked.predict(f"/data/local-files/?d={path.format(secret)}") == [[]]
    assert asked.model.shown == []


def test_labels_that_the_project_has_not_are_named(asked: Asked) -> None:
    other = to_xml(labelling_of(["Cat"], [RECTANGLE]))
    for path, data in (("/setup", {"schema": other}), ("/predict", {"label_config": other})):
        answer = asked.post(path, tasks=[], **data)
        assert answer.status_code == 400
        assert "no label 'cat', 'dog'; it has 'Cat'" in answer.json()["error"]
        assert "cat=Cat" in answer.json()["hint"]
    assert len(asked.said) == 2


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"label_config": 3, "tasks": []},
        {"label_config": "<View/>", "tasks": []},
        {"label_config": CONFIG, "tasks": {}},
        {"label_config": CONFIG, "tasks": [3]},
        {"label_config": CONFIG, "tasks": [{}] * 1001},
        {"label_config": '<!DOCTYPE a [<!ENTITY x "ha">]><View>&x;</View>', "tasks": []},
    ],
)
def test_what_is_not_label_studio_is_refused(asked: Asked, data: dict[str, Any]) -> None:
    answer = asked.post("/predict", **data)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_body_that_is_too_large_or_no_json_is_refused(asked: Asked) -> None:
    headers = {"content-type": "application/json"}
    big = asked.client.post("/predict", content=b"[" * 2**21, headers=headers)
    deep = asked.client.post("/predict", content=b"[" * 2**19, headers=headers)
    assert (big.status_code, deep.status_code) == (413, 400)
    elsewhere = {"origin": "http://example.org"}
    assert asked.client.post("/webhook", json={}, headers=elsewhere).status_code == 403


def test_others_need_the_password(asked: Asked) -> None:
    client = TestClient(Password(asked.client.app, "p"), base_url="http://127.0.0.1:9090")  # type: ignore[arg-type]
    assert client.get("/health").status_code == 401
    assert client.get("/health", auth=("autolabel", "wrong")).status_code == 401
    assert client.get("/health", auth=("autolabel", "p")).status_code == 200


# -- what people say ---------------------------------------------------------------------------


def test_an_annotation_becomes_decisions_and_the_next_answer(asked: Asked, made: Fixture) -> None:
    (shown,) = asked.predict("0001.png")
    _, cat = shown["result"]
    moved = {**cat, "value": {**cat["value"], "x": cat["value"]["x"] + 5}, "origin": "manual"}
    drawn = {
        **cat, "id": "new", "origin": "manual",
        "value": {"x": 80, "y": 80, "width": 10, "height": 10, "rectanglelabels": ["dog"]},
    }  # fmt: skip
    assert asked.annotate("0001.png", moved, drawn).json() == {"recorded": 3}
    said = Decisions(made.workspace.path).read()
    assert sorted((one.action, one.label) for one in said) == [
        ("deleted", "dog"), ("drawn", "dog"), ("moved", "cat"),
    ]  # fmt: skip
    assert {(one.via, one.who, one.when) for one in said if one.action != "deleted"} == {
        ("label-studio", "7", "2026-01-02T00:00:00Z")
    }
    (after,) = asked.predict("0001.png")
    assert after["model_version"] != shown["model_version"]
    boxes = sorted(r["value"]["x"] for r in after["result"])
    np.testing.assert_allclose(boxes, [moved["value"]["x"], 80], atol=0.01)
    corrected = refresh(made.workspace)
    assert corrected is not None
    record = next(r for r in corrected.records() if r.uri.endswith("0001.png"))
    assert record.objects.kept.locked.all()


def test_what_was_said_is_not_said_again(asked: Asked, made: Fixture) -> None:
    (shown,) = asked.predict("0001.png")
    assert asked.annotate("0001.png", *shown["result"]).json() == {"recorded": 2}
    (shown,) = asked.predict("0001.png")
    assert asked.annotate("0001.png", *shown["result"]).json() == {"recorded": 0}
    assert [one.action for one in Decisions(made.workspace.path).read()] == ["confirmed"] * 2


def test_what_could_not_be_shown_or_read_is_not_deleted(asked: Asked, made: Fixture) -> None:
    brush = {"project": {"label_config": to_xml(labelling_of(["cat", "dog"], [BRUSH]))}}
    task, annotation = {"data": {"image": "0001.png"}}, {"completed_by": 7, "result": []}
    event = {"action": "ANNOTATION_UPDATED", "task": task, "annotation": annotation}
    assert asked.post("/webhook", **event, **brush).json() == {"recorded": 0}
    turned = asked.predict("0001.png")[0]["result"][0] | {"image_rotation": 90}
    assert asked.annotate("0001.png", turned).json() == {"recorded": 0}
    assert Decisions(made.workspace.path).read() == []


def test_another_photo_of_that_name_is_left_alone(asked: Asked, made: Fixture) -> None:
    other = asked.predict("0001.png")[0]["result"][0] | {"original_width": 640}
    assert asked.annotate("0001.png", other).json() == {"recorded": 0}
    assert Decisions(made.workspace.path).read() == []


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"action": "PROJECT_UPDATED"}, 200),
        ({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 1}]}, 200),
        ({"action": "START_TRAINING"}, 400),
        ({"action": "ANNOTATION_CREATED"}, 400),
        ({"action": "ANNOTATION_CREATED", "task": 3, "annotation": {}, **EVENT}, 400),
        ({"action": "ANNOTATION_CREATED", "task": {"data": {"image": "0001.png"}},
          "annotation": {"result": [3]}, **EVENT}, 400),
        ({"action": "ANNOTATION_CREATED", "task": {"data": {"image": "0001.png"}},
          "annotation": {"was_cancelled": True, "result": []}, **EVENT}, 200),
        ({"action": "ANNOTATION_CREATED", "task": {"data": {"image": "else.png"}},
          "annotation": {"result": []}, **EVENT}, 200),
    ],
)  # fmt: skip
def test_other_events_record_nothing(
    asked: Asked, made: Fixture, event: dict[str, Any], status: int
) -> None:
    answer = asked.post("/webhook", **event)
    assert answer.status_code == status, answer.text
    assert Decisions(made.workspace.path).read() == []
    assert status == 200 or json.loads(answer.text)["error"]
