"""Pictures: which, how many, how large, and damage."""

from __future__ import annotations

import base64
import io
import math

from PIL import Image

from rayseg.reporting.pictures import encode, read_galleries
from tests.unit.reporting.run_dirs import draw, write_json


def decoded(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_large_pictures_are_scaled_and_transparent_ones_lie_on_white(tmp_path):
    draw(tmp_path / "a.png", (3000, 1500))
    picture = encode(tmp_path / "a.png", "a", "", [])
    assert picture is not None
    assert decoded(picture.uri).size == (picture.width, picture.height) == (1000, 500)
    draw(tmp_path / "b.png", (8, 8), "#00000000", "RGBA")
    clear = encode(tmp_path / "b.png", "b", "", [])
    assert clear is not None
    assert decoded(clear.uri).getpixel((4, 4)) == (255, 255, 255)


def test_worst_first_then_others_then_the_best_iterations(tmp_path):
    last = tmp_path / "visuals/val/iter_300"
    for name in ("a/x.png", "b.png", "worst/c.png"):
        draw(last / name)
    draw(tmp_path / "visuals/val/iter_200/b.png")
    draw(tmp_path / "visuals/val/iter_100/b.png")
    write_json(last / "worst.json", [{"picture": "worst/c.png", "mIoU": 0.4}, {"picture": "b.png", "mIoU": None}])
    notes: list[str] = []
    galleries = read_galleries(tmp_path, 200, notes)
    assert [(g.title, [(p.name, p.score) for p in g.pictures]) for g in galleries] == [
        ("Worst images of the last validation (iteration 300)", [("c", "mIoU 40.00 %"), ("b", "mIoU -")]),
        ("More images of the last validation (iteration 300)", [("a/x", "")]),
        ("Images of the best validation (iteration 200)", [("b", "")]),
    ]
    assert notes == []


def test_at_most_sixteen(tmp_path):
    for at_iter in (1, 2):
        for index in range(30):
            draw(tmp_path / f"visuals/val/iter_{at_iter}/{index:02}.png")
            draw(tmp_path / f"visuals/val/iter_{at_iter}/worst/{index:02}.png")
    rows = [{"picture": f"worst/{index:02}.png", "mIoU": 0.1} for index in range(30)]
    write_json(tmp_path / "visuals/val/iter_2/worst.json", rows)
    assert [len(gallery.pictures) for gallery in read_galleries(tmp_path, 1, [])] == [6, 6, 4]


def test_a_list_may_not_point_outside_its_directory(tmp_path):
    draw(tmp_path / "secret.png")
    draw(tmp_path / "visuals/val/iter_1/a.png")
    pictures = ["../../../secret.png", str(tmp_path / "secret.png"), "absent.png", "", 3]
    write_json(tmp_path / "visuals/val/iter_1/worst.json", [{"picture": name, "mIoU": 0.1} for name in pictures])
    assert [[p.name for p in g.pictures] for g in read_galleries(tmp_path, math.nan, [])] == [["a"]]


def test_damaged_pictures_and_lists_are_said(tmp_path):
    folder = tmp_path / "visuals/val/iter_1"
    draw(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:40])
    (folder / "c.png").write_text("no picture")
    (folder / "worst.json").write_text("[{")
    notes: list[str] = []
    (gallery,) = read_galleries(tmp_path, 1, notes)
    assert [picture.name for picture in gallery.pictures] == ["a"]
    assert len(notes) == 3
    assert all(any(name in note for note in notes) for name in ("b.png", "c.png", "worst.json"))


def test_no_pictures(tmp_path):
    (tmp_path / "visuals/val/iter_1").mkdir(parents=True)
    assert read_galleries(tmp_path, 1, []) == []
