"""What the page's server answers, and what it refuses."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest
from PIL import Image
from starlette.testclient import TestClient

from autolabel.corrections.decisions import Decisions
from autolabel.review.pictures import Pictures
from autolabel.review.prepare import Review
from autolabel.review.server import PAGE, application
from autolabel.store import Workspace
from autolabel.web.guard import Guard
from tests.review import made

TOKEN, HOST = "secret-" * 6, "127.0.0.1:8000"


def client_of(home: Workspace, at: Review) -> TestClient:
    app = application(at.session, Pictures(home.source_root), at.queue, at.result)
    guard = Guard(app, host="127.0.0.1", port=8000, token=TOKEN)
    client = TestClient(guard, base_url=f"http://{HOST}", follow_redirects=False)
    assert client.get("/", params={"token": TOKEN}).status_code == 200
    return client


@pytest.fixture
def at(home: Workspace) -> Review:
    return made.review(home)


@pytest.fixture
def client(home: Workspace, at: Review) -> Iterator[TestClient]:
    with client_of(home, at) as one:
        yield one


def post(client: TestClient, item: dict[str, Any], action: str, **more: Any) -> Any:
    answer = {"id": uuid4().hex, "key": item["key"], "action": action, **more}
    return client.post("/api/decisions", json=answer)


def test_the_page_is_a_fixed_set_of_files_without_anything_inline(client: TestClient) -> None:
    for path in PAGE:
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
    page = client.get("/").text
    assert "<style" not in page
    assert " style=" not in page
    assert " on" + "click=" not in page
    assert page.count("<script") == page.count('<script type="module" src=')


def test_an_object_is_described_with_what_is_around_it(client: TestClient, at: Review) -> None:
    first, *_ = client.get("/api/next", params={"tab": "a"}).json()["items"]
    item = at.session.items[first["key"]]
    assert (first["label"], tuple(first["xyxy"])) == (item.label, item.xyxy)
    assert (first["width"], first["height"]) == made.SIZE
    left, top, right, bottom = first["window"]
    assert left <= first["xyxy"][0] < first["xyxy"][2] <= right
    assert top <= first["xyxy"][1] < first["xyxy"][3] <= bottom
    assert len(first["others"]) == 5
    assert first["xyxy"] not in [one["xyxy"] for one in first["others"]]
    assert first["reasons"]
    assert 0.3 <= first["score"] <= 0.95


def test_pictures_are_upright_and_cut_where_the_page_draws(tmp_path: Path) -> None:
    home = made.workspace(tmp_path, photos=1)
    at = made.review(home)
    (record,) = home.require("detect")
    with client_of(home, at) as client:
        photo = Image.open(io.BytesIO(client.get(f"/photo/{record.image_id}").content))
        assert photo.size == made.SIZE
        for item in made.objects_of(at)[:2]:
            told = client.get(f"/api/item/{item.key}").json()
            left, top, right, bottom = told["window"]
            crop = Image.open(io.BytesIO(client.get(f"/crop/{item.key}").content))
            assert crop.size == (right - left, bottom - top)


def test_a_turned_photo_is_shown_upright_and_a_large_one_smaller(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    path = tmp_path / "photos" / "0000.jpg"
    image = Image.new("RGB", (2000, 1000), "white")
    image.paste("red", (0, 0, 1000, 1000))
    image.save(path, exif=exif)
    from autolabel.ops.images import content_id
    from autolabel.types import Record

    record = Record(content_id(path.read_bytes()), "0000.jpg", 1000, 2000)
    shown = Image.open(io.BytesIO(Pictures(tmp_path / "photos").photo(record)))
    assert shown.size == (800, 1600)
    top, bottom = shown.getpixel((400, 100)), shown.getpixel((400, 1500))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[0] > 200 > 100 > top[1]  # red above
    assert min(bottom) > 240
    assert not shown.getexif()


@pytest.mark.parametrize(
    "path",
    [
        "/photo/..", "/photo/../manifest.json", "/photo/..%2f..%2fetc%2fpasswd",
        "/photo/" + "0" * 32, "/photo/0000.png", "/crop/../../x", "/crop/..%2f..%2fx",
        "/crop/" + "0" * 16, "/crop/%00", "/api/item/..", "/api/item/%2e%2e%2f", "/page.html",
        "/server.py", "/../session.py", "/.%2e/session.py", "//etc/passwd",
    ],
)  # fmt: skip
def test_nothing_is_served_but_by_an_id_of_this_review(
    home: Workspace, at: Review, path: str
) -> None:
    """The path as a hostile client sends it, which others would make shorter first."""
    app = application(at.session, Pictures(home.source_root), at.queue, at.result)
    cookie, sent = f"autolabel_8000={TOKEN}".encode(), list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(),
        "query_string": b"", "headers": [(b"host", HOST.encode()), (b"cookie", cookie)],
        "root_path": "", "scheme": "http", "http_version": "1.1", "client": None,
        "server": ("127.0.0.1", 8000), "asgi": {"version": "3.0"},
    }  # fmt: skip
    guard = Guard(app, host="127.0.0.1", port=8000, token=TOKEN)
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == 404


def test_an_image_that_is_not_asked_about_is_not_served(home: Workspace) -> None:
    at = made.review(home, limit=1)
    (item,) = at.session.items.values()
    with client_of(home, at) as client:
        for record in home.require("detect"):
            status = client.get(f"/photo/{record.image_id}").status_code
            assert status == (200 if record.image_id == item.image_id else 404)


def test_what_another_page_could_ask_is_refused_and_nothing_recorded(
    client: TestClient, home: Workspace
) -> None:
    (first, *_) = client.get("/api/next", params={"tab": "a"}).json()["items"]
    answer = {"id": uuid4().hex, "key": first["key"], "action": "reject"}
    for headers in (
        {"origin": "http://evil.example"}, {"host": "evil.example:8000"}, {"origin": "null"},
        {"sec-fetch-site": "cross-site"}, {"content-type": "text/plain"},
    ):  # fmt: skip
        assert client.post("/api/decisions", json=answer, headers=headers).status_code in (403, 415)
    client.cookies.clear()
    assert client.post("/api/decisions", json=answer).status_code == 403
    assert client.get(f"/crop/{first['key']}").status_code == 403
    assert client.get("/api/next").status_code == 403
    assert Decisions(home.path).read() == []


def test_a_second_decision_is_a_conflict_that_says_the_first(client: TestClient) -> None:
    (first, *_) = client.get("/api/next", params={"tab": "a"}).json()["items"]
    done = post(client, first, "reject", who="bob")
    assert (done.status_code, done.json()["done"]) == (200, 1)
    second = post(client, first, "accept", who="cat")
    assert second.status_code == 409
    assert second.json()["said"] | {"id": "", "at": ""} == {
        "id": "", "at": "", "action": "deleted", "label": first["label"], "who": "bob",
    }  # fmt: skip


def test_undo_gives_back_what_was_judged(client: TestClient) -> None:
    (first, *_) = client.get("/api/next", params={"tab": "a"}).json()["items"]
    made_ = post(client, first, "reject").json()["decision"]
    after = client.get(f"/api/item/{first['key']}").json()
    back = client.post("/api/undo", json={"id": uuid4().hex, "undoes": made_["id"]}).json()
    assert (back["item"]["key"], back["done"]) == (first["key"], 0)
    assert after["others"] == back["item"]["others"]


def test_what_people_did_is_drawn_on_the_photo(client: TestClient, at: Review) -> None:
    first = made.objects_of(at)[0]
    beside = next(i for i in made.objects_of(at)[1:] if i.image_id == first.image_id)

    def others() -> list[Any]:
        told = client.get(f"/api/item/{beside.key}").json()["others"]
        return [(one["label"], tuple(one["xyxy"])) for one in told]

    assert (first.label, first.xyxy) in others()
    post(client, {"key": first.key}, "add", label="bird", xyxy=[1, 1, 3, 3])
    assert ("bird", (1, 1, 3, 3)) in others()
    post(client, {"key": first.key}, "change", label="bird")
    assert (first.label, first.xyxy) not in others()
    assert ("bird", first.xyxy) in others()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'"x"', b"null", b'{"id": 1}', b'{"id": "x", "key": "y"}',
        b'{"id": "\\ud800", "key": "y", "action": "accept"}', b"[" * 100_000,
        b'{"id": "a", "key": "b", "action": "add", "xyxy": [1, 2, NaN, 4]}',
        b'{"id": "a", "key": "b", "action": "add", "xyxy": [1, 2, 1e999, 4]}',
        b'{"id": "a", "key": "b", "action": "add", "seconds": "9"}', b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_not_an_answer_is_said(client: TestClient, body: bytes, home: Workspace) -> None:
    kind = {"content-type": "application/json"}
    for path in ("/api/decisions", "/api/undo"):
        answer = client.post(path, content=body, headers=kind)
        assert answer.status_code == 400
        assert answer.json()["error"]
    assert Decisions(home.path).read() == []


def test_a_photo_that_is_gone_is_said(tmp_path: Path) -> None:
    home = made.workspace(tmp_path, photos=1)
    (record,) = home.require("detect")
    at = made.review(home)
    next((tmp_path / "photos").iterdir()).unlink()
    with client_of(home, at) as client:
        answer = client.get(f"/photo/{record.image_id}")
        assert answer.status_code == 404
        assert "missing" in answer.json()["error"]
        items = client.get("/api/next", params={"tab": "a"}).json()["items"]
        assert post(client, items[0], "skip").status_code == 200


def test_an_audit_tells_neither_scores_nor_reasons(home: Workspace) -> None:
    at = made.review(home, audit=8)
    with client_of(home, at) as client:
        seen: list[dict[str, Any]] = []
        while items := client.get("/api/next", params={"tab": "a"}).json()["items"]:
            seen.append(items[0])
            assert post(client, items[0], "accept").status_code == 200
        assert not {"score", "scores", "reasons", "prompt", "rejected"} & set().union(*seen)
        assert [one["kind"] for one in seen] == ["object"] * 8 + ["image"] * 2
        assert client.get("/api/grid", params={"label": "cat"}).status_code == 400
        last = client.get("/api/next", params={"tab": "a"}).json()
        assert "precision 100.0%" in " ".join(last["result"])
