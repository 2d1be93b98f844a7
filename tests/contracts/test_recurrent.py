"""Policies that remember: with every algorithm, in both rollouts, over processes and resume, exported, learned."""

from pathlib import Path
from typing import Any

import batches
import gymnasium
import numpy as np
import pytest
import torch
from quick import weights, without_time
from torch import Tensor, nn
from worlds import Remember

import torchpolicy as tp
from torchpolicy.base.discovery import names
from torchpolicy.base.seeding import Stream, episode_seeds
from torchpolicy.cli import main
from torchpolicy.learn.lesson import Lesson
from torchpolicy.policies.parts.cells import CELLS

SEARCHES = [name for name in names("search") if name not in ("cmaes", "xnes")]  # they are for few weights
MANY = {"population": 10, "eval_episodes": 4, "eval_every": 2, "max_episode_steps": 40, "normalize_observations": True}


def train(name: str, cell: str, **arguments: Any) -> tp.Result:
    learns = name in names("learn")
    settings = {key: value for key, value in MANY.items() if key != "population"} if learns else MANY
    settings = settings | ({"episodes": 8} if learns else {})
    return tp.train("CartPole-v1", name, policy=cell, policy_args={"hidden": 4}, **settings | arguments)


def facts(result: tp.Result) -> Any:
    return weights(result).tolist(), without_time(result.metrics), result.evaluation.returns.tolist()


@pytest.mark.parametrize("backend", ["gymnasium", "native"])
@pytest.mark.parametrize("name", [*SEARCHES, *names("learn")])
def test_exact_over_processes_and_resume(name: str, backend: str) -> None:
    cell = sorted(CELLS)[len(name) % 3]
    whole = facts(train(name, cell, backend=backend, generations=4))
    assert facts(train(name, cell, backend=backend, generations=4, workers=2)) == whole
    train(name, cell, backend=backend, generations=2, run_dir="part")
    assert facts(tp.resume("part", generations=4, workers=2)) == whole


def test_noise_of_low_rank_is_exact_over_processes() -> None:
    results = [train("nes", "lstm", noise_rank=1, generations=3, workers=workers) for workers in (1, 2)]
    assert facts(results[0]) == facts(results[1])


def test_episodes_that_are_stopped_early_leave_no_state_behind() -> None:
    arguments: dict[str, Any] = {"backend": "gymnasium", "stop_early": True, "generations": 4, "episodes": 3}
    results = [train("snes", "gru", workers=workers, **arguments) for workers in (1, 2)]
    assert facts(results[0]) == facts(results[1])


def test_another_algorithm_goes_on_from_it() -> None:
    begun = train("snes", "gru", generations=2)
    went_on = tp.train("CartPole-v1", "reinforce", policy=begun.policy, generations=2, eval_episodes=4)
    assert went_on.policy.recurrent


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_it_plays_the_same_episodes() -> None:
    arguments: dict[str, Any] = {"backend": "native", "generations": 2}
    eager, compiled = (train("cem", "lstm", compile=each, **arguments) for each in (False, True))
    np.testing.assert_allclose(weights(compiled), weights(eager), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (
            "lstm --policy-args hidden=3 layers=2 before=5",
            {"cell": "lstm", "hidden": 3, "layers": 2, "before": [5]},
        ),
        ("rnn --hidden 4", {"cell": "rnn", "hidden": 4, "layers": 1, "before": []}),
    ],
)
def test_from_the_shell(words: str, settings: dict[str, Any]) -> None:
    main(["train", "cem", "--env", "CartPole-v1", "--generations", "1", "--run-dir", "run", "--policy", *words.split()])
    assert tp.load("run").settings == {"policy": "recurrent", "policy_args": settings}


