import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, Tuple

from torchpolicy.policies.parts.heads import Categorical, Gaussian, make_head


def test_greedy_takes_the_largest_logit() -> None:
    head = Categorical(Discrete(3, start=5))
    assert head(torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])).tolist() == [6, 5]


def test_sampling_follows_the_softmax() -> None:
    head = Categorical(Discrete(3, start=-1))
    output = torch.tensor([0.0, 1.0, -0.5])
    noise = head.draw_noise(200_000, torch.Generator().manual_seed(0))
    actions = head(output.expand(len(noise), 3), noise)
    shares = [(actions == action).float().mean().item() for action in (-1, 0, 1)]
    assert shares == pytest.approx(output.softmax(0).tolist(), abs=0.005)


def test_sampling_never_leaves_the_space() -> None:
    head = Categorical(Discrete(2))
    output = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    for noise in (0.0, 1 - 2**-24):
        assert head(output, torch.full((2, 1), noise)).tolist() == [0, 1]


def test_bounds_are_reached_and_kept() -> None:
    space = Box(np.array([-1, 0, -np.inf, -np.inf], np.float32), np.array([3, np.inf, 5, np.inf], np.float32))
    head = Gaussian(space)
    assert head(torch.zeros(4)).tolist() == pytest.approx([1, np.log(2), 5 - np.log(2), 0])
    assert head(torch.full((4,), 50.0)).tolist() == [3, 50, -45, 50]
    assert head(torch.full((4,), -50.0)).tolist() == pytest.approx([-1, 0, 5, -50])
    for u in torch.linspace(-30, 30, 200):
        assert space.contains(head(u.expand(4)).numpy())


def test_the_action_has_the_spaces_shape_and_dtype() -> None:
    space = Box(-1, 1, (2, 3), np.float64)
    action = make_head(space)(torch.randn(7, 6))
    assert action.shape == (7, 2, 3)
    assert action.dtype is torch.float64
    assert make_head(Box(-1, 1, (), np.float32))(torch.randn(7, 1)).shape == (7,)


def test_log_probabilities_and_entropies_are_those_of_torch_distributions() -> None:
    output = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    head = Categorical(Discrete(3, start=5))
    choices = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    theirs = torch.distributions.Categorical(logits=output)
    torch.testing.assert_close(head.log_prob(output, choices), theirs.log_prob(choices))
    torch.testing.assert_close(head.entropy(output), theirs.entropy())
    gaussian = Gaussian(Box(-1, 1, (3,), np.float32))
    with torch.no_grad():
        gaussian.log_std.copy_(torch.tensor([-1.0, 0.0, 0.5]))
    normal = torch.distributions.Normal(output, gaussian.log_std.exp())
    around = output + torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(gaussian.log_prob(output, around), normal.log_prob(around).sum(-1))
    torch.testing.assert_close(gaussian.entropy(output), normal.entropy().sum(-1))


def test_gaussian_choices_are_drawn_around_the_output_and_then_squashed() -> None:
    head = Gaussian(Box(np.array([-1, -3], np.float32), np.array([1, 5], np.float32)))
    with torch.no_grad():
        head.log_std.copy_(torch.tensor([0.5, 2.0]).log())
        output = torch.tensor([0.3, -1.0]).expand(200_000, 2)
        choices = head.choose(output, head.draw_noise(len(output), torch.Generator().manual_seed(0)))
    assert choices.mean(0).tolist() == pytest.approx([0.3, -1], abs=0.02)
    assert choices.std(0).tolist() == pytest.approx([0.5, 2], abs=0.02)
    torch.testing.assert_close(head.to_actions(choices), choices.tanh() * torch.tensor([1, 4]) + torch.tensor([0, 1]))
    assert torch.equal(head.choose(output), output)


def test_the_spread_is_fitted_with_weights() -> None:
    head = Gaussian(Box(-1, 1, (2,), np.float32))
    output, choices = torch.zeros(3, 2), torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 0.0]])
    head.fit_spread(output, choices, torch.tensor([0.5, 0.25, 0.25]), extra=0.25, floor=0.7)
    assert head.log_std.exp().tolist() == pytest.approx([(0.5 + 9 / 4 + 0.25) ** 0.5, 0.7])


@pytest.mark.parametrize("space", [Tuple([Discrete(2)]), Box(0, 5, (2,), np.int32)])
def test_other_spaces_are_refused_by_name(space: object) -> None:
    with pytest.raises(ValueError, match=r"action space (Tuple|Box).* is not supported"):
        make_head(space)  # type: ignore[arg-type]
