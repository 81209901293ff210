"""Which image belongs to which mask."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.data.files import Layout, PathTable, spread_order, walk


def touch(root, *names) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def pairs(root, **arguments):
    prefix, suffixes = arguments.get("data_prefix"), arguments.get("suffixes", (None, None))
    layout = Layout.of(
        root, arguments.get("split"), ("images", "annotations"), prefix, suffixes, arguments.get("ann_file")
    )
    return layout.pairs()


def test_pairs_by_stem_in_sorted_order_with_subfolders(tmp_path) -> None:
    touch(tmp_path, "images/b/2.JPG", "images/a/1.png", "images/.hidden.png", "images/notes.txt")
    touch(tmp_path, "annotations/a/1_mask.png", "annotations/b/2.png", "annotations/b/3.png")
    found, spare = pairs(tmp_path)
    assert found == [("a/1.png", "a/1_mask.png"), ("b/2.JPG", "b/2.png")]
    assert spare == ("b/3.png",)


def test_suffixes_tell_images_from_masks_in_one_folder(tmp_path) -> None:
    touch(tmp_path, "both/x_img.png", "both/x_gt.png")
    prefix = {"img_path": "both", "seg_map_path": "both"}
    assert pairs(tmp_path, data_prefix=prefix, suffixes=("_img.png", "_gt.png"))[0] == [("x_img.png", "x_gt.png")]
    with pytest.raises(ConfigError, match="give img_suffix and seg_map_suffix"):
        pairs(tmp_path, data_prefix=prefix)


def test_a_list_file_chooses_and_may_name_masks(tmp_path) -> None:
    touch(tmp_path, "images/1.jpg", "images/2.jpg", "images/3.jpg", "annotations/1.png", "annotations/other.png")
    (tmp_path / "list.txt").write_text("3.jpg\tother.png\n1\n\n")
    assert pairs(tmp_path, ann_file="list.txt")[0] == [("1.jpg", "1.png"), ("3.jpg", "other.png")]
    (tmp_path / "list.txt").write_text("1\n4\n")
    with pytest.raises(ConfigError, match=r"list\.txt names 1 images that are not there: 4"):
        pairs(tmp_path, ann_file="list.txt")
    with pytest.raises(ConfigError, match="ann_file: no such file"):
        pairs(tmp_path, ann_file="lost.txt")


def test_images_without_masks_are_counted_and_named(tmp_path) -> None:
    touch(tmp_path, *(f"images/{n}.jpg" for n in range(6)), "annotations/0.png")
    with pytest.raises(ConfigError, match=r"5 of 6 images in .* have no mask .*: 1\.jpg, 2\.jpg, 3\.jpg and 2 more"):
        pairs(tmp_path)


def test_an_empty_data_set(tmp_path) -> None:
    touch(tmp_path, "images/readme.txt", "annotations/1.png")
    with pytest.raises(ConfigError, match="the data set is empty"):
        pairs(tmp_path)


def test_a_missing_directory_names_what_is_there(tmp_path) -> None:
    touch(tmp_path, "images/train/1.jpg", "annotations/train/1.png")
    with pytest.raises(ConfigError, match=r"split: no such directory .*tran; .*holds train; did you mean 'train'"):
        pairs(tmp_path, split="tran")
    with pytest.raises(ConfigError, match="give one; both say the folders"):
        pairs(tmp_path, split="train", data_prefix={"img_path": "images"})
    with pytest.raises(ConfigError, match="unknown key 'image'"):
        pairs(tmp_path, data_prefix={"image": "images"})


def test_a_link_to_a_directory_above_ends(tmp_path) -> None:
    touch(tmp_path, "images/1.jpg")
    (tmp_path / "images" / "again").symlink_to(tmp_path / "images")
    assert walk(tmp_path / "images", (".jpg",)) == ["1.jpg"]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)))
def test_path_tables_hold_what_they_were_given(paths) -> None:
    table = pickle.loads(pickle.dumps(PathTable(paths)))
    assert list(table) == paths
    assert [table[place - len(paths)] for place in range(len(paths))] == paths
    assert table[1:3] == paths[1:3]


@settings(deadline=None)
@given(st.integers(1, 300))
def test_spread_order_is_a_permutation(size) -> None:
    assert sorted(spread_order(size)) == list(range(size))


def test_spread_order_begins_all_over_the_set() -> None:
    order = spread_order(1000)
    first = sorted(next(order) for _ in range(10))
    assert max(b - a for a, b in zip([0, *first], [*first, 1000], strict=True)) < 200
