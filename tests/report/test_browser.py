"""The page in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.config import ReportConfig
from autolabel.report import write_report
from autolabel.stages.history import ontology_of
from tests.report import browser, made
from tests.report.pages import PHOTO, SCRIPT

CONTRAST = """
[...document.querySelectorAll('p, li, td, th, figcaption, summary, caption, dd, dt, a, small')]
.filter(e => e.checkVisibility() && e.textContent.trim()).map(e => {
  const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
    .map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
    return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
  let under = e;
  while (under && /, 0\\)|transparent/.test(getComputedStyle(under).backgroundColor))
    under = under.parentElement;
  if (/rgba/.test(getComputedStyle(under).backgroundColor)) return 99;
  const a = light(getComputedStyle(e).color);
  const b = light(getComputedStyle(under).backgroundColor);
  return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
}).reduce((a, b) => Math.min(a, b))
"""
"""The least contrast of any text, shaded cells apart."""


@pytest.mark.slow
def test_in_chromium(tmp_path: Path) -> None:
    executable = browser.find()
    if executable is None:
        pytest.skip("no Chromium is installed")
    classes = (SCRIPT, "dog", "bird" * 40)
    home = made.workspace(tmp_path, classes=classes, names={0: PHOTO})
    made.measured(home, made.truth(tmp_path, classes=classes), classes=classes, student="tiny")
    made.trained(home, "tiny")
    layer = home.layer("detect")
    out = write_report(home, layer, ontology_of(layer), ReportConfig()).out
    with browser.browse(executable, tmp_path / "profile") as page:
        for width in (1280, 390, 360):
            for dark in (False, True):
                page.open(out, width=width, dark=dark)
                assert page.requests == [out.resolve().as_uri()]
                assert page.complaints == []
                sizes = page.evaluate("[...document.images].map(i => i.naturalWidth)")
                assert len(sizes) > 10
                assert all(sizes)
                # Only tables scroll sideways, in boxes of their own.
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.evaluate("document.scripts.length") == 0
                assert page.evaluate("document.body.textContent").count(SCRIPT) > 3
                assert page.evaluate(CONTRAST) >= 4.5
        # From the address bar, the first stop is the link past the contents.
        page.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab",
                  windowsVirtualKeyCode=9)  # fmt: skip
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.evaluate("document.activeElement.getBoundingClientRect().left") == 0
