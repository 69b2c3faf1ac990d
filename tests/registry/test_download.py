"""A hub that falters, lies or is a mirror: what is fetched all the same, and what is refused."""

from __future__ import annotations

import email.utils
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.registry import download, hub, hub_cache
from tests.models.checkpoints_segmenters import save_ultralytics_sam2, shrink_ultralytics
from tests.registry.fake_hub import COMMIT, FILES, FakeHub, serving

WEIGHTS = FILES["model.safetensors"]
WHOLE = {"config.json", "preprocessor_config.json", "model.safetensors"}


@pytest.fixture
def server() -> Iterator[FakeHub]:
    with serving() as one:
        yield one


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, in place of waiting."""
    waited: list[float] = []

    def pause(seconds: float, stop: Event) -> None:
        waited.append(seconds)

    monkeypatch.setattr(download, "pause", pause)
    return waited


@pytest.fixture(autouse=True)
def cache(
    server: FakeHub, pauses: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A cache with nothing in it, in a process that knows the small hub as its only one."""
    endpoint = f"http://127.0.0.1:{server.server_port}"
    constants = {
        "ENDPOINT": endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
    }
    for name, value in constants.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    return tmp_path / "cache"


def snapshot() -> Path:
    return hub_cache.home("a/b") / "snapshots" / COMMIT


def check_whole() -> None:
    assert {path.name for path in snapshot().iterdir()} == WHOLE
    assert all((snapshot() / name).read_bytes() == FILES[name] for name in WHOLE)
    here = hub_cache.cached("a/b")
    assert here is not None
    assert (here.path, here.commit) == (snapshot(), COMMIT)


def test_a_download_that_breaks_goes_on_by_itself(server: FakeHub, pauses: list[float]) -> None:
    server.break_after, server.breaks = 500_000, 3
    done = hub.pull("a/b")
    check_whole()
    assert done.fetched == sum(len(FILES[name]) for name in WHOLE)
    ranges = [asked for name, asked in server.asked if name == "model.safetensors"]
    assert len(ranges) == 4
    assert ranges[1:] == ["bytes=500000-"] * 3
    assert pauses == [1.0, 2.0, 4.0]


def test_it_gives_up_in_the_end_and_keeps_what_came(server: FakeHub, pauses: list[float]) -> None:
    server.break_after = 500_000
    with pytest.raises(AutolabelError, match="does not answer"):
        hub.pull("a/b")
    assert hub_cache.cached("a/b") is None
    assert len(pauses) == len(download.WAITS)
    server.break_after = None
    server.asked.clear()
    hub.pull("a/b")
    check_whole()
    assert server.asked == [("model.safetensors", "bytes=500000-")]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_asked_again(server: FakeHub, status: int, pauses: list[float]) -> None:
    server.failing = [(status, {}), (status, {})]
    hub.pull("a/b")
    check_whole()
    assert set(pauses) <= {1.0, 2.0}


def test_the_hub_says_how_long_to_wait(server: FakeHub, pauses: list[float]) -> None:
    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    server.failing = [
        (429, {"Retry-After": "17"}),
        (429, {"Retry-After": later}),
        (503, {"Retry-After": "86400"}),
    ]
    hub.pull("a/b")
    check_whole()
    for_seconds, until, for_ever = sorted(pauses)
    assert for_seconds == 17
    assert 90 < until <= 100
    assert for_ever == download.LONGEST_WAIT


def test_a_refusal_is_not_asked_again(server: FakeHub, pauses: list[float]) -> None:
    server.failing = [(403, {})] * 3
    with pytest.raises(AutolabelError, match="needs leave from its publisher"):
        hub.pull("a/b")
    assert not pauses


