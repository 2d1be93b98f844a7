"""Deep policy search in PyTorch: evolve or train the weights of any module, in any Gymnasium environment."""

from torchpolicy import callbacks
from torchpolicy.api import resume, train
from torchpolicy.base.errors import CheckpointError, RunError
from torchpolicy.base.version import __version__
from torchpolicy.envs.tensor import TensorEnv
from torchpolicy.learn.base import Learner
from torchpolicy.learn.deepcem import DeepCEM
from torchpolicy.learn.reinforce import REINFORCE
from torchpolicy.many.seeds import SeedsError, train_seeds
from torchpolicy.many.sweep import Sweep, sweep
from torchpolicy.output.bars import plot_bars
from torchpolicy.output.comparison import compare
from torchpolicy.output.export import export
from torchpolicy.output.film import play, record
from torchpolicy.output.plots import plot
from torchpolicy.output.returns import plot_returns
from torchpolicy.output.table import read_runs
from torchpolicy.output.writers.base import Writer
from torchpolicy.policies.actor import Actor
from torchpolicy.policies.base import Policy
from torchpolicy.policies.conv import ConvPolicy
from torchpolicy.policies.linear import LinearPolicy
from torchpolicy.policies.mlp import MLPPolicy
from torchpolicy.policies.parts.cells import GRUCell, LSTMCell, RNNCell
from torchpolicy.policies.recurrent import RecurrentPolicy
from torchpolicy.policies.residual import ResidualPolicy
from torchpolicy.rollout.episodes import Episodes
from torchpolicy.rollout.evaluation import Evaluation
from torchpolicy.rollout.members import population_forward
from torchpolicy.rollout.slots import Rollout
from torchpolicy.rollout.tensor import TensorRollout
from torchpolicy.runs.config_file import read_settings
from torchpolicy.runs.landscape import landscape
from torchpolicy.runs.result import Result
from torchpolicy.runs.soften import soften
from torchpolicy.runs.trained import evaluate, load
from torchpolicy.search.ars import ARS
from torchpolicy.search.ask import Ask
from torchpolicy.search.base import Search
from torchpolicy.search.cem import CEM
from torchpolicy.search.cmaes import CMAES
from torchpolicy.search.nes import NES
from torchpolicy.search.pgpe import PGPE
from torchpolicy.search.restarts import Restarts
from torchpolicy.search.sepcma import SepCMA
from torchpolicy.search.snes import SNES
from torchpolicy.search.xnes import XNES
from torchpolicy.vectors.clipup import ClipUp
from torchpolicy.vectors.params import ParamVector

__all__ = [
    "ARS",
    "CEM",
    "CMAES",
    "NES",
    "PGPE",
    "REINFORCE",
    "SNES",
    "XNES",
    "Actor",
    "Ask",
    "CheckpointError",
    "ClipUp",
    "ConvPolicy",
    "DeepCEM",
    "Episodes",
    "Evaluation",
    "GRUCell",
    "LSTMCell",
    "Learner",
    "LinearPolicy",
    "MLPPolicy",
    "ParamVector",
    "Policy",
    "RNNCell",
    "RecurrentPolicy",
    "ResidualPolicy",
    "Restarts",
    "Result",
    "Rollout",
    "RunError",
    "Search",
    "SeedsError",
    "SepCMA",
    "Sweep",
    "TensorEnv",
    "TensorRollout",
    "Writer",
    "__version__",
    "callbacks",
    "compare",
    "evaluate",
    "export",
    "landscape",
    "load",
    "play",
    "plot",
    "plot_bars",
    "plot_returns",
    "population_forward",
    "read_runs",
    "read_settings",
    "record",
    "resume",
    "soften",
    "sweep",
    "train",
    "train_seeds",
]
