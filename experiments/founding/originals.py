"""The three samples on CartPole that the project began with, as they were, faults included.

Four things are changed. Gymnasium's `reset` and `step` return more than those of the old Gym did. There is a seed, so
that a run can be repeated. Where a loop may never end, or takes hours, it has a budget: 3 million environment steps for
NES, and for DeepCEM an end at the batch at which the sample printed that it had won and went on. Pictures and windows
are left out.

The policy that a sample ends with is played greedily on 100 held-out episodes of up to 500 steps, like ours. Seconds
are CPU time, without these episodes. DeepCEM needs scikit-learn (`pip install scikit-learn`).

python experiments/founding/originals.py
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

sys.path.append(str(Path(__file__).parents[1]))  # the experiments

from benchmarks.machine import describe
from founding.nes_cartpole import Sign

import torchpolicy as tp

RESULTS = Path(__file__).parent / "results" / "originals.json"
Vector = NDArray[np.float64]


class Counted(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Counts the steps of an environment."""

    steps = 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        return super().step(action)


@dataclass(frozen=True)
class Outcome:
    """What a sample came to.

    Attributes:
        net: The network of the policy that it ended with, which returns the logits of both actions.
        iterations: Updates that it made.
        ended: Why it ended, in words.
        reached: Whether it reached its own goal; None if it has none.
    """

    net: nn.Module
    iterations: int
    ended: str
    reached: bool | None


def play(env: Counted, act: Callable[[Vector], int], limit: int) -> tuple[list[Vector], list[int], float]:
    """One episode of at most `limit` steps: its observations, its actions and its return."""
    x, _ = env.reset()
    seen, taken, total = [], [], 0.0
    for _ in range(limit):
        action = act(x)
        seen.append(x)
        taken.append(action)
        x, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        if terminated or truncated:
            break
    return seen, taken, total


def argmax(th: Vector, x: Vector) -> int:
    """The action of a linear policy with 8 weights and 2 biases, th (10,), for an observation (4,)."""
    return int((x @ th[:8].reshape(4, 2) + th[8:]).argmax())


def cem(seed: int, env: Counted, rng: np.random.Generator, iterations: int = 100) -> Outcome:
    """25 candidates from a Gaussian with mean 0 and std 1, refitted to the best fifth; the policy is linear."""
    batch_size, elite_frac = 25, 0.2
    th_mean, th_std = np.zeros(10), np.ones(10)
    for _ in range(iterations):
        ths = th_mean + th_std * rng.standard_normal((batch_size, 10))
        ys = [play(env, partial(argmax, th), 500)[2] for th in ths]
        elite = ths[np.argsort(ys)[::-1][: int(batch_size * elite_frac)]]
        th_mean, th_std = elite.mean(axis=0), elite.std(axis=0)
    net = linear(th_mean[:8].reshape(4, 2), th_mean[8:])
    return Outcome(net, iterations, f"its iterations were over, with a mean std of {th_std.mean():.1g}", None)


def nes(seed: int, env: Counted, rng: np.random.Generator, budget: int = 3_000_000) -> Outcome:
    """100 candidates of 200 episodes each, and steps of alpha / (n sigma + 1), until 200 episodes have a mean of 50."""
    n, sigma, alpha = 100, 0.1, 0.001

    def f(w: Vector) -> float:
        return float(np.mean([play(env, lambda x: 1 if w @ x > 0 else 0, 500)[2] for _ in range(200)]))

    w = rng.uniform(-1, 1, 4)
    iterations = 0
    while (score := f(w)) < 50 and env.steps < budget:  # the sample has no budget
        noise = rng.standard_normal((n, 4))
        scores = np.array([f(w + sigma * each) for each in noise])
        standardized = (scores - scores.mean()) / scores.std()
        w = w + alpha / (n * sigma + 1) * noise.T @ standardized
        iterations += 1
    reached = score >= 50
    ended = "its score was 50" if reached else f"its budget was used up at a score of {score:.1f}"
    return Outcome(Sign(linear(w[:, None], None)), iterations, ended, reached)


