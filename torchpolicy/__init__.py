"""Deep policy search in PyTorch: evolve or train the weights of any module, in any Gymnasium environment."""

from torchpolicy.api import Result, evaluate, load, resume, train
from torchpolicy.checkpoint import CheckpointError
from torchpolicy.evaluation import Evaluation
from torchpolicy.params import ParamVector
from torchpolicy.policies.base import Policy
from torchpolicy.policies.linear import LinearPolicy
from torchpolicy.policies.mlp import MLPPolicy
from torchpolicy.population import population_forward
from torchpolicy.rollout import Rollout
from torchpolicy.search.base import Search
from torchpolicy.search.cem import CEM
from torchpolicy.trainer import RunError
from torchpolicy.version import __version__

__all__ = [
    "CEM",
    "CheckpointError",
    "Evaluation",
    "LinearPolicy",
    "MLPPolicy",
    "ParamVector",
    "Policy",
    "Result",
    "Rollout",
    "RunError",
    "Search",
    "__version__",
    "evaluate",
    "load",
    "population_forward",
    "resume",
    "train",
]
