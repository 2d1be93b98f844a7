import pytest

from torchpolicy.training.plan import Plan


@pytest.mark.parametrize(
    ("scores", "settled"),
    [
        ([], False),
        ([(0, 1.0)], False),
        ([(10, 1.0)], False),
        ([(0, 1.0), (9, 1.0)], False),
        ([(0, 1.0), (10, 1.0)], True),
        ([(0, 1.0), (5, 1.4), (10, 1.0)], True),
        ([(0, 1.0), (5, 1.6), (10, 1.0)], False),
        ([(0, 1.0), (5, 0.4), (10, 1.0)], False),
        ([(0, 1.0), (5, 0.8), (10, 1.2)], True),
        ([(0, 0.75), (5, 1.0), (10, 1.25)], False),  # just the tolerance is too much
        ([(0, 9.0), (10, 1.0), (20, 1.0)], True),
        ([(0, 9.0), (1, 1.0), (10, 1.0)], False),
        (
            [(0, 9.0), (4, 1.0), (15, 1.2)],
            True,
        ),  # the last before the span counts, in the name of its first generations
        ([(0, 9.0), (6, 1.0), (15, 1.2)], False),
        ([(0, 1.0), (20, 1.0), (30, 9.0)], False),
        ([(0, -1e9), (10, -1e9)], True),
        ([(0, float("nan")), (10, 1.0)], False),
        ([(0, float("inf")), (10, float("inf"))], False),
    ],
)
def test_settled_is_to_have_stayed_within_the_tolerance(scores: list[tuple[int, float]], settled: bool) -> None:
    assert Plan(0, tolerance=0.5, tolerance_generations=10).is_settled(scores) is settled


def test_without_a_tolerance_nothing_is_settled() -> None:
    assert not Plan(0, tolerance_generations=10).is_settled([(0, 1.0), (10, 1.0), (1000, 1.0)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": 0.0}, r"tolerance must be a number in \(0, inf\), got 0.0"),
        ({"tolerance": float("nan")}, "tolerance must be .* got nan"),
        ({"tolerance_generations": 0}, "tolerance_generations must be an integer >= 1, got 0"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan(0, **arguments)