class Own(nn.Module):
    """A module of the user's own with a state of two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.last = tp.GRUCell(4, 3), nn.Linear(4, 2)

    def initial_state(self) -> dict[str, Tensor]:
        return {"h": torch.zeros(3), "steps": torch.zeros(1)}

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        output, h = self.cell(x, state["h"])
        steps = state["steps"] + 0.1
        return self.last(torch.cat([output, steps.sin()], -1)), {"h": h, "steps": steps}


@pytest.mark.parametrize("policy", ["gru", "own"])
@pytest.mark.parametrize("backend", ["gymnasium", "native"])
def test_an_episode_begins_with_the_first_state_in_whatever_slot_it_plays(policy: str, backend: str) -> None:
    """40 episodes in 32 slots equal a loop of one's own, in which nothing is left of an episode before."""
    env = gymnasium.make("CartPole-v1")
    made: Any = Own() if policy == "own" else policy
    result = tp.train("CartPole-v1", "snes", policy=made, generations=3, population=6, eval_episodes=4, backend=backend)
    evaluation = tp.evaluate(result.policy, "CartPole-v1", episodes=40, seed=3, backend=backend)
    actor, returns = tp.Actor(result.policy), []
    for seed in episode_seeds(3, Stream.EVALUATION, 0, 40):
        obs, total, over = env.reset(seed=seed)[0], 0.0, False
        actor.reset()
        while not over:
            obs, reward, terminated, truncated, _ = env.step(actor(obs))
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    assert len(set(returns)) > 1
    np.testing.assert_array_equal(evaluation.returns, returns)


def test_it_learns_what_only_memory_can() -> None:
    settings: dict[str, Any] = {
        "generations": 40,
        "population": 30,
        "episodes": 10,
        "eval_episodes": 50,
        "target": None,
    }
    assert tp.train(Remember, "snes", policy="gru", policy_args={"hidden": 4}, **settings).evaluation.mean == 1
    assert tp.train(Remember, "snes", policy_args={"hidden": [8]}, **settings).evaluation.mean < 0.8


@pytest.mark.parametrize(("name", "rate"), [("deepcem", 0.03), ("reinforce", 0.03)])
def test_learners_learn_what_only_memory_can(name: str, rate: float) -> None:
    settings: dict[str, Any] = {"generations": 60, "episodes": 100, "eval_episodes": 50, "target": None}
    result = tp.train(Remember, name, policy="gru", policy_args={"hidden": 8}, learning_rate=rate, **settings)
    assert result.evaluation.mean > 0.95


def policy(cell: str = "gru") -> tp.Policy:
    spaces = batches.OBSERVATIONS, gymnasium.spaces.Discrete(3, start=2)
    return tp.RecurrentPolicy(*spaces, cell=cell, hidden=5, layers=2, before=(4,))


@pytest.mark.parametrize("cell", CELLS)
def test_outputs_along_episodes_equal_a_plain_loop_and_so_do_their_gradients(cell: str) -> None:
    made, episodes = policy(cell), batches.episodes("discrete", [5, 1, 7, 3])
    wanted = []
    for number in range(4):
        state = None
        for obs in episodes.observations[episodes.owners == number]:
            output, state = made(obs[None], state)
            wanted.append(output)
    parameters = list(made.net.parameters())
    factors = torch.randn(16, 3)
    expected = torch.autograd.grad((torch.cat(wanted) * factors).sum(), parameters)
    lesson = Lesson.of(made, episodes, torch.ones(16))
    found = lesson.outputs(made, None)
    torch.testing.assert_close(found, torch.cat(wanted))
    for one, two in zip(torch.autograd.grad((found * factors).sum(), parameters), expected, strict=True):
        torch.testing.assert_close(one, two)


def test_gradients_stop_after_bptt_steps() -> None:
    made, episodes = policy(), batches.episodes("discrete", [6])
    episodes.observations.requires_grad_()
    for bptt_steps, reached in [(None, 6), (2, 2), (4, 2), (5, 1)]:
        output = Lesson.of(made, episodes, torch.ones(6)).outputs(made, bptt_steps)
        (gradient,) = torch.autograd.grad(output[-1].sum(), episodes.observations)
        assert (gradient != 0).any(1).tolist() == [False] * (6 - reached) + [True] * reached


def test_parts_and_minibatches_are_of_whole_episodes() -> None:
    made, lengths = policy(), [5, 1, 7, 3, 2, 9]
    lesson = Lesson.of(made, batches.episodes("discrete", lengths), torch.ones(27))
    parts = list(lesson.parts(14))
    assert [part.lengths.tolist() for part in parts if part.lengths is not None] == [[5, 1], [7, 3], [2], [9]]
    assert torch.equal(torch.cat([part.observations for part in parts]), lesson.observations)
    minibatches = lesson.shuffled(9, torch.Generator().manual_seed(0))
    assert [len(each.lengths) for each in minibatches if each.lengths is not None] == [2, 2, 2]
    rows = torch.cat([each.observations for each in minibatches])
    assert sorted(rows.tolist()) == sorted(lesson.observations.tolist())


