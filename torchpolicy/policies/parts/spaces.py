"""Gymnasium spaces as JSON values, and back."""

from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple


def space_to_json(space: Space[Any]) -> dict[str, Any]:
    """A space as plain values that JSON can hold.

    Raises:
        ValueError: If the space is of a kind that policies do not support.
    """
    if isinstance(space, Discrete):
        dtype = np.dtype(space.dtype).name
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": dtype}
    if isinstance(space, MultiDiscrete):
        dtype = np.dtype(space.dtype).name
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist(), "dtype": dtype}
    if isinstance(space, MultiBinary):
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    if isinstance(space, Box):
        return {
            "type": "Box",
            "low": _bound_to_json(space.low),
            "high": _bound_to_json(space.high),
            "shape": list(space.shape),
            "dtype": np.dtype(space.dtype).name,
        }
    if isinstance(space, Dict) and all(isinstance(key, str) for key in space):
        return {"type": "Dict", "spaces": [[key, space_to_json(part)] for key, part in space.items()]}
    if isinstance(space, Tuple):
        return {"type": "Tuple", "spaces": [space_to_json(part) for part in space]}
    raise ValueError(f"space {space} cannot be saved")


def space_from_json(description: dict[str, Any]) -> Space[Any]:
    """The space that :func:`space_to_json` turned into plain values.

    Raises:
        ValueError: If the kind of space is unknown.
    """
    kind = description.get("type")
    if kind == "Discrete":
        return Discrete(description["n"], start=description["start"], dtype=np.dtype(description["dtype"]).type)
    if kind == "MultiDiscrete":
        dtype = np.dtype(description["dtype"])
        return MultiDiscrete(np.array(description["nvec"]), dtype.type, start=np.array(description["start"]))
    if kind == "MultiBinary":
        return MultiBinary(description["n"])
    if kind == "Box":
        dtype = np.dtype(description["dtype"])
        read = dtype if np.issubdtype(dtype, np.integer) else np.dtype(float)
        low, high = (np.asarray(description[side], dtype=read).astype(dtype) for side in ("low", "high"))
        shape = tuple(description["shape"])
        return Box(np.broadcast_to(low, shape), np.broadcast_to(high, shape), shape, dtype.type)
    if kind == "Dict":
        return Dict([(key, space_from_json(part)) for key, part in description["spaces"]])
    if kind == "Tuple":
        return Tuple([space_from_json(part) for part in description["spaces"]])
    raise ValueError(f"unknown space {kind!r}")


def _bound_to_json(bound: np.ndarray[Any, Any]) -> Any:
    """Bounds as JSON values: a single value if all are equal; infinities as words, because JSON has none."""
    if bound.size and (bound == bound.flat[0]).all():
        bound = np.asarray(bound.flat[0])
    if np.isfinite(bound).all():
        return bound.tolist()
    return np.vectorize(str)(bound.astype(float)).tolist() if bound.ndim else str(float(bound))
