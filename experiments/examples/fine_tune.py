"""Going on from an actor that was trained elsewhere: its plain torch weights are the start of a search.

python experiments/examples/fine_tune.py                       an actor that imitates a simple rule
python experiments/examples/fine_tune.py --sb3 ppo_cartpole    a PPO or A2C file of stable-baselines3 (installed by you)
"""

import argparse

import torch
from torch import Tensor, nn

import torchpolicy as tp


def imitator(steps: int = 300) -> nn.Module:
    """An actor of plain torch: it imitates the rule "push to where the pole falls", by gradient descent."""
    torch.manual_seed(0)
    actor = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(actor.parameters(), 1e-2)
    for _ in range(steps):
        seen = torch.randn(256, 4)
        loss = nn.functional.cross_entropy(actor(seen), (seen[:, 2] > 0).long())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return actor


class SB3Actor(nn.Module):
    """The actor of a stable-baselines3 policy: observations -> logits of discrete actions, or means of a Box."""

    def __init__(self, path: str) -> None:
        super().__init__()
        from stable_baselines3 import PPO

        policy = PPO.load(path, device="cpu").policy
        self.body, self.out = policy.mlp_extractor.policy_net, policy.action_net

    def forward(self, observations: Tensor) -> Tensor:
        """Outputs (N, A) of observations (N, *O)."""
        out: Tensor = self.out(self.body(observations.flatten(1)))
        return out


def main() -> None:
    """Score the actor, go on with it, score it again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sb3", help="a file that model.save of stable-baselines3 wrote")
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--generations", type=int, default=100)
    options = parser.parse_args()
    actor = imitator() if options.sb3 is None else SB3Actor(options.sb3)
    settings = {"std_scale": 0.2, "target": 475, "generations": options.generations}  # close around what it can do
    result = tp.train(options.env, "snes", policy=actor, **settings)
    first, last = result.metrics[0]["search/center_score"], result.evaluation.mean
    print(f"the actor scores {first:.0f} at first, {last:.0f} at the end")


if __name__ == "__main__":
    main()
