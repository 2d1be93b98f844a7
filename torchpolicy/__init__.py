"""Deep policy search in PyTorch: evolve or train the weights of any module, in any Gymnasium environment."""

import torchpolicy.callbacks as callbacks
from torchpolicy.api import resume, train
from torchpolicy.checkpoint import CheckpointError
from torchpolicy.clipup import ClipUp
from torchpolicy.envs.tensor import TensorEnv
from torchpolicy.episodes import Episodes
from torchpolicy.evaluation import Evaluation
from torchpolicy.exporting import export
from torchpolicy.film import play, record
from torchpolicy.learn.base import Learner
from torchpolicy.learn.deepcem import DeepCEM
from torchpolicy.learn.reinforce import REINFORCE
from torchpolicy.members import population_forward
from torchpolicy.params import ParamVector
from torchpolicy.plan import RunError
from torchpolicy.plotting import plot
from torchpolicy.policies.base import Policy
from torchpolicy.policies.linear import LinearPolicy
from torchpolicy.policies.mlp import MLPPolicy
from torchpolicy.policies.residual import ResidualPolicy
from torchpolicy.result import Result
from torchpolicy.rollout import Rollout
from torchpolicy.search.ars import ARS
from torchpolicy.search.base import Search
from torchpolicy.search.cem import CEM
from torchpolicy.search.nes import NES
from torchpolicy.search.pgpe import PGPE
from torchpolicy.search.snes import SNES
from torchpolicy.search.xnes import XNES
from torchpolicy.settings import read_settings
from torchpolicy.tensor_rollout import TensorRollout
from torchpolicy.trained import evaluate, load
from torchpolicy.version import __version__

__all__ = [
    "ARS",
    "CEM",
    "NES",
    "PGPE",
    "REINFORCE",
    "SNES",
    "XNES",
    "CheckpointError",
    "ClipUp",
    "DeepCEM",
    "Episodes",
    "Evaluation",
    "Learner",
    "LinearPolicy",
    "MLPPolicy",
    "ParamVector",
    "Policy",
    "ResidualPolicy",
    "Result",
    "Rollout",
    "RunError",
    "Search",
    "TensorEnv",
    "TensorRollout",
    "__version__",
    "callbacks",
    "evaluate",
    "export",
    "load",
    "play",
    "plot",
    "population_forward",
    "read_settings",
    "record",
    "resume",
    "train",
]
