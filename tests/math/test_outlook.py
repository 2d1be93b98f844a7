"""How far a budget goes, in one line."""

from typing import Any

import pytest

from torchpolicy.training.outlook import outlook
from torchpolicy.training.plan import Plan

STEPS = "a generation is about 51,000 steps: the budget of"
SECONDS = "a generation takes about 2.5 s: the budget of"
FEW = "hardly anything is learned in fewer than 20: raise the budget, or take a smaller population"


@pytest.mark.parametrize(
    ("budget", "line"),
    [
        ({"total_steps": 1_000_000}, f"{STEPS} 1,000,000 steps is about 20 of them"),
        ({"total_steps": 512_000}, f"{STEPS} 512,000 steps is 10 of them, and {FEW}"),
        ({"total_steps": 512_000, "episodes": 4}, f"{STEPS} 512,000 steps is 10 of them, and {FEW} or fewer episodes"),
        ({"seconds": 600}, f"{SECONDS} 600 s is about 240 of them"),
        ({"seconds": 10}, f"{SECONDS} 10 s is 4 of them, and {FEW}"),
        ({"seconds": 600, "total_steps": 512_001}, f"{STEPS} 512,001 steps is 11 of them, and {FEW}"),
        ({"seconds": 1e308}, f"{SECONDS} 1e+308 s is about 1,000,000,000,000 of them"),
        ({"seconds": 10, "generations": 3}, None),
        ({"generations": 3}, None),
        ({}, None),
    ],
)
def test_the_budget_that_ends_first_is_told_in_generations(budget: dict[str, Any], line: str | None) -> None:
    assert outlook(Plan(seed=0, **budget), 51_200, 2.5) == line


def test_a_generation_of_nothing_says_nothing() -> None:
    assert outlook(Plan(seed=0, total_steps=9, seconds=9), 0, 0.0) is None
