"""Label Studio's protocol for models: `/health`, `/setup`, `/predict`, `/webhook`.

https://labelstud.io/guide/ml_create describes it; `label_studio/ml/api_connector.py` of Label
Studio is what asks. Its people see of an error no more than the status, so each is said here too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from autolabel.datasets.label_studio import prediction
from autolabel.datasets.label_studio_config import Labelling, from_xml
from autolabel.datasets.label_studio_regions import to_regions
from autolabel.datasets.label_studio_tasks import image_names
from autolabel.errors import AutolabelError, nearest
from autolabel.ops.images import ImageError
from autolabel.reading import parse_json
from autolabel.serving.labels import Labels, Say
from autolabel.serving.models import Models
from autolabel.serving.people import record_annotation
from autolabel.types import Record

LARGEST_BODY = 2**26
"""Bytes of a request; a task comes with its annotations, and brush masks are long."""
MOST_TASKS = 1000
RECORDED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")


def application(labels: Labels, models: Callable[[], Models] | None, say: Say) -> Starlette:
    """Return the application that Label Studio asks, to be put behind a `Guard`.

    Args:
        labels: what is answered for photos of the workspace.
        models: gives what labels other photos, when the first of these comes; None leaves them.
        say: called with what went wrong, and what was recorded.
    """
    backend = Backend(labels, models, say)
    return Starlette(
        routes=[
            Route("/", backend.health),
            Route("/health", backend.health),
            Route("/setup", backend.answering(backend.setup), methods=["POST"]),
            Route("/predict", backend.answering(backend.predict), methods=["POST"]),
            Route("/webhook", backend.answering(backend.webhook), methods=["POST"]),
        ]
    )


class Backend:
    """What is answered to each request; one at a time, since a model is one."""

    def __init__(self, labels: Labels, models: Callable[[], Models] | None, say: Say) -> None:
        self.labels, self.say = labels, say
        self._make = models
        self._models: Models | None = None
        self._lock = threading.Lock()

    def health(self, request: Request) -> Response:
        """Tell that the server is there."""
        return JSONResponse({"status": "UP", "model_class": "autolabel"})

    def answering(self, answer: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
        """Return the handler of a path: JSON in, JSON out, an error of the asker is 400."""

        def locked(body: bytes) -> Response:
            try:
                data = parse_json(body)
                if not isinstance(data, dict):
                    raise ValueError("not a mapping")
            except ValueError as e:
                return JSONResponse({"error": f"the request is not JSON: {e}"}, 400)
            try:
                with self._lock:
                    self.labels.refresh()
                    return JSONResponse(answer(data))
            except AutolabelError as e:
                self.say(f"{e.message}; {e.hint}")
                return JSONResponse({"error": e.message, "hint": e.hint}, 400)

        async def handler(request: Request) -> Response:
            return await run_in_threadpool(locked, await request.body())

        return handler

    def setup(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Check the labels of a project, and tell which version of ours it is shown."""
        self._labelling(data.get("schema") or data.get("label_config"))
        return {"model_version": self.labels.version}

    def predict(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Answer each task with a prediction, or an empty list where nothing is known of it."""
        labelling = self._labelling(data.get("label_config"))
        tasks = data.get("tasks")
        good = isinstance(tasks, list) and all(isinstance(task, dict) for task in tasks)
        if not good or len(tasks) > MOST_TASKS:  # type: ignore[arg-type]
            raise AutolabelError(
                f"tasks is not a list of at most {MOST_TASKS} tasks", hint="ask for fewer at once"
            )
        return {"results": [self._prediction(task, labelling) for task in tasks or ()]}

    def webhook(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Record what people said; other events are answered with what they do not do."""
        action = str(data.get("action"))[:40]
        if action in RECORDED:
            project = data.get("project")
            xml = project.get("label_config") if isinstance(project, dict) else None
            labelling = self._labelling(xml, check=False)
            count, image = record_annotation(self.labels, data, labelling)
            self.say(
                f"{count} decisions on {image}" if image else "nothing recorded: no such photo"
            )
            return {"recorded": count}
        if action == "ANNOTATIONS_DELETED":  # it says ids alone, of annotations that are gone
            self.say("an annotation was deleted in Label Studio; what it said stays recorded")
        if action == "START_TRAINING":
            raise AutolabelError(
                "nothing is trained from here", hint="run autolabel train on the workspace"
            )
        return {"recorded": 0}

    def _prediction(self, task: Mapping[str, Any], labelling: Labelling) -> Any:
        record = self._record(image_names(task, labelling.field))
        if record is None or not record.width:
            return []
        regions, lost = to_regions(record, labelling)
        if lost:
            what = ", ".join(f"{count} {kind}" for kind, count in sorted(lost.items()))
            self.say(f"{record.uri}: the project cannot draw {what}")
        return prediction(regions, self.labels.version)

    def _record(self, names: Sequence[str]) -> Record | None:
        found = self.labels.photos.find(names)
        if found.image_id is not None:
            return self.labels.record(found.image_id)
        shown = ascii(names[0][:80]) if names else "a task without an image"
        if found.path is None or self._make is None:
            self.say(f"{shown} is not in the workspace, and is left unanswered")
            return None
        self._models = self._models or self._make()
        try:
            return self._models.label(found.path)
        except ImageError as e:
            self.say(f"{shown} is left unanswered: {e}")
            return None

    def _labelling(self, xml: object, *, check: bool = True) -> Labelling:
        """Return the project's labelling, and see that it has each class that has labels.

        Raises:
            AutolabelError: it is none, or lacks a class.
        """
        if not isinstance(xml, str):
            raise AutolabelError(
                "the request has no labelling config", hint="the asker must be Label Studio"
            )
        labelling = from_xml(xml)
        missing = [n for n in self.labels.classes if not labelling.offering(n)] if check else []
        if missing:
            like = nearest(missing[0], labelling.labels)
            raise AutolabelError(
                f"the project has no label {', '.join(map(repr, missing))}; it has "
                f"{', '.join(map(repr, labelling.labels)) or 'none'}",
                hint=f'add <Label value="{missing[0]}"/> to its labelling config, or autolabel '
                f"relabel WS --rename '{missing[0]}={like or 'NAME'}'",
            )
        return labelling
