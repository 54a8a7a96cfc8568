"""What a student's function does beside its result: what it leaves changed, and what it keeps."""

import inspect
import random
import traceback
from collections.abc import Callable
from types import TracebackType

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

REPEATED = 4
"""So many of the first calls of an answer are made once more in the end."""

_SEED = 5_206_381
"""Given to PyTorch's generator while an answer is checked; a student's seed is another one."""

_WRITTEN = (list, dict, np.ndarray, torch.Tensor)
"""What can be written into."""

_PLAIN = (int, float, complex, str, bytes, type(None), np.generic)

_LEFT = (
    (
        torch.is_grad_enabled,
        torch.set_grad_enabled,
        "your function switches gradients off, or on, for all that comes after it: write `with "
        "torch.no_grad():`, which ends with its block.",
    ),
    (
        torch.get_default_dtype,
        torch.set_default_dtype,
        "your function changes PyTorch's default dtype for all that comes after it: give `dtype=` "
        "where you need another one.",
    ),
    (
        torch.is_anomaly_enabled,
        torch.set_anomaly_enabled,
        "your function switches PyTorch's anomaly mode on, or off, for all that comes after it: "
        "write `with torch.autograd.detect_anomaly():`, which ends with its block.",
    ),
    (
        np.geterr,
        lambda errors: np.seterr(**errors),
        "your function changes what NumPy does at an overflow for all that comes after it: write "
        "`with np.errstate(…):`, which ends with its block.",
    ),
    (
        np.get_printoptions,
        lambda options: np.set_printoptions(**options),
        "your function changes how NumPy prints for all that comes after it: write `with "
        "np.printoptions(…):`, which ends with its block.",
    ),
)
"""Settings that a call must leave as they are: how to get and how to set each, what to say."""


class Watch:
    """All calls of an answer in one check, and what they left behind.

    As a context it gives every check the same start (gradients on, float32, a seed), and puts the
    settings and the random numbers of the notebook back at the end.
    """

    def __init__(self) -> None:
        self.slips: list[str] = []
        self.given: tuple = ()
        self.returned: object = None
        self._calls: list[tuple] = []

    def __enter__(self) -> "Watch":
        self._settings = [get() for get, _, _ in _LEFT]
        self._random = torch.get_rng_state(), np.random.get_state(), random.getstate()
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        torch.default_generator.manual_seed(_SEED)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        drawn = np.random.get_state(), random.getstate()
        if torch.initial_seed() != _SEED:
            self.slips.append(
                "right, but your function seeds PyTorch's generator, and so the random numbers of "
                "the whole notebook: take a `torch.Generator` of its own, or no seed at all."
            )
        if not (_same(drawn[0], self._random[1]) and drawn[1] == self._random[2]):
            self.slips.append(
                "right, but your function seeds the generator of the whole notebook (np.random or "
                "random), or draws from it: take one of its own, `np.random.default_rng(0)`."
            )
        torch.set_rng_state(self._random[0])
        np.random.set_state(self._random[1])
        random.setstate(self._random[2])
        for (_, put, _), value in zip(_LEFT, self._settings, strict=True):
            put(value)

    def call(self, function: Callable, *arguments: object, any_mode: bool = False) -> object:
        """Call an answer, put back what it left changed, and note that.

        Args:
            function: the answer.
            *arguments: what it is called with.
            any_mode: a network may be left in training or in evaluation mode.
        """
        self.given = arguments
        kept = _copied(arguments) if len(self._calls) < REPEATED else None
        parts = [part for each in arguments if isinstance(each, nn.Module) for part in _parts(each)]
        modes, settings = [part.training for part in parts], [get() for get, _, _ in _LEFT]
        lasting = _lasting(arguments)
        try:
            self.returned = result = _run(function, arguments)
        finally:
            for (get, put, slip), value in zip(_LEFT, settings, strict=True):
                if get() != value:
                    put(value)
                    self.slips.append(f"right, but {slip}")
            if not any_mode and modes != [part.training for part in parts]:
                for part, mode in zip(parts, modes, strict=True):
                    part.training = mode
                self.slips.append(
                    f"right, but the network comes in {'training' if modes[0] else 'evaluation'} "
                    "mode, and your function leaves it in the other: put it back."
                )
        if _lasting(arguments) != lasting:
            self.slips.append(
                "right, but your function changes the network for good: what of it learns, its "
                "dropout, its type, or what hangs on it."
            )
        if kept is not None:
            noted = _copied((result,))
            if noted is not None:
                self._calls.append((function, kept, result, noted))
        return result

    def differs(self) -> str | None:
        """Say whether an answer gives another result when it is called with the same once more."""
        for function, arguments, first, (result,) in self._calls:
            # Twice in a row: what is kept for one shape may be made anew for each other.
            returned = [first]
            for given in (_copied(arguments), arguments):
                try:
                    again = _run(function, given)
                except Exception as error:
                    again = error
                if not _same(again, result):
                    return (
                        "right at the first call, but a second one with the same arguments gives "
                        "something else: your function keeps something between its calls (a global "
                        "name, a default argument that it changes), or it draws. Make all that it "
                        "needs inside."
                    )
                if arguments and any(_is_kept(again, each) for each in returned):
                    return (
                        "right, but every call returns the same object, so the next call "
                        "overwrites what the caller has kept: make a new one inside the function."
                    )
                returned.append(again)
        return None


def _lasting(arguments: tuple) -> list:
    """Return what no caller wants changed: what learns, types, how much dropout, attributes."""
    networks = [each for each in arguments if isinstance(each, nn.Module)]
    parts = [part for network in networks for part in network.modules()]
    drops = [getattr(part, "p", getattr(part, "dropout", None)) for part in parts]
    weights = [weight for network in networks for weight in network.parameters()]
    # Of an RNN `dropout` is a number; of CharRNN it is a part, which is listed itself.
    return [
        *((weight.requires_grad, weight.dtype) for weight in weights),
        *(drop for drop in drops if isinstance(drop, int | float)),
        *(sorted(vars(part)) for part in parts),
    ]


