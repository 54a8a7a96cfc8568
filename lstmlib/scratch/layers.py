"""One layer over time, forwards and backwards."""

import numpy as np

from lstmlib.scratch.cells import Cell, State
from lstmlib.validation import check_ids


def layer_forward(
    cell: Cell, x: np.ndarray, state: State, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> tuple[tuple[np.ndarray, State], tuple]:
    """Run one layer over a batch of sequences.

    Args:
        cell: RNN, LSTM, CIFG, or one of your own.
        x: (N, T, D) floats, or (N, T) integers. An integer stands for a one-hot vector, whose
            product with Wx is one row of Wx.
        state: the state before the first step, arrays (N, H).
        Wx, Wh, b: (D, G·H), (H, G·H), (G·H,) floats.

    Returns:
        (h at every step (N, T, H), state after the last step), and a cache for `layer_backward`.
        The cache holds views of the output and of the weights, so neither may change before
        `layer_backward` is called.

    Raises:
        ValueError: shapes do not agree, there is no step, weights are no floats, or an integer is
            no row number of Wx.
    """
    _check_layer(cell, x, state, Wx, Wh, b)
    # The input's share of z depends on no state. So it is computed for all steps at once, by one
    # look-up or one large product: (T, N, G·H). The gates' matrices stand side by side in Wx and
    # Wh, since one product of width G·H costs less than G products of width H.
    # For ids, b is added to the V rows of Wx once; x.T (T, N) then picks a row for each id.
    z = (Wx + b)[x.T] if x.ndim == 2 else time_first(x) @ Wx + b
    # h before every step and after the last: (T + 1, N, H).
    # The dtype is float64 as soon as one of them is, so that no proof is rounded on its way.
    hs = np.empty((len(z) + 1, *state[0].shape), np.result_type(z, Wh, *state))
    hs[0] = state[0]  # (N, H)
    caches = []  # T of them: the values of each step that its backward pass needs
    for t in range(len(z)):  # one step after the other: step t needs the h of step t - 1
        state, cache = cell.forward(z[t] + state[0] @ Wh, state)  # z (N, G·H)
        hs[t + 1] = state[0]
        caches.append(cache)
    # A view with the batch first again, (N, T, H); the state is that of the last step.
    return (hs[1:].swapaxes(0, 1), state), (cell, x, hs, caches, Wx, Wh)


def layer_backward(
    dhs: np.ndarray, cache: tuple, dstate: State | None = None
) -> tuple[np.ndarray | None, State, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Send gradients back through one layer: back-propagation through time (Werbos 1990).

    Args:
        dhs: the gradient of every h, (N, T, H).
        cache: the cache that `layer_forward` returned.
        dstate: the gradient of the state after the last step, arrays (N, H); None stands for zeros.

    Returns:
        (dx, dstate, (dWx, dWh, db)): the gradients of x (N, T, D), of the state before the first
        step, and of the weights. dx is None if x was integers. The arguments are not changed.

    Raises:
        ValueError: dhs has not the shape of the output, or dstate not that of the state.
    """
    cell, x, hs, caches, Wx, Wh = cache
    dhs, T, H = dhs.swapaxes(0, 1), len(caches), len(Wh)  # dhs (T, N, H)
    if dhs.shape != hs[1:].shape:
        raise ValueError(
            f"dhs is {batch_first(dhs).shape}; the output was {batch_first(hs[1:]).shape}."
        )
    if dstate is None:
        dstate = (np.zeros_like(hs[0]),) * cell.states  # (N, H) each
    if [d.shape for d in dstate] != [hs[0].shape] * cell.states:
        raise ValueError(f"dstate must be {cell.states} arrays of {hs[0].shape}.")
    dz = np.empty((*dhs.shape[:2], cell.gates * H), hs.dtype)  # (T, N, G·H)
    # From the last step to the first, since a step needs what the one after it sends back.
    for t in reversed(range(T)):
        dh, *dc = dstate  # (N, H) each, from the steps after t; at the last step given or zero
        # h is used twice: by the layer above (dhs) and by the next step (dh). The gradients add.
        dz[t], dc = cell.backward((dh + dhs[t], *dc), caches[t])
        dstate = (dz[t] @ Wh.T, *dc)  # the gradient of the h before this step
    # The same weights act at every step, so their gradient is a sum over all N·T steps. A product
    # of two tall matrices is that sum: the loop above has no need to add up matrices.
    flat = dz.reshape(-1, cell.gates * H)  # (T·N, G·H)
    # hs[:-1] is the h before each step, which is what Wh was multiplied with.
    dWh = hs[:-1].reshape(-1, H).T @ flat  # (H, T·N) @ (T·N, G·H)
    if x.ndim == 2:
        # The product with one-hot rows sums the gradients of each id. np.add.at, and sorting the
        # ids first, were measured to be slower. An id is no number to move, so it has no gradient.
        # (V, T·N) @ (T·N, G·H). x.T, since the rows of flat are in the order of T, then N.
        dx, dWx = None, _one_hot(x.T.ravel(), len(Wx), hs.dtype).T @ flat
    else:
        # (T, N, G·H) @ (G·H, D), and (D, T·N) @ (T·N, G·H).
        dx, dWx = batch_first(dz @ Wx.T), time_first(x).reshape(-1, len(Wx)).T @ flat
    # b acts at all T·N steps too, so its gradient (G·H,) is their sum.
    return dx, dstate, (dWx, dWh, flat.sum(axis=0))


def time_first(x: np.ndarray) -> np.ndarray:
    """(N, T, …) -> (T, N, …), contiguous, so that one step is one block of memory."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


def batch_first(x: np.ndarray) -> np.ndarray:
    """(T, N, …) -> (N, T, …)."""
    return x.swapaxes(0, 1)


def _one_hot(ids: np.ndarray, size: int, dtype: np.dtype) -> np.ndarray:
    """Return a row for each id, with 1 in its column and 0 elsewhere: (K,) -> (K, size)."""
    rows = np.zeros((len(ids), size), dtype)  # (K, size)
    rows[np.arange(len(ids)), ids] = 1  # one pair (row, column) for each id
    return rows


def _check_layer(
    cell: Cell, x: np.ndarray, state: State, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> None:
    """Raise ValueError where shapes or dtypes do not fit.

    NumPy's own message would be less clear. Where shapes can be broadcast, NumPy would not raise.
    """
    H = len(Wh)
    # An RNN's Wh is square, so there a transposed one cannot be told from a right one.
    if Wh.shape == (cell.gates * Wh.shape[-1], Wh.shape[-1]) and cell.gates > 1:
        raise ValueError(f"Wh is {Wh.shape}: transposed, as PyTorch keeps it. Give Wh.T and Wx.T.")
    for name, w, shape in (  # an array, and the shape that H and G ask for
        ("Wh", Wh, (H, cell.gates * H)),
        ("Wx", Wx, (len(Wx), cell.gates * H)),
        ("b", b, (cell.gates * H,)),
    ):
        if w.shape != shape:
            raise ValueError(f"{name} is {w.shape}; with {H} units, {cell.name} needs {shape}.")
        if w.dtype.kind not in "fc":  # complex: see `complex_gradient`
            raise ValueError(f"{name} has dtype {w.dtype}; weights must be floats.")
    if x.ndim != (2 if x.dtype.kind in "iu" else 3):
        raise ValueError(f"x is {x.dtype} {x.shape}; give integers (N, T) or floats (N, T, D).")
    if x.shape[0] < 1 or x.shape[1] < 1:
        raise ValueError(f"x is {x.shape}; it needs at least one sequence of at least one step.")
    if x.ndim == 3 and x.shape[2] != len(Wx):
        raise ValueError(f"x is {x.shape}, but Wx takes {len(Wx)} inputs.")
    if x.ndim == 2:
        check_ids("x", x, len(Wx))  # NumPy would take -1 for the last row
    shapes = [array.shape for array in state]
    if shapes != [(len(x), H)] * cell.states:
        raise ValueError(f"state is {shapes}; {cell.name} needs {[(len(x), H)] * cell.states}.")
