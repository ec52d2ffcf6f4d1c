"""A reward on disk: wholly there or not at all, and read with suspicion."""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ppo_tui.errors import ResourceError, RewardError, StorageError
from ppo_tui.taste.agreement import Point
from ppo_tui.taste.artefact import (
    RECORD,
    TENSORS,
    RewardArtefact,
    check_base,
    load_artefact,
    save_artefact,
)
from ppo_tui.taste.model import TasteModel
from tests.taste.worlds import rated, stars, world

BASE = "sha256:" + "ab" * 32
POOL = world(60, seed=1)
TASTE = TasteModel.fit(rated(POOL.readings[:20], stars(POOL.glad[:20])), POOL.readings)
FACTS = RewardArtefact(
    "human", BASE, "bundled", 20, 3, 2, agreement=(Point(20, 0.75, math.nan),), taste=TASTE
)


def damage(folder: Path, **fields: object) -> None:
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**record, **fields}))


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    saved = save_artefact(tmp_path / "deep" / "taste", FACTS)
    again = load_artefact(tmp_path / "deep" / "taste")
    assert again.taste is not None
    told, meant = again.taste.predict(POOL.readings), TASTE.predict(POOL.readings)
    assert told.mean.tobytes() == meant.mean.tobytes()
    assert (again.base, again.model) == (BASE, "bundled")
    assert (again.ratings, again.pairs, again.raters) == (20, 3, 2)
    assert again.agreement[0].correlation == 0.75
    assert math.isnan(again.agreement[0].accuracy)
    assert again.date == saved.date
    assert again.date.endswith("+00:00")


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    def more(folder: Path) -> None:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "weights").write_text("w")

    save_artefact(tmp_path / "taste", FACTS, write_more=more)
    found = {
        str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "taste", *(tmp_path / "taste").rglob("*"))
    }
    assert found == {
        "taste": 0o700,
        "taste/reward.json": 0o600,
        "taste/taste.safetensors": 0o600,
        "taste/adapter": 0o700,
        "taste/adapter/weights": 0o600,
    }


def test_an_adapter_has_no_taste_and_its_own_files(tmp_path: Path) -> None:
    facts = replace(FACTS, kind="adapter", taste=None, more={"better": "taste"})
    save_artefact(
        tmp_path / "a", facts, write_more=lambda folder: (folder / "head").write_text("h") and None
    )
    again = load_artefact(tmp_path / "a")
    assert again.kind == "adapter"
    assert again.taste is None
    assert again.more == {"better": "taste"}
    assert (tmp_path / "a" / "head").read_text() == "h"
    assert not (tmp_path / "a" / TENSORS).exists()


def test_what_is_there_is_not_replaced_unless_told(tmp_path: Path) -> None:
    save_artefact(tmp_path / "taste", FACTS)
    with pytest.raises(StorageError, match="is there already") as refused:
        save_artefact(tmp_path / "taste", replace(FACTS, ratings=99))
    assert refused.value.code == "reward.exists"
    assert load_artefact(tmp_path / "taste").ratings == 20
    save_artefact(tmp_path / "taste", replace(FACTS, ratings=99), overwrite=True)
    assert load_artefact(tmp_path / "taste").ratings == 99
    assert os.listdir(tmp_path) == ["taste"]


def test_nothing_but_a_reward_is_ever_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    for name in ("thesis", "file", "link"):
        with pytest.raises(StorageError, match="nothing else is replaced"):
            save_artefact(tmp_path / name, FACTS, overwrite=True)
    assert (tmp_path / "thesis" / "chapter").read_text() == "years"


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    save_artefact(tmp_path / "taste", FACTS)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("h")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        save_artefact(tmp_path / "taste", FACTS, write_more=fail, overwrite=True)
    with pytest.raises(RuntimeError):
        save_artefact(tmp_path / "other", FACTS, write_more=fail)
    assert os.listdir(tmp_path) == ["taste"]
    assert load_artefact(tmp_path / "taste").ratings == 20


def test_no_reward_is_said_to_be_missing(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ResourceError, match="there is no reward at") as refused:
            load_artefact(place)
        assert refused.value.code == "reward.artefact_missing"


def test_one_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    save_artefact(tmp_path / "taste", FACTS)
    damage(tmp_path / "taste", v=2)
    with pytest.raises(RewardError, match="newer ppo-tui; update this one") as refused:
        load_artefact(tmp_path / "taste")
    assert refused.value.code == "reward.artefact_newer"


@pytest.mark.parametrize(
    "fields",
    [
        {"v": "1"},
        {"v": 0},
        {"kind": "pickle"},
        {"base": ""},
        {"base": 3},
        {"model": ["m"]},
        {"model": "m" * 2000},
        {"ratings": -1},
        {"ratings": 1e400},
        {"ratings": True},
        {"agreement": {}},
        {"agreement": [3]},
        {"agreement": [{"count": 3, "correlation": 7.0}]},
        {"more": []},
    ],
)
def test_a_record_with_a_wrong_field_is_damaged(tmp_path: Path, fields: dict[str, object]) -> None:
    save_artefact(tmp_path / "taste", FACTS)
    damage(tmp_path / "taste", **fields)
    with pytest.raises(RewardError, match="is damaged") as refused:
        load_artefact(tmp_path / "taste")
    assert refused.value.code == "reward.artefact_damaged"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff" * 9, b"[" * 100_000])
def test_a_record_that_is_none_is_damaged(tmp_path: Path, content: bytes) -> None:
    save_artefact(tmp_path / "taste", FACTS)
    (tmp_path / "taste" / RECORD).write_bytes(content)
    with pytest.raises(RewardError) as refused:
        load_artefact(tmp_path / "taste")
    assert refused.value.code == "reward.artefact_damaged"


def test_tensors_that_are_cut_missing_or_linked_are_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "taste"
    save_artefact(folder, FACTS)
    whole = (folder / TENSORS).read_bytes()

    def refused() -> bool:
        with pytest.raises(RewardError) as error:
            load_artefact(folder)
        return error.value.code == "reward.artefact_damaged"

    for length in (0, 7, 100, len(whole) - 1):
        (folder / TENSORS).write_bytes(whole[:length])
        assert refused()
    (folder / TENSORS).unlink()
    assert refused()
    (tmp_path / "elsewhere").write_bytes(whole)
    (folder / TENSORS).symlink_to(tmp_path / "elsewhere")
    assert refused()


def test_tensors_with_a_number_that_is_none_are_damaged(tmp_path: Path) -> None:
    from safetensors.numpy import save

    save_artefact(tmp_path / "taste", FACTS)
    tensors = {**TASTE.to_tensors(), "threshold": np.array([np.nan])}
    (tmp_path / "taste" / TENSORS).write_bytes(save(tensors))
    with pytest.raises(RewardError, match="threshold is not finite, or absurd"):
        load_artefact(tmp_path / "taste")


def test_another_base_is_refused_with_a_clear_word() -> None:
    check_base(FACTS, BASE, "bundled")
    with pytest.raises(RewardError, match="learnt on bundled and says nothing of") as refused:
        check_base(FACTS, "sha256:" + "cd" * 32, "qwen")
    assert refused.value.code == "reward.other_base"
    with pytest.raises(RewardError, match="other weights of the same name"):
        check_base(FACTS, "sha256:" + "cd" * 32, "bundled")
