"""What a learner learns from: weighted steps, and the policy's outputs along them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.state import detached
from torchpolicy.rollout.episodes import Episodes


@dataclass(frozen=True, eq=False)
class Lesson:
    """M steps, each with the weight of its log-probability.

    Attributes:
        observations: (M, *O).
        choices: (M, *choice_shape).
        weights: (M,).
        lengths: (N,) int64, the steps of the whole episodes that these are, one episode after the other. None for
            steps in any order, as a policy that does not remember can learn from.
        before: (M,), the log-probabilities of the choices before anything was learned from them; None where only the
            present ones matter.
    """

    observations: Tensor
    choices: Tensor
    weights: Tensor
    lengths: Tensor | None
    before: Tensor | None = None

    @classmethod
    def of(cls, policy: Policy, episodes: Episodes, weights: Tensor) -> "Lesson":
        """The steps of episodes with weights (M,), on the policy's device."""
        seen, chosen, weighed = (x.to(policy.device) for x in (episodes.observations, episodes.choices, weights))
        return cls(seen, chosen, weighed, episodes.lengths if policy.recurrent else None)

    def __len__(self) -> int:
        return len(self.weights)

    def without_idle_steps(self) -> "Lesson":
        """The steps whose weight is not 0; all of them where they are whole episodes."""
        return self if self.lengths is not None else self.some((self.weights > 0).nonzero().flatten())

    def shuffled(self, size: int, generator: torch.Generator) -> list["Lesson"]:
        """Minibatches of about `size` steps, or of whole episodes with about so many, in random order."""
        units = len(self) if self.lengths is None else len(self.lengths)
        order = torch.randperm(units, generator=generator)
        return [self.some(batch) for batch in order.tensor_split(min(units, -(-len(self) // size)))]

    def parts(self, most: int) -> Iterator["Lesson"]:
        """The lesson in parts of at most `most` steps, or of one episode where that is longer."""
        if self.lengths is None:
            yield from (self.some(part) for part in torch.split(torch.arange(len(self)), most))
            return
        begin, longest = 0, 0
        for end, length in enumerate(self.lengths.tolist()):
            longest = max(longest, length)
            if end > begin and longest * (end + 1 - begin) > most:  # episodes are padded to the longest
                yield self.some(torch.arange(begin, end))
                begin, longest = end, length
        yield self.some(torch.arange(begin, len(self.lengths)))

    def some(self, units: Tensor) -> "Lesson":
        """Some steps (n,), or some episodes (n,) where they are whole."""
        steps, lengths = units, None
        if self.lengths is not None:
            lengths, begins = self.lengths[units], self.lengths.cumsum(0) - self.lengths
            steps = begins[units].repeat_interleave(lengths) + _times(lengths)
        steps = steps.to(self.weights.device)
        before = None if self.before is None else self.before[steps]
        return Lesson(self.observations[steps], self.choices[steps], self.weights[steps], lengths, before)

    def outputs(self, policy: Policy, bptt_steps: int | None) -> Tensor:
        """The policy's outputs (M, head.input_size); a recurrent one goes through all episodes side by side.

        Args:
            policy: The policy.
            bptt_steps: Steps through which gradients flow back; None for all of an episode.
        """
        if self.lengths is None:
            return policy(self.observations)  # type: ignore[no-any-return]
        count, steps = len(self.lengths), int(self.lengths.max())
        owners, times = torch.arange(count).repeat_interleave(self.lengths), _times(self.lengths)
        begins = self.lengths.cumsum(0) - self.lengths
        last = torch.minimum(
            torch.arange(steps).unsqueeze(1), self.lengths - 1
        )  # an episode that is over repeats itself
        padded = policy.encode(self.observations)[begins + last]  # (T, N, *input_shape)
        state, outputs = policy.initial_state(count), []
        for t in range(steps):
            if bptt_steps and t % bptt_steps == 0:
                state = detached(state)
            output, state = policy.net(padded[t], state)
            outputs.append(output)
        return torch.stack(outputs)[times, owners]


def _times(lengths: Tensor) -> Tensor:
    """(M,), the steps since the beginning of each episode, for episodes of lengths (N,)."""
    begins = lengths.cumsum(0) - lengths
    return torch.arange(int(lengths.sum())) - begins.repeat_interleave(lengths)