def select_elites(sessions: list[Any], percentile: float = 50) -> tuple[Vector, Vector]:
    """Observations and actions of the sessions whose return is above a percentile."""
    threshold = np.percentile([total for _, _, total in sessions], percentile)
    elite = [session for session in sessions if session[2] > threshold]
    return np.concatenate([seen for seen, _, _ in elite]), np.concatenate([taken for _, taken, _ in elite])


def deepcem(seed: int, env: Counted, rng: np.random.Generator, iterations: int = 100) -> Outcome:
    """A classifier, fitted to the elite of 100 sessions of up to 1,000 steps, in the environment without its limit."""
    agent = classifier(seed)
    first, _ = env.reset()
    agent.fit([first, first], [0, 1])
    free = Counted(env.unwrapped)
    updates, ended, won = 0, "its iterations were over", False
    while updates < iterations:
        sessions = [play(free, lambda x: int(rng.choice(2, p=agent.predict_proba([x])[0])), 1000) for _ in range(100)]
        if np.mean([total for _, _, total in sessions]) > 195:  # the sample said so and went on
            ended, won = "its batch exceeded 195", True
            break
        try:
            agent.fit(*select_elites(sessions))  # the sample had set a percentile of 70, but did not pass it
        except ValueError as error:  # no elite, or one without one of the actions
            ended = f"an error: {error}"
            break
        updates += 1
    env.steps += free.steps
    layers = [linear(*each) for each in zip(agent.coefs_, agent.intercepts_, strict=True)]
    net = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])
    return Outcome(Sign(net), updates, ended, won)


def classifier(seed: int) -> Any:
    """The sample's network: each call of `fit` makes one pass over the data, and begins with a new Adam."""
    try:
        from sklearn.neural_network import MLPClassifier
    except ImportError as error:
        raise SystemExit("the original DeepCEM needs scikit-learn: pip install scikit-learn") from error
    warnings.filterwarnings("ignore", "Stochastic Optimizer")  # which says that one pass may be too few
    return MLPClassifier(hidden_layer_sizes=(20, 20), activation="tanh", warm_start=True, max_iter=1, random_state=seed)


def linear(weight: Vector, bias: Vector | None) -> nn.Linear:
    """A layer with a weight (inputs, outputs) and a bias (outputs)."""
    layer = nn.Linear(weight.shape[0], weight.shape[1], bias=bias is not None, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight.T))
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))
    return layer


def run(sample: Callable[..., Outcome], seed: int) -> dict[str, Any]:
    """Run a sample with one seed, score the policy that it ends with, and return its row of the results."""
    env = Counted(gymnasium.make("CartPole-v1"))
    env.reset(seed=seed)
    begin = time.process_time()
    outcome = sample(seed, env, np.random.default_rng(seed))
    seconds = time.process_time() - begin
    steps = env.steps
    score = tp.evaluate(tp.Policy(outcome.net, env.observation_space, env.action_space), "CartPole-v1")
    facts = {name: value for name, value in asdict(outcome).items() if name != "net"}
    return {"seed": seed, "mean": score.mean, "ci": score.ci, "env_steps": steps, "seconds": seconds, **facts}


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table with one line for each seed, and one for all of them."""
    lines = ["| seed | score | updates | env steps | CPU seconds | why it ended |", "|---|---|---|---|---|---|"]
    for row in rows:
        figures = f"{row['iterations']} | {row['env_steps']:,} | {row['seconds']:.1f}"
        lines.append(f"| {row['seed']} | {row['mean']:.1f} | {figures} | {row['ended']} |")
    middle = [median(row[key] for row in rows) for key in ("iterations", "env_steps", "seconds")]
    figures = f"{middle[0]:g} | {middle[1]:,.0f} | {middle[2]:.1f}"
    lines.append(f"| mean, medians | {mean(row['mean'] for row in rows):.1f} | {figures} | |")
    return "\n".join(lines)


def main() -> None:
    """Run all seeds of all samples, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    content: dict[str, Any] = {**describe(), "env": "CartPole-v1", "samples": {}}
    for sample in (cem, nes, deepcem):
        rows = [run(sample, seed) for seed in range(arguments.seeds)]
        print(f"\n{sample.__name__}\n\n{table(rows)}", flush=True)
        content["samples"][sample.__name__] = rows
        arguments.out.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
