"""Callbacks by their public name: what a user may do along the way of a run."""

from torchpolicy.training.callbacks import (
    Callback,
    Evaluate,
    KeepPolicies,
    Render,
    Run,
    StopAfter,
    StopOnPlateau,
    StopOnReturn,
)
from torchpolicy.training.generation import Generation

__all__ = [
    "Callback",
    "Evaluate",
    "Generation",
    "KeepPolicies",
    "Render",
    "Run",
    "StopAfter",
    "StopOnPlateau",
    "StopOnReturn",
]
