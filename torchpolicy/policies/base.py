"""The policy: a network between an encoder of observations and a head that turns its output into actions."""

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import Space
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from torchpolicy.base.checks import check_seed
from torchpolicy.base.errors import CodeError
from torchpolicy.base.seeding import Stream, derive_seed
from torchpolicy.base.user_code import STOPS, in_a_line
from torchpolicy.policies.parts.encoders import COLLECTIONS, make_encoder
from torchpolicy.policies.parts.heads import make_head
from torchpolicy.policies.parts.normalizer import Normalizer
from torchpolicy.policies.parts.pipeline import Pipeline
from torchpolicy.policies.parts.state import State, check_given, check_state, first_state, is_recurrent


class Policy(nn.Module):
    """A network with an encoder of observations before it and a head for actions after it.

    Example::

        net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
        policy = Policy(net, env.observation_space, env.action_space)
        action = policy.act(obs)

    Args:
        net: Any module that maps (N, *input_shape) to (N, head.input_size). Its input is the observation in the dtype
            of the network's parameters: a Box unchanged, an image scaled to [0, 1], Discrete and MultiDiscrete as
            one-hot vectors, a Dict or Tuple as one vector of all its parts. Its output is one logit per action for
            Discrete, one number per action dimension for Box, the logits of each number in turn for MultiDiscrete,
            and one logit per bit for MultiBinary. A module that remembers has a method ``initial_state()``, which
            returns the state with which an episode begins: a tensor, or a tuple or dictionary of tensors. Its
            ``forward(inputs, state)`` returns (outputs, state), where each tensor of the state has N rows of that form.
        observation_space: Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of these.
        action_space: Discrete, MultiDiscrete, MultiBinary, or Box of floats.

    Attributes:
        net: The module that was given. A search moves its weights, ``ParamVector(policy.net)``, and no others.
        normalizer: Normalises the encoded observations before they reach the net. None by default; a run with
            ``normalize_observations`` puts one in and keeps it up to date.
        settings: Plain values from which the same kind of policy can be built again. None if the policy was built
            around the user's own module.

    Raises:
        ValueError: If a space is not supported, or the module does not fit the spaces.
    """

    settings: dict[str, Any] | None = None

    def __init__(self, net: nn.Module, observation_space: Space[Any], action_space: Space[Any]) -> None:
        super().__init__()
        if not isinstance(net, nn.Module):
            raise ValueError(f"net must be a torch module, got {type(net).__name__}")
        if any(map(is_lazy, (*net.parameters(), *net.buffers()))):
            raise ValueError(
                f"{type(net).__name__} has lazy layers, whose weights would come from torch's global generator and "
                f"differ each time: seed that generator and call the module once, on zeros of shape "
                f"{(1, *make_encoder(observation_space).input_shape)}, before you pass it"
            )
        self.observation_space = observation_space
        self.action_space = action_space
        self.net = net
        self.encoder = make_encoder(observation_space).to(self.device)
        self.head = make_head(action_space, self.dtype).to(self.device)
        self.normalizer: Normalizer | None = None
        self._check_fit()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the network's parameters, which is also that of its input."""
        return next((p.dtype for p in self.net.parameters() if p.is_floating_point()), torch.get_default_dtype())

    @property
    def device(self) -> torch.device:
        """The device of the network's parameters."""
        return next((p.device for p in self.net.parameters()), torch.device("cpu"))

    @property
    def recurrent(self) -> bool:
        """True if the network remembers: :meth:`act` and calls then take and return a state."""
        return is_recurrent(self.net)

    def initial_state(self, *batch: int) -> State:
        """The state (*batch, …) with which episodes begin; None for a policy that does not remember."""
        return first_state(self.net, *batch) if self.recurrent else None

    @property
    def observation_dtype(self) -> torch.dtype:
        """The dtype that observations are kept in: integers where the space has such, else the network's dtype."""
        return self.encoder.observation_dtype or self.dtype

    @property
    def pipeline(self) -> Pipeline:
        """Encoder, network and head as they are now, one after the other."""
        return Pipeline(self.encoder, self.net, self.head, self.dtype)

    def encode(self, observations: Tensor) -> Tensor:
        """The network's input (*B, *input_shape) for observations (*B, *O) that ``encoder.pack`` has prepared."""
        inputs = self.pipeline.encode(observations)
        return inputs if self.normalizer is None else self.normalizer(inputs)

    def forward(self, observations: Tensor, state: State = None) -> Any:
        """The network's output (*B, head.input_size) for observations (*B, *O).

        A recurrent network takes a batch (N, *O) and a state (N, …), or None for that with which episodes begin; the
        result is then the output and the next state.
        """
        pipeline, shape = self.pipeline, self.encoder.input_shape
        inputs = pipeline.encode(observations)
        batch = inputs.shape[: inputs.ndim - len(shape)]
        inputs = inputs.reshape(-1, *shape)
        if self.recurrent:
            inputs = inputs if self.normalizer is None else self.normalizer(inputs)
            first = self.initial_state(len(inputs))
            if state is not None:
                check_given(type(self.net).__name__, first, state)
            return self.net(inputs, first if state is None else state)
        output = pipeline.output(inputs, self.normalizer)
        return output.reshape(*batch, *output.shape[1:])

    def normalize(self) -> None:
        """Put a normaliser of observations before the net, unless there is one already.

        Raises:
            ValueError: If the network's input consists of one-hot vectors or bits only.
        """
        if self.encoder.one_hot:
            raise ValueError(f"observations in {self.observation_space} come one-hot: there is nothing to normalise")
        if self.normalizer is None:
            self.normalizer = Normalizer(self.encoder.input_shape).to(self.device)

    @torch.no_grad()
    def act(self, obs: Any, state: State = None, *, generator: torch.Generator | None = None) -> Any:
        """Choose the action for one observation (*O), or the actions for a batch (N, *O).

        A recurrent policy returns the action and the next state, ``action, state = policy.act(obs, state)``.

        Args:
            obs: A tensor, or anything that NumPy can turn into an array. If the space is a Dict or Tuple, a
                dictionary or tuple of these.
            state: What a recurrent policy returned at the step before; None at the first step of an episode.
            generator: The random generator from which sampled actions are drawn. None chooses greedily.

        Returns:
            Actions that ``env.step`` accepts: a tensor for a tensor, and a NumPy value for everything else.

        Raises:
            ValueError: If the observation does not have the shape of its space, or the policy has no state.
        """
        is_tensor = _holds_tensors(obs)
        observations = self.encoder.pack(obs)
        shape = self.encoder.observation_shape
        single = observations.shape == shape
        batch = observations.reshape(-1, *shape).to(self.device)
        noise = None
        if generator is not None:
            noise = self.head.draw_noise(len(batch), generator).to(self.device)
        if self.recurrent:
            output, state = self(batch, state)
        elif state is None:
            output = self(batch)
        else:
            raise ValueError(f"{type(self.net).__name__} has no state: it has no initial_state()")
        actions = self.head(output, noise)
        if single:
            actions = actions[0]
        if not is_tensor:
            actions = actions.numpy(force=True).astype(self.action_space.dtype, copy=False)[()]
        return (actions, state) if self.recurrent else actions

    @torch.no_grad()
    def _check_fit(self) -> None:
        """Call the network once on zeros, in eval mode, so that a misfit is found before any work is done."""
        kind, shape = type(self.net).__name__, self.encoder.input_shape
        if self.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{kind} is {self.dtype}: float32 and float64 networks are supported")
        modes = {module: module.training for module in self.net.modules()}
        buffers = {name: buffer.clone() for name, buffer in self.net.named_buffers()}
        self.net.eval()
        state = self.initial_state(1)
        try:
            inputs = torch.zeros(1, *shape, dtype=self.dtype, device=self.device)
            answer = self.net(inputs, state) if self.recurrent else self.net(inputs)
        except STOPS:
            raise
        except BaseException as error:
            raise CodeError(
                f"{kind} does not take a batch of observations of shape {shape} from {self.observation_space}: "
                f"{in_a_line(error)}"
            ) from error
        finally:
            for module, training in modes.items():
                module.training = training
        changed = [name for name, buffer in self.net.named_buffers() if not torch.equal(buffer, buffers[name])]
        if changed:
            raise ValueError(
                f"{kind} writes its buffer {changed[0]!r} in forward, even in eval mode: an episode would depend on "
                "those before it"
            )
        output = _checked_output(self.net, answer, state)
        wanted, found = (1, self.head.input_size), tuple(getattr(output, "shape", ()))
        if found != wanted:
            raise ValueError(
                f"{kind} should turn an observation of shape {(1, *shape)} into an output of shape {wanted} "
                f"for {self.action_space}, got {found}"
            )


