"""How widely a policy samples can be set without a change of what it does greedily."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import torchpolicy as tp
from torchpolicy.base.seeding import Stream, episode_seeds
from torchpolicy.cli import main
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import make_rollout

CARTPOLE = make_environment("CartPole-v1")


def sharp(policy: tp.Policy) -> tp.Policy:
    """The policy with weights as large as a search leaves them."""
    vector = tp.ParamVector(policy.net)
    vector.write(20 * torch.randn(vector.dim, generator=torch.Generator().manual_seed(0)))
    return policy


@pytest.mark.parametrize("spread", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("kind", [tp.LinearPolicy, tp.MLPPolicy, tp.RecurrentPolicy])
def test_a_policy_samples_as_widely_as_was_asked_for(kind: type[tp.Policy], spread: float) -> None:
    policy = sharp(kind(*CARTPOLE.spaces))
    before = deepcopy(policy)
    assert tp.soften(policy, "CartPole-v1", spread, seed=3) is policy
    with make_rollout(CARTPOLE, before) as rollout:
        _, met = rollout.collect(episode_seeds(3, Stream.EVALUATION, 0, 20))
    with torch.no_grad():
        output, old = (each(met.observations) for each in (policy, before))
    if policy.recurrent:
        output, old = output[0], old[0]
    assert torch.equal(policy.head.choose(output), policy.head.choose(old))
    if not policy.recurrent:
        share = float(policy.head.entropy(output.double()).mean() / np.log(2))
        assert share == pytest.approx(spread, abs=1e-3)


def test_box_actions_get_the_standard_deviation() -> None:
    policy = tp.LinearPolicy(*make_environment("Pendulum-v1").spaces)
    before = tp.ParamVector(policy.net).read()
    tp.soften(policy, "Pendulum-v1", 0.2)
    assert policy.head.log_std.exp().tolist() == pytest.approx([0.2])
    assert torch.equal(tp.ParamVector(policy.net).read(), before)


class Squashed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).tanh()


def test_what_cannot_be_is_said_in_one_line() -> None:
    policy = tp.Policy(Squashed(), *CARTPOLE.spaces)
    before = tp.ParamVector(policy.net).read()
    with pytest.raises(ValueError, match="the last layer of Squashed is not linear"):
        tp.soften(policy, "CartPole-v1", 0.5)
    torch.testing.assert_close(tp.ParamVector(policy.net).read(), before)
    flat = tp.LinearPolicy(*CARTPOLE.spaces)
    tp.ParamVector(flat.net).write(torch.zeros(10))
    with pytest.raises(ValueError, match=r"no scale of its outputs makes the policy sample with 0.5 of"):
        tp.soften(flat, "CartPole-v1", 0.5)
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"spread must be a number in \(0, 1\]"):
            tp.soften(flat, "CartPole-v1", wrong)
    with pytest.raises(ValueError, match=r"policy must be a torchpolicy.Policy"):
        tp.soften(nn.Linear(4, 2), "CartPole-v1")  # type: ignore[arg-type]


def test_the_shell_softens_what_another_run_left(capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--env", "CartPole-v1", "--generations", "1", "--eval-episodes", "3"]
    assert main(["train", "cem", *quick, "--run-dir", "wide", "--std", "50"]) == 0
    learn = ["train", "reinforce", *quick, "--from", "wide", "--learning-rate", "1e-30"]
    assert main([*learn, "--run-dir", "sharp"]) == 0
    assert main([*learn, "--run-dir", "soft", "--soften", "0.9"]) == 0
    entropies = [
        json.loads(Path(name, "metrics.jsonl").read_text().splitlines()[0])["learn/entropy"]
        for name in ("sharp", "soft")
    ]
    assert entropies[0] < 0.5 * entropies[1]
    capsys.readouterr()
    assert main(["train", "reinforce", *quick, "--soften", "0.9"]) == 2
    assert "--soften is for the policy of --from" in capsys.readouterr().err
