"""Checkpoints that are whole, and hold what they should not: refused with file and field, and the one before taken."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import torchpolicy as tp
from torchpolicy.base.checkpoints import digest_of, load_checkpoint, save_checkpoint
from torchpolicy.runs.resumption import resume
from torchpolicy.training.trainer import Trainer

CASES: dict[str, dict[str, Any]] = {
    "cem": {},
    "nes": {"optimizer": "adam"},
    "deepcem": {"memory": 2, "episodes": 4},
    "snes": {"stop_early": True, "backend": "gymnasium"},
}

COUNTS = ("generation", "env_steps", "failing")

LATE = ("glanced",)
"""Fields that checkpoints of earlier versions lack, so that they may be absent."""

FREE = ("callbacks",)
"""What is in there is of the user's own."""


class Keep(tp.callbacks.Callback):
    """The trainer of a run."""

    trainer: Trainer

    def on_start(self, run: Any) -> None:
        self.trainer = run


def places(tree: dict[str, Any], within: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in tree.items():
        yield (*within, name)
        if isinstance(value, dict) and name not in FREE:
            yield from places(value, (*within, name))


def edited(tree: dict[str, Any], place: tuple[str, ...], *value: Any) -> dict[str, Any]:
    """A tree with another value in a place; with none, without the place."""
    name, rest = place[0], place[1:]
    if rest:
        return tree | {name: edited(tree[name], rest, *value)}
    kept = {other: item for other, item in tree.items() if other != name}
    return kept | {name: value[0]} if value else kept


def wrong(name: str, old: Any) -> Iterator[tuple[Any, ...]]:
    """Values that are none for a place: of another type, shape or size; and none at all."""
    yield ()
    if old is not None:
        yield (None,)
    yield ("x",) if not isinstance(old, str) else (3,)
    yield (torch.zeros(3, 3),)
    if isinstance(old, bool | int | float):
        yield (float("nan"),)
    if isinstance(old, int) and not isinstance(old, bool) and name in COUNTS:
        yield (-1,)
    if isinstance(old, torch.Tensor) and old.is_floating_point() and not old.ndim:
        yield (-old - 1,)
    if isinstance(old, torch.Tensor) and old.is_floating_point() and old.numel():
        yield (torch.full_like(old, torch.nan),)


@pytest.mark.parametrize("name", CASES)
def test_every_field_of_a_checkpoint_is_looked_at(name: str) -> None:
    keep = Keep()
    settings: dict[str, Any] = {"generations": 2, "eval_episodes": 2, "eval_every": 1, "target": None}
    settings |= {"population": 4} if name != "deepcem" else {}
    tp.train("CartPole-v1", name, max_episode_steps=20, run_dir="run", callbacks=[keep], **settings, **CASES[name])
    trainer, folder = keep.trainer, Path("run/checkpoints")
    whole, _ = load_checkpoint(folder)
    assert whole is not None
    assert resume(trainer, Path("run"), whole["identity"]) == (True, [])
    untouched = digest_of({**trainer.state_dict(), "elapsed": 0})
    problems = []
    for place in places(whole):
        if place[0] in ("identity", "description"):
            continue
        value: Any = whole
        for part in place:
            value = value[part]
        for new in wrong(place[-1], value):
            path = save_checkpoint(folder, 9, edited(whole, place, *new))
            what = f"{'/'.join(place)} as {new}"
            taken, refused = resume(trainer, Path("run"), whole["identity"])
            path.unlink()
            if place == ("target",) or (place[0] in FREE and new) or (len(place) == 1 and place[0] in LATE and not new):
                continue
            if not (taken and len(refused) == 1 and path.name in refused[0] and place[-1] in refused[0].lower()):
                problems.append(f"{what}: {refused}")
            elif digest_of({**trainer.state_dict(), "elapsed": 0}) != untouched:
                problems.append(f"{what}: another state than that of the checkpoint before")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("field", ["settings", "observation_space", "action_space", "normalizes"])
def test_a_policy_is_not_rebuilt_from_a_wrong_description(field: str, capsys: pytest.CaptureFixture[str]) -> None:
    tp.train("CartPole-v1", "cem", generations=1, population=4, eval_episodes=2, target=None, run_dir="run")
    shutil.rmtree("run/policy")
    whole, _ = load_checkpoint(Path("run/checkpoints"))
    assert whole is not None
    for new in (
        3,
        {},
        {"policy": "mlp", "policy_args": {"hidden": "x"}},
        {"type": "Box"},
        {"type": "Discrete", "n": -1},
    ):
        path = save_checkpoint(Path("run/checkpoints"), 9, edited(whole, ("description", field), new))
        capsys.readouterr()
        tp.load("run")
        said = capsys.readouterr().err.splitlines()
        path.unlink()
        assert len(said) == 2, said
        assert path.name in said[0]
        assert field in said[0]
        assert said[1] == "run has not finished: using its checkpoint of generation 1"


def test_the_checkpoint_before_a_wrong_one_ends_in_the_same_bits(capsys: pytest.CaptureFixture[str]) -> None:
    common: dict[str, Any] = {"population": 4, "eval_episodes": 2, "target": None, "run_dir": "run"}
    tp.train("CartPole-v1", "cem", generations=4, **common | {"run_dir": "whole"})
    tp.train("CartPole-v1", "cem", generations=2, **common)
    state, _ = load_checkpoint(Path("run/checkpoints"))
    assert state is not None
    path = save_checkpoint(Path("run/checkpoints"), 3, state | {"generation": "three"})
    tp.resume("run", generations=4)
    assert f"{path}: generation should be a whole number >= 0, got 'three'" in capsys.readouterr().err
    weights = [Path(run, "policy", "weights.safetensors").read_bytes() for run in ("run", "whole")]
    assert weights[0] == weights[1]


def test_a_search_of_ones_own_keeps_what_it_likes_in_its_state() -> None:
    """Numbers of either kind and sign, None, a std that is one number, or zero here and there."""

    class Wandering(tp.Search):
        def __init__(self, std: Any) -> None:
            super().__init__(torch.zeros(10), population=4)
            self.std, self.balance, self.found = std, 0, None

        def _sample(self) -> torch.Tensor:
            return self.center + torch.randn(4, 10, generator=self.generator)

        def _update(self, candidates: torch.Tensor, scores: torch.Tensor) -> dict[str, float]:
            self.balance -= 3
            return {}

        def state_dict(self) -> dict[str, Any]:
            return super().state_dict() | {"std": self.std, "balance": self.balance, "found": self.found}

    for number, std in enumerate((0.5, torch.zeros(10))):
        common: dict[str, Any] = {"eval_episodes": 2, "run_dir": f"run-{number}", "max_episode_steps": 20}
        tp.train("CartPole-v1", Wandering(std), generations=2, **common)
        search = Wandering(std)
        tp.train("CartPole-v1", search, generations=4, **common)
        assert search.generation == 4
        assert search.balance < 0