def test_a_hub_that_never_answered_is_given_up_soon(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(AutolabelError, match="does not answer"):
        hub.pull("a/b")
    assert pauses == [1.0]


def test_several_files_come_at_once(server: FakeHub) -> None:
    server.slow = 0.1
    hub.pull("a/b")
    check_whole()
    assert server.most_at_once == len(WHOLE)


def test_the_listing_says_all_that_is_asked_of_each_file(server: FakeHub) -> None:
    server.stated = True
    server.etag = "W/none"
    hub.pull("a/b")
    check_whole()
    link = (snapshot() / "model.safetensors").readlink()
    assert link.name == hashlib.sha256(WEIGHTS).hexdigest()
    server.corrupt = True
    (snapshot() / "model.safetensors").resolve().unlink()
    with pytest.raises(AutolabelError, match="checksum differs"):
        hub.pull("a/b")


def test_a_mirror_whose_etag_is_no_hash(server: FakeHub) -> None:
    server.etag = "5f-61a2b"
    hub.pull("a/b")
    check_whole()
    located = registry.Located("detector", "a/b", snapshot(), COMMIT)
    assert located.identity()["sha256"] == hashlib.sha256(WEIGHTS).hexdigest()
    server.asked.clear()
    assert hub.pull("a/b").fetched == 0
    assert not server.asked


@pytest.mark.parametrize("how", ["told", "impossible"])
def test_where_links_cannot_be_made_files_are_copied(
    how: str, server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "told":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    else:

        def no_links(*_: object, **__: object) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "symlink_to", no_links)
    hub.pull("a/b")
    check_whole()
    assert not any(path.is_symlink() for path in snapshot().iterdir())
    held = sum(
        p.stat().st_size for p in hub_cache.home("a/b").rglob("*") if p.name != hub_cache.PIN
    )
    folders = sum(p.stat().st_size for p in hub_cache.home("a/b").rglob("*") if p.is_dir())
    assert held - folders == sum(len(FILES[name]) for name in WHOLE), "bytes are kept twice"
    server.asked.clear()
    assert hub.pull("a/b").fetched == 0
    assert not server.asked


def test_more_than_was_stated_is_not_read(server: FakeHub) -> None:
    server.too_much = much = 400_000_000
    with pytest.raises(AutolabelError, match=f"more comes than {len(WEIGHTS)} bytes"):
        hub.pull("a/b")
    assert much - server.too_much < 30_000_000, "most of it was sent"
    assert hub_cache.cached("a/b") is None
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert not list((hub_cache.home("a/b") / "blobs").glob(f"{digest}.part"))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("config.json", 10**9, "states a size of 1,000,000,000 bytes for config.json"),
        ("model.safetensors", 10**15, "states a size of"),
        ("model.safetensors", -1, "states a size of"),
        ("model.safetensors", 4 * 10**10, "GB free"),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_fetched(
    name: str, size: int, message: str, server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Disk", (), {"free": 10**10}))
    server.stated, server.states = True, {name: size}
    with pytest.raises(AutolabelError, match=message):
        hub.pull("a/b")
    assert not server.asked


@pytest.mark.parametrize(
    ("name", "seconds"), [("HF_HUB_ETAG_TIMEOUT", 0.05), ("HF_HUB_DOWNLOAD_TIMEOUT", 0.05)]
)
def test_the_hubs_own_timeouts_count(
    name: str, seconds: float, server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"huggingface_hub.constants.{name}", seconds)
    monkeypatch.setattr(download, "WAITS", ())
    server.slow = 0.3
    with pytest.raises(AutolabelError, match="ReadTimeout"):
        hub.pull("a/b")


def test_the_pin_is_a_file_of_its_own(server: FakeHub) -> None:
    ref = hub_cache.home("a/b") / "refs/main"
    hub.pull("a/b")
    assert not ref.exists()
    ref.parent.mkdir()
    ref.write_text("d" * 40, "utf-8")  # another program has seen a newer commit
    check_whole()
    hub.pull("a/b")
    assert ref.read_text("utf-8") == "d" * 40
    assert json.loads((hub_cache.home("a/b") / hub_cache.PIN).read_text("utf-8")) == {
        "commit": COMMIT,
        "files": sorted(WHOLE),
    }


def left_by_another(*names: str) -> None:
    """Files of the hub's commit in the cache as its client leaves them."""
    snapshot().mkdir(parents=True)
    for name in names:
        (snapshot() / name).write_bytes(FILES[name])
    (hub_cache.home("a/b") / "refs").mkdir()
    (hub_cache.home("a/b") / "refs/main").write_text(COMMIT, "utf-8")


def test_what_another_program_left_without_a_processor_is_completed(server: FakeHub) -> None:
    left_by_another("config.json", "model.safetensors")
    assert hub_cache.cached("a/b") is None
    registry.locate("detector", "a/b")
    check_whole()
    assert server.asked == [("preprocessor_config.json", "")]


def test_what_another_program_fetched_whole_stays_at_its_commit() -> None:
    left_by_another(*WHOLE)
    assert registry.locate("detector", "a/b", fetch=False).revision == COMMIT
    (hub_cache.home("a/b") / "refs/main").write_text("d" * 40, "utf-8")
    assert registry.locate("detector", "a/b", fetch=False).revision == COMMIT


def test_a_text_model_without_its_vocabulary_is_not_whole() -> None:
    left_by_another(*WHOLE)
    (snapshot() / "config.json").write_text('{"text_config": {}}', "utf-8")
    assert hub_cache.cached("a/b") is None
    (snapshot() / "spiece.model").write_bytes(b"")
    assert hub_cache.cached("a/b") is not None


def test_safetensors_are_whole_beside_the_index_of_other_weights(server: FakeHub) -> None:
    index = {"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}
    server.repositories["a/b"] = {
        **FILES,
        "pytorch_model.bin.index.json": json.dumps(index).encode(),
    }
    hub.pull("a/b")
    assert hub_cache.cached("a/b") is not None


def test_a_repository_of_one_original_file(server: FakeHub) -> None:
    server.repositories["a/b"] = {"sam2_hiera_tiny.pt": b"weights", "sam2_hiera_t.yaml": b"x"}
    done = hub.pull("a/b")
    assert done.path == snapshot() / "sam2_hiera_tiny.pt"
    located = registry.locate("segmenter", "a/b", fetch=False)
    assert located.path == done.path
    assert located.identity()["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert registry.model_type(located.path) == ".pt"


def test_sam_2_whose_repository_holds_only_the_authors_file(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ultralytics")
    shrink_ultralytics(monkeypatch)
    content = save_ultralytics_sam2(tmp_path / "published").read_bytes()
    server.repositories["facebook/sam2-hiera-tiny"] = {"sam2_hiera_tiny.pt": content}
    located = registry.locate("segmenter", "sam2-hiera-tiny")
    photo, box = np.zeros((40, 60, 3), np.uint8), np.array([[5, 5, 30, 30]], np.float32)
    found = registry.load(located, "cpu").segment(photo, box, multimask=True, box_agreement=0)
    assert len(found.masks) == 1