@pytest.mark.parametrize("cell", CELLS)
def test_exported_it_acts_the_same_step_by_step(cell: str, tmp_path: Path) -> None:
    made = policy(cell)
    made.normalize()
    program = torch.export.load(tp.export(made, tmp_path / "policy.pt2")).module()
    theirs = made.initial_state(7)
    ours = None
    for step in range(4):
        obs = torch.randn(7, 3, generator=torch.Generator().manual_seed(step))
        actions, ours = made.act(obs, ours)
        again, theirs = program(obs, theirs)
        assert torch.equal(actions, again)


class Delayed(nn.Module):
    """Follows the pole; a counter and what it was a step ago, which is passed on as it is, should differ by 1."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[0.0, 0.0, -1.0, -0.5], [0.0, 0.0, 1.0, 0.5]]))

    def initial_state(self) -> Any:
        return torch.zeros(1), torch.full((1,), -1.0)

    def forward(self, x: Tensor, state: Any) -> Any:
        now, before = state
        return self.last(x) * (now - before), (now + 1, now)


@pytest.mark.parametrize("backend", ["gymnasium", "native"])
def test_parts_of_a_state_that_are_passed_on_are_not_overwritten(backend: str) -> None:
    made, env = tp.Policy(Delayed(), *spaces_of_cartpole()), gymnasium.make("CartPole-v1")
    evaluation = tp.evaluate(made, "CartPole-v1", episodes=6, seed=3, backend=backend)
    returns = []
    for seed in episode_seeds(3, Stream.EVALUATION, 0, 6):
        obs, total, over, state = env.reset(seed=seed)[0], 0.0, False, None
        while not over:
            action, state = made.act(obs, state)
            obs, reward, terminated, truncated, _ = env.step(action)
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    np.testing.assert_array_equal(evaluation.returns, returns)
    assert min(returns) > 100


def spaces_of_cartpole() -> Any:
    env = gymnasium.make("CartPole-v1")
    return env.observation_space, env.action_space


class Growing(nn.Module):
    """Its state grows by a factor of 1e15 in each step that sees a pole so steep that the episode has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)

    def initial_state(self) -> Tensor:
        return torch.ones(1)

    def forward(self, x: Tensor, state: Tensor) -> Any:
        return self.last(x) + state - state, torch.where(x[..., 2:3].abs() > 0.2094, state * 1e15, state)


def test_the_state_of_an_episode_that_has_ended_stands_still() -> None:
    torch.manual_seed(0)
    made = tp.Policy(Growing(), *spaces_of_cartpole())
    outcomes = [
        tp.evaluate(made, "CartPole-v1", episodes=64, seed=3, backend=backend) for backend in ("gymnasium", "native")
    ]
    assert not any(outcome.failures for outcome in outcomes)
    assert outcomes[0].lengths.min() + 20 < outcomes[0].lengths.max() < 500
    np.testing.assert_array_equal(outcomes[0].returns, outcomes[1].returns)


class Directed(Own):
    """Divides by the length of what it sees, which is 0 for made-up observations."""

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return super().forward(x / x.norm(dim=-1, keepdim=True), state)


@pytest.mark.parametrize("name", names("learn"))
def test_nothing_is_made_up_where_an_episode_has_ended(name: str) -> None:
    settings: dict[str, Any] = {"generations": 3, "episodes": 10, "eval_episodes": 4, "backend": "gymnasium"}
    result = tp.train("CartPole-v1", name, policy=Directed(), target=None, **settings)
    assert all(row["learn/step_norm"] > 0 and not row["learn/stalled"] for row in result.metrics)


def test_a_step_that_is_not_finite_counts_as_stalled() -> None:
    made, episodes = policy(), batches.episodes("discrete", [3, 4])
    learner = tp.REINFORCE(made)
    episodes.observations[0, 0] = torch.nan
    assert learner.learn(episodes)["learn/stalled"] == 1


