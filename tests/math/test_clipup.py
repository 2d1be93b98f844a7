"""ClipUp, and going up with it or any other optimizer."""

from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchpolicy import NES, PGPE, ClipUp, Search
from torchpolicy.vectors.ascent import KNOWN, Ascent

UNUSABLE = ["lbfgs", "muon", "sparseadam"]
usable = pytest.mark.parametrize("name", sorted(KNOWN.keys() - set(UNUSABLE)))


class Reference:
    """ClipUp by hand, of one vector."""

    def __init__(self, lr: float, momentum: float, max_speed: float) -> None:
        self.lr, self.momentum, self.max_speed = lr, momentum, max_speed
        self.velocity: NDArray[np.float64] | float = 0.0

    def step(self, x: NDArray[np.float64], gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        velocity = self.momentum * self.velocity + self.lr * gradient / np.sqrt((gradient**2).sum())
        speed = np.sqrt((velocity**2).sum())
        self.velocity = velocity * min(1, self.max_speed / speed)
        return x - self.velocity


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}, {"max_speed": 0.12}, {"momentum": 0.0, "max_speed": 5.0}])
def test_steps_are_the_papers_for_all_parameters_as_one_vector(options: dict[str, float]) -> None:
    x = np.random.default_rng(0).normal(size=7)
    parameters = [torch.tensor(x[:3]), torch.tensor(x[3:].reshape(2, 2))]
    optimizer = ClipUp(parameters, lr=0.1, **options)
    reference = Reference(0.1, options.get("momentum", 0.9), options.get("max_speed", 0.2))
    lengths = []
    for t in range(8):
        gradient = 10.0 ** (t - 4) * np.cos(x + t // 6)
        for parameter, part in zip(parameters, (gradient[:3], gradient[3:].reshape(2, 2)), strict=True):
            parameter.grad = torch.tensor(part)
        optimizer.step()
        before, x = x, reference.step(x, gradient)
        lengths.append(np.linalg.norm(x - before))
        np.testing.assert_allclose(torch.cat([p.flatten() for p in parameters]), x, rtol=1e-12)
    assert max(lengths) <= reference.max_speed * (1 + 1e-12)
    assert lengths[0] == pytest.approx(min(0.1, reference.max_speed))


def test_groups_have_velocities_and_settings_of_their_own() -> None:
    one, two = torch.zeros(1), torch.zeros(1)
    optimizer = ClipUp([{"params": [one]}, {"params": [two], "lr": 1.0}], lr=0.1)
    one.grad, two.grad = torch.tensor([-5.0]), torch.tensor([7.0])
    optimizer.step()
    assert (one.item(), two.item()) == pytest.approx((0.1, -1))


def test_a_gradient_of_zero_leaves_the_momentum() -> None:
    x = torch.zeros(3)
    optimizer = ClipUp([x], lr=0.1, momentum=0.5)
    x.grad = torch.zeros(3)
    optimizer.step()
    assert not x.any()
    x.grad = torch.tensor([0.0, -2.0, 0.0])
    optimizer.step()
    x.grad = torch.zeros(3)
    optimizer.step()
    optimizer.step()
    assert x.tolist() == pytest.approx([0, 0.1 + 0.05 + 0.025, 0])


def test_a_parameter_without_gradient_stays() -> None:
    moved, left = torch.zeros(2), torch.ones(2)
    optimizer = ClipUp([moved, left], lr=0.1)
    optimizer.step()
    moved.grad = torch.ones(2)
    optimizer.step()
    assert moved.tolist() == pytest.approx([-(0.005**0.5)] * 2)
    assert left.tolist() == [1, 1]


def test_a_closure_is_called_and_its_loss_returned() -> None:
    x = torch.ones(1, requires_grad=True)
    optimizer = ClipUp([x], lr=0.25)

    def closure() -> float:
        (loss := x.square().sum()).backward()
        return loss.item()

    assert optimizer.step(closure) == 1
    assert x.item() == 0.75


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, r"lr must be a number in \(0, inf\), got 0.0"),
        ({"lr": float("nan")}, "lr must be .* got nan"),
        ({"lr": -1.0}, "lr must be"),
        ({"momentum": 1.5}, r"momentum must be a number in \[0, 1\], got 1.5"),
        ({"momentum": -0.1}, "momentum must be"),
        ({"max_speed": 0.0}, r"max_speed must be a number in \(0, inf\), got 0.0"),
    ],
)
def test_arguments_of_clipup_out_of_range_are_named(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipUp([torch.zeros(2)], **{"lr": 0.1, **arguments})


def test_state_dict_of_clipup_continues_exactly() -> None:
    def run(optimizer: ClipUp, x: Tensor) -> Tensor:
        for t in range(3):
            x.grad = torch.cos(x + t)
            optimizer.step()
        return x

    optimizer = ClipUp([x := torch.linspace(-1, 1, 5)], lr=0.1, momentum=0.7)
    run(optimizer, x)
    state, other = deepcopy(optimizer.state_dict()), x.clone()
    resumed = ClipUp([other], lr=99.0)
    resumed.load_state_dict(state)
    assert torch.equal(run(resumed, other), run(optimizer, x))


@usable
def test_ascent_goes_up_by_every_optimizer(name: str) -> None:
    gradient = torch.tensor([1.0, -2.0, 0.5])
    ascent, x = Ascent(name.upper(), gradient, 0.1), torch.zeros(3)
    for _ in range(5):
        before, x = x, ascent.step(x, gradient, 0.1)
        assert ((x - before) * gradient > 0).all()
    assert gradient.tolist() == [1, -2, 0.5]


@usable
def test_ascent_continues_exactly(name: str) -> None:
    def run(ascent: Ascent, x: Tensor) -> Tensor:
        for t in range(4):
            x = ascent.step(x, torch.cos(x + t), 0.1 * 0.9**t)
        return x

    like = torch.linspace(-1, 1, 4)
    ascent = Ascent(name, like, 0.1)
    middle = run(ascent, like)
    state = ascent.state_dict()
    expected = run(ascent, middle)
    resumed = Ascent(name, like, 0.1)
    resumed.load_state_dict(state)
    assert torch.equal(run(resumed, middle), expected)


def test_ascent_takes_the_learning_rate_of_each_step() -> None:
    ascent = Ascent("sgd", torch.zeros(2), 0.5)
    assert ascent.step(torch.ones(2), torch.tensor([1.0, -1.0]), 0.25).tolist() == [1.25, 0.75]


@pytest.mark.parametrize(
    "optimizer", [*UNUSABLE, "newton", "optimizer", "", 5, None, torch.optim.SGD([torch.zeros(1)], lr=0.1), Tensor]
)
def test_what_cannot_go_up_a_gradient_is_refused(optimizer: Any) -> None:
    with pytest.raises(ValueError, match=r"optimizer"):
        Ascent(optimizer, torch.zeros(2), 0.1)
    with pytest.raises(ValueError, match=r"optimizer"):
        NES(torch.zeros(2), optimizer=optimizer)


def test_a_callable_makes_the_optimizer() -> None:
    start = torch.zeros(3, dtype=torch.float64)
    search = NES(
        start,
        population=6,
        std=2.0,
        learning_rate=0.1,
        optimizer=partial(torch.optim.SGD, momentum=0.9),
        baseline="mean",
    )
    center, velocity = np.zeros(3), np.zeros(3)
    for _ in range(4):
        x = search.ask()
        scores = torch.sin(x).sum(1)
        search.tell(x, scores)
        values = scores.numpy()
        velocity = 0.9 * velocity + (values - values.mean()) @ (x.numpy() - center) / (6 * 2**2)
        center = center + 0.1 * velocity
        np.testing.assert_allclose(search.center, center, rtol=1e-12)


@pytest.mark.parametrize("algorithm", [NES, PGPE])
@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("moved", [0, 2])
def test_a_search_continues_exactly_with_its_optimizer(algorithm: type[Any], before: int, moved: int) -> None:
    def run(search: Search, generations: int) -> Tensor:
        for _ in range(generations):
            x = search.ask()
            search.tell(x, torch.sin(x).sum(1))
        return search.center

    search = algorithm(torch.ones(4), population=8, optimizer="adam")
    run(search, before)
    state = search.state_dict()
    expected = run(search, 4)
    resumed = algorithm(torch.zeros(4), population=8, optimizer="adam", seed=5)
    run(resumed, moved)
    resumed.load_state_dict(state)
    assert torch.equal(run(resumed, 4), expected)
    assert torch.equal(resumed.std, search.std)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (torch.zeros(3), r"optimizer's exp_avg should be torch.float32 \(4,\), got torch.float32 \(3,\)"),
        (torch.tensor([0.0, torch.nan, 0.0, 0.0]), "optimizer's exp_avg should be finite"),
        (torch.tensor([0.0, torch.inf, 0.0, 0.0]), "optimizer's exp_avg should be finite"),
    ],
)
def test_a_damaged_state_of_the_optimizer_is_refused_whole(damage: Tensor, message: str) -> None:
    search = NES(torch.ones(4), population=8)
    x = search.ask()
    search.tell(x, x.sum(1))
    state = search.state_dict()
    state["ascent"]["exp_avg"] = damage
    fresh = NES(torch.zeros(4), population=8)
    with pytest.raises(ValueError, match=message):
        fresh.load_state_dict(state)
    assert fresh.generation == 0
    assert not fresh.center.any()
    assert not fresh.ascent.state_dict()
