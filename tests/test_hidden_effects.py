"""What the package changes in its process is put back: the environment, sys.path, generators, torch's settings."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from quick import quick, weights

from torchpolicy.base.device import WORKSPACE, deterministic, find_device
from torchpolicy.base.user_code import import_name
from torchpolicy.rollout.stepper import with_own_code

VARIABLE, VALUE = WORKSPACE


@pytest.mark.parametrize("given", [None, ":16:8"])
def test_a_gpus_variable_is_set_for_the_first_product_and_in_a_run_and_nowhere_else(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuBLAS reads it; where the user has set it, it stays what it is."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if given is not None:
        monkeypatch.setenv(VARIABLE, given)
    products: list[str | None] = []
    gpu = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1)
    monkeypatch.setattr(torch, "get_device_module", lambda device: gpu)
    monkeypatch.setattr(torch, "ones", lambda *shape, device: None)
    monkeypatch.setattr(torch, "mm", lambda left, right: products.append(os.environ.get(VARIABLE)))
    device = find_device("cuda")
    assert products == [given or VALUE]
    assert os.environ.get(VARIABLE) == given
    with deterministic(device):
        assert os.environ.get(VARIABLE) == (given or VALUE)
    assert os.environ.get(VARIABLE) == given


def test_a_run_changes_nothing_of_its_process() -> None:
    def state() -> dict[str, Any]:
        return {
            "environment": dict(os.environ),
            "sys.path": list(sys.path),
            "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "dtype": torch.get_default_dtype(),
            "folder": Path.cwd(),
        }

    before = state()
    quick("CartPole-v1", policy="mlp")
    assert state() == before


def test_global_random_generators_are_neither_read_nor_set() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[union-attr]
    first = quick("CartPole-v1", policy="mlp")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # type: ignore[index]
    torch.manual_seed(6)
    assert torch.equal(weights(quick("CartPole-v1", policy="mlp")), weights(first))


@pytest.fixture
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.usefixtures("_path")
def test_the_working_directory_stays_importable_only_for_a_module_that_lies_in_it(tmp_path: Path) -> None:
    before = list(sys.path)
    assert import_name("collections:OrderedDict")
    assert sys.path == before
    for broken in ("no_such_module:x", "raising_module:x"):
        Path("raising_module.py").write_text("raise KeyError('a bug')")
        with pytest.raises(ValueError, match="cannot import"):
            import_name(broken)
        assert sys.path == before
    Path("neighbour_of_one.py").write_text("number = 3")
    Path("one_of_ours.py").write_text("def later():\n    from neighbour_of_one import number\n    return number")
    later = import_name("one_of_ours:later")
    assert sys.path == [*before, str(tmp_path)]
    assert later() == 3
    assert import_name("one_of_ours:later") is later
    assert sys.path == [*before, str(tmp_path)]


class Doubling:
    """Has a method to be compiled."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def double(self, x: torch.Tensor, times: int = 1) -> torch.Tensor:
        return x * self.factor * times


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_compilers_limit_is_not_used_up_by_other_steppers() -> None:
    """Each has a code of its own, so Dynamo compiles all of them at a limit of one and without a setting of ours."""
    config: Any = torch._dynamo.config
    limits = config.recompile_limit, config.accumulated_recompile_limit
    with config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        for factor in (2.0, 3.0, 4.0):
            method = with_own_code(Doubling(factor).double)
            compiled = torch.compile(method, backend="eager", dynamic=False)
            assert compiled(torch.ones(2)).tolist() == [factor, factor]
            assert method.__self__.factor == factor
    assert (config.recompile_limit, config.accumulated_recompile_limit) == limits