@pytest.mark.parametrize("state", [torch.zeros(2, 5), (torch.zeros(1, 5),), "x", [1, 2]])
def test_a_state_of_another_form_is_refused(state: Any) -> None:
    with pytest.raises(
        ValueError, match=r"expected a state of Recurrent with tensors of shapes \[\(1, 5\), \(1, 5\)\], got"
    ):
        policy().act(np.zeros(3, np.float32), state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"policy": "lstm", "policy_args": {"cell": "gru"}},
            "cell 'gru' goes with the policy 'recurrent', not",
        ),
        ({"policy": "mlp", "algorithm": "reinforce", "bptt_steps": 5}, "bptt_steps is for policies that remember"),
        ({"policy": "gru", "algorithm": "reinforce", "bptt_steps": 0}, "bptt_steps must be an integer >= 1"),
        ({"policy": "gru", "policy_args": {"hidden": (3, 4)}}, "hidden must be an integer"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tp.train("CartPole-v1", **{"algorithm": "cem", "generations": 1, **settings})


def test_one_number_or_a_list_of_one_is_the_same() -> None:
    spaces = batches.OBSERVATIONS, gymnasium.spaces.Discrete(3)
    settings = [
        tp.RecurrentPolicy(*spaces, hidden=hidden, before=before).settings for hidden, before in ((4, 6), ([4], [6]))
    ]
    assert settings[0] == settings[1]


class Bad(nn.Module):
    """Its state is what `change` makes of it."""

    def __init__(self, change: Any, first: Any = None) -> None:
        super().__init__()
        self.cell, self.last = tp.GRUCell(4, 3), nn.Linear(3, 2)
        self._change, self._first = change, torch.zeros(3) if first is None else first

    def initial_state(self) -> Any:
        return self._first(self) if callable(self._first) else self._first

    def forward(self, x: Tensor, state: Any) -> Any:
        output, state = self.cell(x, state)
        return self._change(self.last(output), state)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (lambda: Bad(lambda y, h: (y, h[:, :2])), r"turns a state of shape \(1, 3\) and torch.float32 into .*\(1, 2\)"),
        (lambda: Bad(lambda y, h: (y, h.double())), "turns a state of .*torch.float32 into one .*torch.float64"),
        (lambda: Bad(lambda y, h: (y, h), lambda net: net.last.weight[0].detach()), "depends on weights, which differ"),
        (lambda: InPlace(), "changes its state in place, which others still need"),
        (lambda: Bad(lambda y, h: (y, h / 0 * 0)), "turns the first observation into a state that is not finite"),
        (lambda: Bad(lambda y, h: (y, (h, h))), "returns a state of another structure"),
        (lambda: Bad(lambda y, h: y), r"has initial_state\(\), so its forward should return \(outputs, state\)"),
        (lambda: Bad(lambda y, h: (y, h), torch.full((3,), torch.nan)), r"initial_state\(\) is not finite"),
        (lambda: Bad(lambda y, h: (y, h), lambda net: net.last.weight[0]), r"initial_state\(\) depends on weights"),
        (lambda: Bad(lambda y, h: (y, h), lambda net: 3), r"initial_state\(\) should return a tensor, .* got 3"),
        (lambda: Bad(lambda y, h: (y, h), lambda net: 1 / 0), r"initial_state\(\) failed: ZeroDivisionError"),
        (lambda: nn.GRUCell(4, 2), "GRUCell would forget at every step: a module that remembers has"),
        (lambda: nn.GRU(4, 2), r"GRU returns a tuple: a module that remembers has a method initial_state\(\)"),
        (lambda: Around(nn.LSTMCell(4, 2)), "many weights at once .*torchpolicy.RNNCell, GRUCell and LSTMCell compute"),
    ],
)
def test_bad_states_are_refused_in_one_line(net: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        tp.train("CartPole-v1", "snes", policy=net(), generations=1)
    assert "\n" not in str(refused.value)


class InPlace(Own):
    """Changes its state where it lies."""

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        state["h"].add_(0.5)
        return super().forward(x, state)


class Around(nn.Module):
    """torch's own cell, which cannot be mapped over weights."""

    def __init__(self, cell: nn.LSTMCell) -> None:
        super().__init__()
        self.cell = cell

    def initial_state(self) -> Any:
        return torch.zeros(2), torch.zeros(2)

    def forward(self, x: Tensor, state: Any) -> Any:
        h, c = self.cell(x, state)
        return h, (h, c)


def test_a_state_for_a_policy_without_one_is_refused() -> None:
    spaces = batches.OBSERVATIONS, gymnasium.spaces.Discrete(3)
    with pytest.raises(ValueError, match="Sequential has no state"):
        tp.MLPPolicy(*spaces).act(np.zeros(3), torch.zeros(3))
    assert tp.Actor(tp.MLPPolicy(*spaces))(np.zeros(3)) in (0, 1, 2)
    assert tp.MLPPolicy(*spaces).initial_state(4) is None
