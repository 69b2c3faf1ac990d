"""Pages as a browser would read them, and what holds for every one of them."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from typing import Any

from PIL import Image

from autolabel.config import ReportConfig
from autolabel.report import write_report
from autolabel.stages.history import ontology_of
from autolabel.store import Workspace

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
