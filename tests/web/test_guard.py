"""Who a server answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from autolabel.errors import UsageError
from autolabel.web.guard import HEADERS, Guard
from autolabel.web.serving import listen

TOKEN, HOST = "secret-" * 6, "127.0.0.1:8000"


async def echo(request: Request) -> Response:
    headers = {"content-security-policy": "default-src *"}
    return PlainTextResponse(await request.body() or b"page", headers=headers)


def guarded(**options: Any) -> Guard:
    app = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])
    given = {"host": "127.0.0.1", "port": 8000, "token": TOKEN, **options}
    return Guard(app, **given)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(guarded(), base_url=f"http://{HOST}", follow_redirects=False) as one:
        yield one


def test_the_token_becomes_a_cookie_and_leaves_the_address(client: TestClient) -> None:
    assert client.get("/").status_code == 403
    assert client.get("/?token=other").status_code == 403
    assert client.get("/data", params={"token": TOKEN}).status_code == 403
    first = client.get("/", params={"token": TOKEN})
    cookie = first.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert 'content="0;url=/"' in first.text
    assert TOKEN not in first.text
    assert client.get("/").text == "page"
    client.cookies.clear()
    client.cookies.set("autolabel_8000", "other")
    assert client.get("/").status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8000"},  # a name that somebody lets point here
        {"host": "127.0.0.1:80"},
        {"host": "127.0.0.1"},
        {"host": "10.0.0.7:8000"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8001"},
        {"origin": "https://127.0.0.1:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_host_or_origin_is_refused(
    client: TestClient, headers: dict[str, str], method: str
) -> None:
    client.get("/", params={"token": TOKEN})
    own = {"content-type": "application/json"}
    assert client.request(method, "/data", headers=own).status_code == 200
    assert client.request(method, "/data", headers=own | headers).status_code == 403


def test_a_link_from_elsewhere_opens_the_page_alone(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    assert client.get("/", params={"token": TOKEN}, headers=headers).status_code == 200


def test_our_own_page_is_let_in_by_each_of_our_names(client: TestClient) -> None:
    for name in ("localhost:8000", "[::1]:8000", "LOCALHOST:8000"):
        headers = {"host": name, "origin": f"http://{name}", "cookie": f"autolabel_8000={TOKEN}"}
        assert client.get("/data", headers=headers).status_code == 200


def test_only_json_is_taken_and_not_much_of_it(client: TestClient) -> None:
    client.get("/", params={"token": TOKEN})
    kind = {"content-type": "application/json"}
    assert client.post("/", content=b"{}", headers=kind).text == "{}"
    assert (
        client.post("/", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    )
    assert client.post("/", content=b"{}").status_code == 415
    assert client.post("/", content=b"x" * (2**18 + 1), headers=kind).status_code == 413

    def endless() -> Iterator[bytes]:  # sent in chunks, without a length
        for _ in range(2**10):
            yield b"x" * 2**10

    assert client.post("/", content=endless(), headers=kind).status_code == 413


def test_every_answer_says_what_a_browser_may_do(client: TestClient) -> None:
    client.get("/", params={"token": TOKEN})
    for answer in (
        client.get("/"),
        client.get("/", headers={"host": "evil.example"}),
        client.get("/", params={"token": TOKEN}),
    ):
        for name, value in HEADERS.items():
            assert answer.headers.get_list(name) == [value]
    assert "unsafe" not in HEADERS["content-security-policy"]


def test_listening_on_all_addresses_names_in_digits_are_ours() -> None:
    app = guarded(host="0.0.0.0")
    with TestClient(app, base_url=f"http://{HOST}") as client:
        client.cookies.set("autolabel_8000", TOKEN)
        cookie = {"cookie": f"autolabel_8000={TOKEN}"}
        assert client.get("/", headers={"host": "10.0.0.7:8000", **cookie}).status_code == 200
        assert client.get("/", headers={"host": "evil.example:8000"}).status_code == 403


def test_without_a_token_all_are_let_in_who_ask_us() -> None:
    with TestClient(guarded(token=None), base_url=f"http://{HOST}") as client:
        assert client.get("/").status_code == 200
        assert client.get("/", headers={"origin": "http://evil.example"}).status_code == 403
    with TestClient(guarded(open_paths=["/health"]), base_url=f"http://{HOST}") as client:
        assert client.get("/health").status_code == 200
        assert client.get("/other").status_code == 403


def test_a_header_that_comes_twice_fits_nothing() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    hosts = [(b"host", HOST.encode()), (b"host", HOST.encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": hosts}
    asyncio.run(guarded(token=None)(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 403


def test_a_port_in_use_is_said() -> None:
    with listen("127.0.0.1", 0) as one:
        port = one.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1 cannot be used"):
            listen("127.0.0.1", port)
    with pytest.raises(UsageError, match="there is no host"):
        listen("no.such.host.invalid", 0)
