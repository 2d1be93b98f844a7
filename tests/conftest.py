import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from torchpolicy.base.seeding import Stream

settings.register_profile("the same every time", derandomize=True, deadline=None)
settings.load_profile("the same every time")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs are made in a folder of the test's own, and modules that it holds are forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(f"{tmp_path}/"):
            del sys.modules[name]


@pytest.fixture
def _own_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """``tp.evaluate`` plays the episodes of a run's own test, for tests that play them again."""
    monkeypatch.setattr("torchpolicy.runs.trained.STREAM", Stream.TEST)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
