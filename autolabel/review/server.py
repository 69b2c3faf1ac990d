"""The page's server: files of the page, what is asked, pictures by id, and what is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from autolabel.errors import AutolabelError
from autolabel.reading import parse_json
from autolabel.review.answer import Answer
from autolabel.review.audit_result import AuditResult
from autolabel.review.describe import described, told, window_of
from autolabel.review.items import IMAGE, Item
from autolabel.review.pictures import Pictures
from autolabel.review.session import ConflictError, Session

PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/server.js": ("server.js", "text/javascript"),
    "/view.js": ("view.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/favicon.ico": ("icon.svg", "image/svg+xml"),
}
"""Path -> file of the page and its type; nothing else is ever read for a path."""
AHEAD = 3
"""So much of what is asked goes to the page at once, so that pictures are there in time."""
IN_GRID = 12

_TAB = re.compile(r"[0-9a-zA-Z]{1,32}")

Result = Callable[[], AuditResult | None]
Answerer = Callable[[dict[str, Any]], Response]


def application(
    session: Session, pictures: Pictures, queue: str, result: Result = lambda: None
) -> Starlette:
    """Return the application of a review, to be put behind a `Guard`.

    Args:
        session: what is asked and said.
        pictures: of the photos.
        queue: in which order it is asked, in words.
        result: what the audit says so far, where there is one.
    """
    handlers = Handlers(session, pictures, queue, result)
    routes = [Route(path, _page_file(*file)) for path, file in PAGE.items()]
    routes += [
        Route("/api/session", handlers.session_state),
        Route("/api/next", handlers.next),
        Route("/api/grid", handlers.grid),
        Route("/api/item/{key}", handlers.item),
        Route("/api/decisions", _posted(handlers.decide), methods=["POST"]),
        Route("/api/undo", _posted(handlers.undo), methods=["POST"]),
        Route("/photo/{image_id}", handlers.photo),
        Route("/crop/{key}", handlers.crop),
    ]
    app = Starlette(routes=routes, exception_handlers={AutolabelError: _failed})
    app.router.redirect_slashes = False
    return app


class Handlers:
    """What is answered to each request; those that are not `async` run in threads."""

    def __init__(self, session: Session, pictures: Pictures, queue: str, result: Result) -> None:
        self.session, self.pictures, self.queue, self.result = session, pictures, queue, result

    def session_state(self, request: Request) -> Response:
        """Tell what this review is, and how far."""
        labels = sorted({item.label for item in self.session.items.values() if item.label})
        return JSONResponse(
            {
                "queue": self.queue,
                "audit": self.session.audit,
                "classes": list(self.session.classes),
                "asked_classes": labels,
                "who": self.session.who,
                "layer": self.session.layer.name,
                **self._progress(),
            }
        )

    def next(self, request: Request) -> Response:
        """Tell what a tab shows next; at the end of an audit, what it says."""
        items = self.session.next(_tab(request), AHEAD)
        said: dict[str, Any] = {"items": list(map(self._described, items)), **self._progress()}
        if not items and self.session.audit and (found := self.result()):
            said["result"] = found.sentences()
        return JSONResponse(said)

    def grid(self, request: Request) -> Response:
        """Tell of some objects of one class."""
        label = request.query_params.get("label", "")
        if self.session.audit:
            return _wrong("an audit has no grid")
        items = self.session.grid(_tab(request), label, IN_GRID)
        return JSONResponse({"items": list(map(self._described, items)), **self._progress()})

    def item(self, request: Request) -> Response:
        """Tell of one thing that is asked, whoever shows it."""
        found = self.session.item(request.path_params["key"])
        return JSONResponse(self._described(found)) if found else _unknown()

    def decide(self, data: dict[str, Any]) -> Response:
        """Record what was said; 409 and what stands, where somebody was first."""
        try:
            decision = self.session.decide(Answer.parse(data))
        except ConflictError as e:
            return JSONResponse({"said": told(e.said), **self._progress()}, 409)
        return JSONResponse({"decision": told(decision), **self._progress()})

    def undo(self, data: dict[str, Any]) -> Response:
        """Take a decision back."""
        new, undoes, who = (data.get(name) for name in ("id", "undoes", "who"))
        if not isinstance(new, str) or not isinstance(undoes, str):
            return _wrong("id and undoes are texts")
        item = self.session.undo(new, undoes, who[:200] if isinstance(who, str) else None)
        return JSONResponse({"item": self._described(item) if item else None, **self._progress()})

    def photo(self, request: Request) -> Response:
        """Answer with a whole photo of the review."""
        record = self.session.record(request.path_params["image_id"])
        return _unknown() if record is None else _jpeg(self.pictures.photo(record))

    def crop(self, request: Request) -> Response:
        """Answer with an object and what is around it."""
        item = self.session.item(request.path_params["key"])
        record = self.session.record(item.image_id) if item else None
        if item is None or record is None:
            return _unknown()
        return _jpeg(self.pictures.crop(record, window_of(item, record)))

    def _described(self, item: Item) -> dict[str, Any]:
        record = self.session.record(item.image_id)
        said = self.session.said_of(item.image_id)
        blind = self.session.audit is not None
        if blind:  # what was said outside the audit tells nothing here
            said = [one for one in said if one.audit == self.session.audit and item.kind == IMAGE]
        if record is None:
            raise AutolabelError("the image is gone", hint="start the review again")
        return described(item, record, said, blind=blind)

    def _progress(self) -> dict[str, Any]:
        at = self.session.progress()
        return {"done": at.done, "skipped": at.skipped, "total": at.total}


def _tab(request: Request) -> str:
    tab = request.query_params.get("tab", "")
    return tab if _TAB.fullmatch(tab) else ""


def _page_file(name: str, kind: str) -> Callable[[Request], Response]:
    data = (files("autolabel.review") / "page" / name).read_bytes()

    def answer(request: Request) -> Response:
        return Response(data, media_type=kind)

    return answer


def _posted(answerer: Answerer) -> Callable[[Request], Any]:
    """Return a handler of JSON objects, whose errors a page can show."""

    async def answer(request: Request) -> Response:
        try:
            data = parse_json(await request.body())
            if not isinstance(data, dict):
                raise ValueError("not a JSON object")
            return await run_in_threadpool(answerer, data)
        except ValueError as e:
            return _wrong(str(e))
        except AutolabelError as e:
            return JSONResponse({"error": e.message, "hint": e.hint}, 503)

    return answer


def _failed(request: Request, error: Exception) -> Response:
    """Answer with what a user can act on, as a photo that is gone."""
    return JSONResponse({"error": str(error), "hint": getattr(error, "hint", "")}, 404)


def _jpeg(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg")


def _unknown() -> Response:
    return JSONResponse({"error": "this review has nothing of that name"}, 404)


def _wrong(what: str) -> Response:
    return JSONResponse({"error": what[:500]}, 400)
