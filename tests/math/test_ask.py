"""Somebody else's optimizers, by their three habits."""

from typing import Any

import numpy as np
import pytest
import torch

import torchpolicy as tp
from torchpolicy import CheckpointError


class Step:
    """A simple evolution strategy, with a mean."""

    def __init__(self, dim: int = 10, seed: int = 0) -> None:
        self.mean = np.zeros(dim)
        self.random = np.random.default_rng(seed)
        self.told: list[Any] = []

    def vector(self) -> Any:
        """One candidate."""
        return self.mean + 0.3 * self.random.standard_normal(len(self.mean))

    def learn(self, vectors: Any, values: Any) -> None:
        self.told.append(list(values))
        order = np.argsort(values)[: max(1, len(values) // 3)]
        self.mean = np.mean([vectors[each] for each in order], 0)


class Batch(Step):
    """As pycma's."""

    popsize = 12

    def ask(self) -> list[Any]:
        return [self.vector() for _ in range(self.popsize)]

    def tell(self, solutions: list[Any], function_values: list[float], check_points: Any = None) -> None:
        self.learn(solutions, function_values)


class Pairs(Step):
    """As those of the package cmaes."""

    population_size = 12

    def ask(self) -> Any:
        return self.vector()

    def tell(self, solutions: list[tuple[Any, float]]) -> None:
        self.learn(*zip(*solutions, strict=True))


class Value:
    """A candidate as Nevergrad's."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Single(Step):
    """As Nevergrad's, which takes candidates one by one."""

    def __init__(self, dim: int = 10, seed: int = 0) -> None:
        super().__init__(dim, seed)
        self.best, self._mean = np.inf, None
        self.found = self.mean
        del self.mean
        self.mean = None  # type: ignore[assignment]

    def ask(self) -> Value:
        return Value(self.found + 0.3 * self.random.standard_normal(len(self.found)))

    def tell(self, candidate: Value, loss: float) -> None:
        assert isinstance(candidate, Value)
        if loss < self.best:
            self.best, self.found = loss, candidate.value

    def recommend(self) -> Value:
        return Value(self.found)


class Saved(Batch):
    """One that can be saved."""

    def state_dict(self) -> dict[str, Any]:
        return {"mean": torch.from_numpy(self.mean.copy()), "drawn": len(self.told)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean = state["mean"].numpy().copy()
        self.random = np.random.default_rng(state["drawn"])


@pytest.mark.parametrize("kind", [Batch, Pairs, Single])
def test_every_habit_finds_the_optimum(kind: Any) -> None:
    search = tp.Ask(kind(), population=12, maximize=False)
    for _ in range(150):
        candidates = search.ask()
        assert candidates.shape == (12, 10)
        search.tell(candidates, (candidates - 1).square().sum(1))
    assert (search.center - 1).abs().max() < 0.6


def test_returns_are_maximised_by_what_minimises() -> None:
    search = tp.Ask(Batch())
    scores = torch.arange(12.0)
    search.tell(search.ask(), scores)
    assert search.optimizer.told == [(-scores).tolist()]
    search = tp.Ask(Batch(), minimizes=False)
    search.tell(search.ask(), scores)
    assert search.optimizer.told == [scores.tolist()]


def test_a_candidate_that_failed_is_the_worst() -> None:
    search = tp.Ask(Batch())
    scores = torch.arange(12.0)
    scores[5] = torch.nan
    assert search.tell(search.ask(), scores)["search/failed"] == 1
    assert search.optimizer.told[0][5] == 0.0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_trains_with_it_whatever_the_processes(workers: int) -> None:
    policy = tp.LinearPolicy(*spaces(), seed=0)
    dim = tp.ParamVector(policy.net).dim
    arguments: dict[str, Any] = {"target": None, "generations": 12, "eval_episodes": 5, "eval_every": 4}
    result = tp.train("CartPole-v1", tp.Ask(Batch(dim)), policy=policy, workers=workers, **arguments)
    assert result.evaluation.mean > 60
    again = tp.train("CartPole-v1", tp.Ask(Batch(dim)), policy=tp.LinearPolicy(*spaces(), seed=0), **arguments)
    assert again.evaluation.mean == result.evaluation.mean


def spaces() -> Any:
    import gymnasium

    env = gymnasium.make("CartPole-v1")
    return env.observation_space, env.action_space


def test_without_a_state_a_run_cannot_go_on() -> None:
    policy = tp.LinearPolicy(*spaces())
    search = tp.Ask(Batch(tp.ParamVector(policy.net).dim))
    arguments: dict[str, Any] = {"target": None, "eval_episodes": 2, "run_dir": "run"}
    tp.train("CartPole-v1", search, policy=policy, generations=2, **arguments)
    search = tp.Ask(Batch(tp.ParamVector(policy.net).dim))
    with pytest.raises(CheckpointError, match="no state_dict"):
        tp.train("CartPole-v1", search, policy=policy, generations=4, **arguments)


def test_one_with_a_state_is_saved() -> None:
    search, again = tp.Ask(Saved()), tp.Ask(Saved())
    assert search.resumable
    search.tell(search.ask(), torch.arange(12.0))
    again.load_state_dict(search.state_dict())
    assert torch.equal(again.center, search.center)
    np.testing.assert_array_equal(again.optimizer.mean, search.optimizer.mean)


def test_what_is_no_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="ask and tell"):
        tp.Ask(object())

    class Blind:
        def ask(self) -> Any:
            return np.zeros((4, 3))

        def tell(self, vectors: Any, values: Any) -> None:
            pass

    with pytest.raises(ValueError, match="center is needed"):
        tp.Ask(Blind())
    search = tp.Ask(Blind(), center=torch.zeros(3))
    search.tell(search.ask() + torch.arange(4.0)[:, None], torch.arange(4.0))
    with pytest.raises(ValueError, match="asks for vectors"):
        tp.Ask(Blind(), center=torch.zeros(4)).ask()


def test_a_run_with_a_state_goes_on() -> None:
    arguments: dict[str, Any] = {"target": None, "eval_episodes": 2, "run_dir": "run"}
    for generations in (2, 4):
        policy = tp.LinearPolicy(*spaces())
        search = tp.Ask(Saved(tp.ParamVector(policy.net).dim))
        result = tp.train("CartPole-v1", search, policy=policy, generations=generations, **arguments)
    assert len((result.run_dir / "metrics.jsonl").read_text().splitlines()) == 4


class Strict(Batch):
    """One that insists on being told before it is asked again."""

    waiting = False

    def ask(self) -> list[Any]:
        assert not self.waiting
        self.waiting = True
        return super().ask()

    def tell(self, solutions: list[Any], function_values: list[float], check_points: Any = None) -> None:
        self.waiting = False
        super().tell(solutions, function_values)


@pytest.mark.parametrize("score", [0.0, torch.nan, 1e30])
def test_it_is_told_of_every_generation(score: float) -> None:
    search = tp.Ask(Strict())
    for _ in range(3):
        search.tell(search.ask(), torch.full((12,), score))
    assert len(search.optimizer.told) == 3
    assert len(set(search.optimizer.told[0])) == 1


def test_a_state_is_copied_and_one_that_cannot_be_saved_is_refused() -> None:
    search = tp.Ask(Saved())
    before = search.state_dict()["optimizer"]["mean"].clone()
    search.optimizer.mean += 1
    assert torch.equal(search.state_dict()["optimizer"]["mean"], before + 1)

    class Arrays(Batch):
        def state_dict(self) -> dict[str, Any]:
            return {"mean": self.mean}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            pass

    with pytest.raises(ValueError, match="state_dict of Arrays cannot be saved"):
        tp.Ask(Arrays())


def test_odd_answers_and_numbers_are_refused() -> None:
    search = tp.Ask(Batch())
    for answer in (None, 3.0, [[1.0], [1.0, 2.0]]):
        search.optimizer.ask = lambda answer=answer: answer
        with pytest.raises(ValueError, match=r"ask\(\) must return vectors"):
            search.ask()
    with pytest.raises(ValueError, match="12 candidates, and population is 5"):
        tp.Ask(Batch(), population=5).ask()
    policy = tp.LinearPolicy(*spaces()).double()
    search = tp.Ask(Batch(tp.ParamVector(policy.net).dim))
    with pytest.raises(ValueError, match=r"float32, the policy's weights are torch.float64"):
        tp.train("CartPole-v1", search, policy=policy)
