import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchpolicy import CheckpointError
from torchpolicy.base.checkpoints import load_checkpoint, save_checkpoint
from torchpolicy.base.version import stamp

STATE = {"a": torch.arange(5), "b": [1, 2.5, None, True, "x", {"c": torch.randn(2, 3, dtype=torch.float64)}], "e": {}}

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
trees = st.dictionaries(
    st.text().filter(lambda name: name not in stamp()),
    st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10),
)


@settings(max_examples=50)
@given(trees)
def test_any_tree_of_plain_values_comes_back(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("run")
    save_checkpoint(folder, 3, tree)
    assert load_checkpoint(folder) == (tree, [])


def test_tensors_come_back_bit_for_bit(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 0, STATE)
    state, _ = load_checkpoint(tmp_path)
    assert state is not None
    assert torch.equal(state["a"], STATE["a"])  # type: ignore[arg-type]
    assert torch.equal(state["b"][5]["c"], STATE["b"][5]["c"])  # type: ignore[index]
    assert state["b"][:5] == [1, 2.5, None, True, "x"]


def test_the_newest_is_taken_and_two_are_kept(tmp_path: Path) -> None:
    for generation in (1, 2, 4, 30):
        save_checkpoint(tmp_path, generation, {"generation": generation})
    assert load_checkpoint(tmp_path)[0] == {"generation": 30}
    assert len(list(tmp_path.iterdir())) == 2


def test_one_of_a_later_generation_that_was_refused_pushes_out_none(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 999, {"generation": 999})
    for generation in (1, 2, 3):
        save_checkpoint(tmp_path, generation, {"generation": generation})

    def take(state: dict[str, Any], path: Path) -> None:
        if state["generation"] == 999:
            raise ValueError("foreign")

    assert load_checkpoint(tmp_path, take)[0] == {"generation": 3}
    assert sorted(int(path.name.split("-")[1]) for path in tmp_path.iterdir()) == [2, 3, 999]


def test_what_is_pruned_while_it_is_looked_for_is_no_damage(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, {"generation": 1})
    looked: list[Path] = []

    def take(state: dict[str, Any], path: Path) -> None:
        looked.append(path)
        if len(looked) == 1:  # the run goes on: two more, and this one is gone
            for generation in (2, 3):
                save_checkpoint(tmp_path, generation, {"generation": generation})
            raise CheckpointError(f"{path}: No such file or directory")

    assert load_checkpoint(tmp_path, take) == ({"generation": 3}, [])


def test_there_may_be_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "nowhere") == (None, [])


@pytest.mark.parametrize("value", [object(), {1: 2}, {1, 2}, torch.nn.Linear(1, 1)])
def test_what_is_not_plain_is_refused_when_saving(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match="at '/deep/0'"):
        save_checkpoint(tmp_path, 0, {"deep": [value]})
    assert not list(tmp_path.glob("ckpt*"))


class Canary:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("canary"),)


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage",
    [flip, lambda content: content[:-7], lambda _: b"", lambda _: b"foreign", lambda _: pickle.dumps(Canary())],
)
@pytest.mark.parametrize("honest_name", [False, True])
def test_damage_is_named_and_the_one_before_is_taken(tmp_path: Path, damage: Any, honest_name: bool) -> None:
    save_checkpoint(tmp_path, 1, {"generation": 1})
    newest = save_checkpoint(tmp_path, 2, {"generation": 2})
    content = damage(newest.read_bytes())
    newest.unlink()
    if honest_name:  # somebody else's file under a name with the right checksum
        import hashlib

        newest = tmp_path / f"ckpt-00000002-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    newest.write_bytes(content)
    state, refused = load_checkpoint(tmp_path)
    if damage is flip and honest_name:  # of this damage nothing but the checksum can tell
        return
    assert state == {"generation": 1}
    assert len(refused) == 1
    assert str(newest) in refused[0]
    assert not Path("canary").exists()
    for path in tmp_path.glob("ckpt-00000001*"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no checkpoint can be read"):
        load_checkpoint(tmp_path)


def test_a_full_disk_leaves_the_last_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, 1, {"generation": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left.*ckpt-00000002"):
        save_checkpoint(tmp_path, 2, {"generation": 2})
    monkeypatch.undo()
    assert load_checkpoint(tmp_path)[0] == {"generation": 1}
    save_checkpoint(tmp_path, 3, {"generation": 3})
    assert not list(tmp_path.glob("*.tmp*"))
