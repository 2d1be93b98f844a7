"""How far a budget goes: what a generation takes, and how many of them the budget holds."""

from collections.abc import Iterator
from math import ceil

from torchpolicy.training.plan import Plan

FEW = 20
"""Generations with fewer of which hardly anything is learned."""

MOST = 10**12
"""Generations that no run reaches. A larger number is not told."""


def outlook(plan: Plan, env_steps: int, seconds: float) -> str | None:
    """A line about the budget, after the first generation; None where it says nothing that the user has not said.

    Args:
        plan: When the run ends.
        env_steps: Environment steps of the first generation.
        seconds: Seconds that it took.
    """
    found = list(_counts(plan, env_steps, seconds))
    if not found:
        return None
    count, words = min(found)
    if plan.generations is not None and plan.generations <= count:
        return None
    if count >= FEW:
        return words
    smaller = "a smaller population" if plan.episodes == 1 else "a smaller population or fewer episodes"
    return f"{words}, and hardly anything is learned in fewer than {FEW}: raise the budget, or take {smaller}"


def _counts(plan: Plan, env_steps: int, seconds: float) -> Iterator[tuple[int, str]]:
    """The number of generations in each budget, with the words for it."""
    if plan.total_steps is not None and env_steps > 0:
        count = min(-(-plan.total_steps // env_steps), MOST)
        steps = f"a generation is about {_round(env_steps)} steps"
        yield count, f"{steps}: the budget of {plan.total_steps:,} steps is {_about(count)} of them"
    if plan.seconds is not None and seconds > 0:
        count = ceil(min(plan.seconds / seconds, MOST))
        takes = f"a generation takes about {seconds:.2g} s"
        yield count, f"{takes}: the budget of {plan.seconds:g} s is {_about(count)} of them"


def _about(count: int) -> str:
    return str(count) if count < FEW else f"about {_round(count)}"


def _round(number: float) -> str:
    """A number with two digits that count."""
    return f"{float(f'{number:.2g}'):,.0f}"