def _holds_tensors(observation: Any) -> bool:
    if isinstance(observation, COLLECTIONS):
        parts = observation.values() if isinstance(observation, Mapping) else observation
        return any(_holds_tensors(part) for part in parts)
    return isinstance(observation, Tensor)


def _checked_output(net: nn.Module, answer: Any, state: State) -> Any:
    """The output in what a network returned for a state, or for None where it has none.

    Raises:
        ValueError: If the network returned a state that it should not have, or not one that it should.
    """
    kind = type(net).__name__
    if state is None:
        forgets = isinstance(net, nn.RNNCellBase)
        if forgets or isinstance(answer, tuple):
            raise ValueError(
                f"{kind} {'would forget at every step' if forgets else 'returns a tuple'}: a module that remembers "
                "has a method initial_state(), and its forward(inputs, state) returns (outputs, state). "
                "torchpolicy.RecurrentPolicy has a GRU, an LSTM and an RNN"
            )
        return answer
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise ValueError(f"{kind} has initial_state(), so its forward should return (outputs, state), got {answer!r}")
    check_state(kind, state, answer[1], finite=False)  # the observation is made up
    return answer[0]


def policy_generator(seed: int) -> torch.Generator:
    """The random generator that a policy's initial weights are drawn from."""
    return torch.Generator().manual_seed(derive_seed(check_seed(seed), Stream.POLICY))
