"""Sources as people type them, and paths that survive being written down."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.errors import AutolabelError
from autolabel.sources import common_root, find_images, from_uri, to_uri


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with photos/ in it."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "photos/img10.jpg",
        "photos/img2.JPG",
        "photos/notes.md",
        "photos/sub/b.png",
        "photos/sub/deep/c.webp",
        "photos/.hidden.jpg",
        "photos/.cache/d.jpg",
        "other/e.dat",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(sources: list[str], base: Path) -> list[str]:
    paths = find_images(sources).paths
    assert all(path.is_absolute() for path in paths)
    return [path.relative_to(base).as_posix() for path in paths]


IN_PHOTOS = ["photos/img2.JPG", "photos/img10.jpg", "photos/sub/b.png", "photos/sub/deep/c.webp"]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["photos"], IN_PHOTOS),  # recursive, 2 before 10, any case of ending, no hidden files
        (["./photos/"], IN_PHOTOS),
        (["photos/sub/.."], IN_PHOTOS),
        (["photos", "photos/sub", "photos/img2.JPG"], IN_PHOTOS),  # no path twice
        (["photos/sub", "photos"], IN_PHOTOS[2:] + IN_PHOTOS[:2]),  # in the order given
        (["other/e.dat"], ["other/e.dat"]),  # named by itself: any ending
        (["photos/.hidden.jpg"], ["photos/.hidden.jpg"]),
        (["photos/*.jpg"], ["photos/img10.jpg"]),
        (["photos/**/*.[jp]*g"], ["photos/img10.jpg", "photos/sub/b.png"]),
        (["photos/**"], IN_PHOTOS),
        (["photos/*"], IN_PHOTOS),  # folders that match are read, as the shell would have it
        (["**/deep/*"], ["photos/sub/deep/c.webp"]),
        (["**/sub/**/*.webp"], ["photos/sub/deep/c.webp"]),
        (["p*/**/deep"], ["photos/sub/deep/c.webp"]),
        ([], []),
    ],
)
def test_sources(photos, sources, expected):
    assert names(sources, photos) == expected


@pytest.mark.parametrize(
    ("sources", "ignored"),
    [
        (["photos"], 1),
        (["photos", "photos"], 1),
        (["photos", "photos/notes.md"], 0),  # taken after all
        (["photos/img2.JPG"], 0),
        (["photos/**/*.jpg"], 0),
        (["photos/*"], 1),
    ],
)
def test_files_with_other_endings_are_counted(photos, sources, ignored):
    assert find_images(sources).ignored == ignored


def test_an_existing_name_is_no_pattern(photos):
    (photos / "a[1].jpg").touch()
    (photos / "a1.jpg").touch()
    assert names(["a[1].jpg"], photos) == ["a[1].jpg"]


LIST = b"\xef\xbb\xbfphotos/img10.jpg\r\n\n  \nphotos/gone.jpg\nphotos/it's a.jpg\nphotos/sub\n"
LISTED = ["photos/img10.jpg", "photos/gone.jpg", "photos/it's a.jpg", "photos/sub"]


@pytest.mark.parametrize("name", ["files.txt", "files.LST"])
def test_list_file(photos, name):
    # lines are passed on as they are: a missing file or a folder becomes a row with an error
    (photos / name).write_bytes(LIST)
    assert names([name], photos) == LISTED


def test_list_on_standard_input(photos, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(LIST)))
    assert names(["-"], photos) == LISTED


def test_list_with_a_name_that_is_not_utf8(photos):
    (photos / "files.txt").write_bytes(b"caf\xe9.jpg\n")
    assert os.fsencode(find_images(["files.txt"]).paths[0].name) == b"caf\xe9.jpg"


def test_links_are_followed_once_and_real_paths_win(photos):
    (photos / "photos/a-loop").symlink_to(photos / "photos")
    (photos / "photos/sub/up").symlink_to("..")
    (photos / "photos/a-copy").symlink_to("sub")
    (photos / "elsewhere").mkdir()
    (photos / "elsewhere/z.jpg").touch()
    (photos / "photos/far").symlink_to(photos / "elsewhere")
    expected = ["photos/far/z.jpg", *IN_PHOTOS]
    assert names(["photos"], photos) == expected
    assert names(["photos/**/*.*p*g", "photos/**/c.webp"], photos) == [
        "photos/far/z.jpg",
        "photos/img10.jpg",
        "photos/sub/b.png",
        "photos/sub/deep/c.webp",
    ]


def test_broken_links_and_pipes_are_passed_on(photos):
    (photos / "odd").mkdir()
    (photos / "odd/dangling.jpg").symlink_to("gone.jpg")
    (photos / "odd/loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(photos / "odd/pipe.jpg")
    expected = ["odd/dangling.jpg", "odd/loop.jpg", "odd/pipe.jpg"]
    assert names(["odd"], photos) == expected
    assert names([expected[1], expected[0]], photos) == [expected[1], expected[0]]


def test_links_to_files_are_not_resolved(photos):
    (photos / "link.jpg").symlink_to("photos/img10.jpg")
    assert names(["link.jpg"], photos) == ["link.jpg"]


def test_parent_of_a_linked_folder_is_where_the_link_leads(photos):
    (photos / "far").symlink_to("photos/sub")
    assert names(["far/../img10.jpg"], photos) == ["photos/img10.jpg"]


ENDINGS = (
    "endings that are read: apng avif bmp gif heic heif hif j2k jfif jp2 jpe jpeg jpg mpo pbm pgm"
    " png pnm ppm tif tiff webp; a file named by itself is read whatever its ending"
)
GIVE = "give image files, folders, lists of paths (.txt) or patterns such as 'a/**/*.jpg'"


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("photo", "no such file or folder: photo", "did you mean photos?"),
        ("photos/img1.jpg", "no such file or folder: photos/img1.jpg", "photos/img10.jpg?"),
        ("photso/sub/b.png", "no such file or folder: photso/sub/b.png", "did you mean photos?"),
        ("zzzz", "no such file or folder: zzzz", GIVE),
        ("", "a source is empty", GIVE),  # not the current folder
        ("x\ny\udce9", "no such file or folder: x?y\N{REPLACEMENT CHARACTER}", GIVE),
        ("other", "no images in other", ENDINGS),
        ("photos/*.tiff", "no images match photos/*.tiff", ENDINGS),
        ("zzz/**/*.jpg", "no images match zzz/**/*.jpg", ENDINGS),
        ("empty.txt", "no paths in empty.txt", "write one path a line"),
        ("binary.txt", "binary.txt is not a list of paths", "write one path a line"),
        ("gone.txt", "no such file or folder: gone.txt", GIVE),
    ],
)
def test_errors_say_what_to_type(photos, source, message, hint):
    (photos / "empty.txt").write_text("\n \n")
    (photos / "binary.txt").write_bytes(b"\x89PNG\0")
    with pytest.raises(AutolabelError) as error:
        find_images([source])
    assert error.value.message == message
    assert error.value.hint.endswith(hint)


def test_a_folder_that_cannot_be_read_is_an_error(photos, monkeypatch):
    # root may read any folder, so the refusal is played
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(AutolabelError) as error:
        find_images(["photos"])
    assert (
        error.value.message == f"cannot read the folder {photos / 'photos/sub'}: Permission denied"
    )
    assert error.value.hint == "make the folder readable, or leave it out"


@pytest.mark.parametrize(
    ("path", "root", "uri"),
    [
        ("/d/a.jpg", "/d", "a.jpg"),
        ("/d/sub/a b.jpg", "/d", "sub/a b.jpg"),
        ("/d/a.jpg", "/d/sets/one", "../../a.jpg"),
        ("/d/100%41.jpg", "/d", "100%41.jpg"),  # a plain name stays as it is
        ("/d/кот\n'\".jpg", "/d", "кот\n'\".jpg"),
        ("/d/file:a.jpg", "/d", "file:file%3Aa.jpg"),
        ("/d/x/file:a.jpg", "/d", "x/file:a.jpg"),
        ("/d/x/caf\udce9.jpg", "/d", "file:x/caf%E9.jpg"),
        ("/caf\udce9/a.jpg", "/d", "file:../caf%E9/a.jpg"),
    ],
)
def test_uri_and_back(path, root, uri):
    assert to_uri(Path(path), Path(root)) == uri
    assert from_uri(uri, Path(root)) == Path(path)


def test_absolute_uri_is_taken_as_it_is():
    assert from_uri("/elsewhere/a.jpg", Path("/d")) == Path("/elsewhere/a.jpg")


NAME = st.binary(min_size=1, max_size=12).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


@settings(max_examples=300, deadline=None)
@given(st.lists(NAME, min_size=1, max_size=4), st.lists(NAME, max_size=3), st.booleans())
def test_uri_round_trip_for_any_bytes(parts, root_parts, encoded_look):
    if encoded_look:
        parts = [b"file:" + parts[0], *parts[1:]]
    path = Path("/", *map(os.fsdecode, parts))
    root = Path("/", *map(os.fsdecode, root_parts))
    uri = to_uri(path, root)
    uri.encode()  # fit for a UTF-8 store
    assert from_uri(uri, root) == path


@settings(max_examples=30, deadline=None)
@given(st.sets(NAME.map(lambda name: name.lstrip(b".") + b".jpg"), min_size=1, max_size=5))
def test_odd_names_on_disk_are_found_in_the_same_order_and_come_back(names_bytes):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in names_bytes - {b".jpg"} or {b"a.jpg"}:
            (root / os.fsdecode(name)).touch()
        found = find_images([folder]).paths
        assert found == find_images([folder]).paths
        assert set(found) == set(root.iterdir())
        assert all(from_uri(to_uri(p, root), root) == p and p.exists() for p in found)


@pytest.mark.parametrize(
    ("paths", "root"),
    [
        (["/d/a.jpg"], "/d"),
        (["/d/a.jpg", "/d/sub/b.jpg"], "/d"),
        (["/d/ab/1.jpg", "/d/ac/1.jpg"], "/d"),  # by folder, not by letter
        (["/a/1.jpg", "/b/1.jpg"], "/"),
    ],
)
def test_common_root(paths, root):
    assert common_root(map(Path, paths)) == Path(root)


def test_common_root_keeps_links(photos):
    (photos / "here").mkdir()
    (photos / "here/link.jpg").symlink_to("../photos/img10.jpg")
    assert common_root([Path("here/link.jpg")]) == photos / "here"