def _is_kept(again: object, first: object) -> bool:
    """Say whether two results, or parts of them, are one object or stand in one place in memory."""
    if isinstance(first, tuple) or (isinstance(first, list) and again is not first):
        return isinstance(again, list | tuple) and any(map(_is_kept, again, first))
    if isinstance(first, np.ndarray) and isinstance(again, np.ndarray):
        return np.shares_memory(again, first)
    if torch.is_tensor(first) and torch.is_tensor(again) and first.numel():
        return again.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
    return again is first and isinstance(first, _WRITTEN)


def of_answer(error: BaseException) -> bool:
    """Say whether an error was raised while an answer ran, and not by the check that reads it."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is _run.__code__ for frame, _ in frames)


def described(value: object) -> str:
    """Say in a few words what a student returned, such as "an array (2, 3)"."""
    if isinstance(value, np.ndarray | torch.Tensor):
        kind = "an array" if isinstance(value, np.ndarray) else "a tensor"
        # Of numbers the shape says most; of what is none, the type.
        odd = getattr(value.dtype, "kind", "f") not in "biufc"
        return f"{kind} {tuple(value.shape)}" + f" of type {value.dtype}" * odd
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    short = words_of(value, repr)
    return short if 0 < len(short) <= 30 else f"a {type(value).__name__}"


def words_of(value: object, say: Callable[[object], str] = str) -> str:
    """Return what a student's object says of itself; nothing if that stops."""
    try:
        return say(value)
    except Exception:
        return ""


def _run(function: Callable, arguments: tuple) -> object:
    """Call an answer; `of_answer` looks for this frame.

    An iteration that ended inside the answer must not end one of the check's own.
    """
    try:
        return function(*arguments)
    except (StopIteration, GeneratorExit) as error:
        kind = type(error).__name__
        raise RuntimeError(f"{kind}, such as `next` raises where nothing is left") from error


def _parts(network: nn.Module) -> list[nn.Module]:
    return list(network.modules())


def _copied(value: object) -> object:
    """Return a copy of numbers, texts, arrays, tensors, and lists and dictionaries of them.

    None stands for a value with anything else in it, such as a function or a network.
    """
    try:
        return _copy(value)
    except TypeError:
        return None


def _copy(value: object) -> object:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.ndarray):
        return value.copy()
    if torch.is_tensor(value):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if type(value) in (list, tuple):
        return type(value)(map(_copy, value))
    if type(value) is dict:
        return {key: _copy(each) for key, each in value.items()}
    raise TypeError(type(value).__name__)


def _same(a: object, b: object) -> bool:
    """Say whether two results are equal, but for the rounding of floats."""
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(_same(a[k], b[k]) for k in b)
    if torch.is_tensor(a) and torch.is_tensor(b):
        a, b = (part.detach().cpu().double().numpy() for part in (a, b))
    if isinstance(b, float | complex | np.ndarray | np.generic) and type(a) is type(b):
        both = np.shape(a) == np.shape(b) and np.asarray(b).dtype.kind in "biufc"
        return bool(both and np.allclose(a, b, rtol=1e-6, atol=1e-12, equal_nan=True)) or (
            not both and np.array_equal(a, b)
        )
    return type(a) is type(b) and bool(a == b)


INFERENCE = "what `torch.inference_mode` makes can take part in no `backward`: detach instead."
TO_THE_PROCESSOR = (
    "right on a processor; but from a GPU your function takes h and c to the processor, and the "
    "network stays on the GPU: `detach` them where they are."
)


def moves_to_processor(answer: Callable, *arguments: object) -> bool:
    """Say whether what an answer returns, or computes with, is taken from "meta" to the processor.

    A tensor there has no numbers, and PyTorch refuses to copy them: who only looks at some is given
    zeros. What else goes wrong there says nothing; nor does a move to a device that the notebook
    has a name for, which is the GPU where there is one.
    """
    if _names_a_device(answer):
        return False
    try:
        with _Zeros():
            result = answer(*arguments)
    except Exception as error:
        return "expected device meta" in str(error)
    parts = result if isinstance(result, list | tuple) else (result,)
    return any(isinstance(part, np.ndarray) or _on_processor(part) for part in parts)


def _names_a_device(answer: Callable) -> bool:
    """Say whether a function uses a device of the notebook's, itself or in a loop inside."""
    if not inspect.isfunction(answer):
        return False
    codes, names = [answer.__code__], set()
    while codes:
        code = codes.pop()
        names |= {*code.co_names, *code.co_freevars}
        codes += filter(inspect.iscode, code.co_consts)
    known = answer.__globals__ | inspect.getclosurevars(answer).nonlocals
    return any(isinstance(known.get(name), torch.device) for name in names)


def _on_processor(part: object) -> bool:
    return torch.is_tensor(part) and part.device.type == "cpu"


class _Zeros(TorchFunctionMode):
    """Where numbers of a tensor on "meta" are asked for, those of zeros on the processor come."""

    def __torch_function__(
        self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        try:
            return function(*args, **(kwargs or {}))
        except (NotImplementedError, RuntimeError, TypeError) as error:
            if "meta" not in str(error) or "expected device meta" in str(error):
                raise
            stand_ins = [
                torch.zeros(a.shape, dtype=a.dtype) if torch.is_tensor(a) and a.is_meta else a
                for a in args
            ]
            return function(*stand_ins, **(kwargs or {}))
