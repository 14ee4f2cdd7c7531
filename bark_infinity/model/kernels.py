"""Loops compiled by Numba. Importing this compiles them, or reads them from Numba's cache; it takes up to some seconds.

Each is a C function of one pointer, to the addresses and sizes of its arrays as 64-bit integers; the first of these is the
address of two counters, zero at the start. Every thread runs the same function: it takes a number from the second counter,
which is its place in the scratch memory, and items of work from the first one until none are left.

A loop adds in an order that depends on nothing but its own item, so that results do not depend on threads or neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

HEAD_WIDTH = 64  # of both published models; as a constant it lets the compiler unroll the inner loops
_SCALE = np.float32(HEAD_WIDTH**-0.5)
_ZERO, _ONE, _LEAST = np.float32(0), np.float32(1), np.float32(-3e38)


def _compiled(function: Callable[..., None]) -> Any:
    """The function compiled, and kept on disk for the next process where Numba finds a folder to write to."""
    signature, options = "void(CPointer(int64))", {"fastmath": True, "error_model": "numpy"}
    try:
        return cfunc(signature, cache=True, **options)(function)
    except RuntimeError:  # no such folder
        return cfunc(signature, **options)(function)


# ---- addresses, counters, bits --------------------------------------------------------------------------------------


def _pointer_to(element: types.Type) -> Any:
    """A function that makes a pointer to such elements of an address."""

    @intrinsic
    def pointer(_: Any, address: types.Type) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.int64), generate

    return pointer


_int64s, _float32s, _uint16s = (_pointer_to(element) for element in (types.int64, types.float32, types.uint16))


@intrinsic
def _take(_: Any, counter: types.Type) -> Any:
    """The counter's number, which becomes one larger; no other thread gets the same."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", arguments[0], ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(types.CPointer(types.int64)), generate


@intrinsic
def _float_of_bits(_: Any, bits: types.Type) -> Any:
    return types.float32(types.uint32), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], ir.FloatType()
    )


@intrinsic
def _bits_of_float(_: Any, number: types.Type) -> Any:
    return types.uint32(types.float32), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], ir.IntType(32)
    )


@intrinsic
def _widened(_: Any, number: types.Type) -> Any:
    """float32 of a bfloat16, which is the upper half of its bits; a float32 as it is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if signature.args[0] == types.float32:
            return arguments[0]
        bits = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(bits, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return types.float32(number), generate


@njit(inline="always")
def _bfloat16(number: float) -> int:
    """The nearest bfloat16, the even one of two that are as near. Not for NaN."""
    bits = _bits_of_float(number)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@njit(inline="always")
def _exp(x: float) -> float:
    """e**x for x <= 0, within 2e-7 of its value; 0 for what is too small for a float32.

    The compiler can vectorise it, unlike a call of the C library. Cody and Waite's reduction to a power of two and a rest in
    (-ln 2 / 2, ln 2 / 2), whose Taylor series is summed.
    """
    x = max(x, np.float32(-87))
    power = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    rest = x - power * np.float32(0.693359375) + power * np.float32(2.12194440e-4)
    series = np.float32(1 / 5040)
    series = series * rest + np.float32(1 / 720)
    series = series * rest + np.float32(1 / 120)
    series = series * rest + np.float32(1 / 24)
    series = series * rest + np.float32(1 / 6)
    series = series * rest + np.float32(1 / 2)
    series = series * rest * rest + rest + _ONE
    return series * _float_of_bits(np.uint32((np.int32(power) + np.int32(127)) << np.int32(23)))


# ---- attention of one step ------------------------------------------------------------------------------------------


@njit(inline="always")
def _scores(query: Any, keys: Any, filled: int, scores: Any) -> float:
    """Products of the query (D,) with the keys (S, D) up to `filled`; the largest one."""
    largest = _LEAST
    for position in range(filled):
        product = _ZERO
        for d in range(HEAD_WIDTH):
            product += query[d] * _widened(keys[position, d])
        scores[position] = product
        largest = max(largest, product)
    return largest


@njit(inline="always")
def _softmax(scores: Any, filled: int, largest: float) -> float:
    """Replace scores by their exponentials over the largest one's; returns the sum."""
    total = _ZERO
    for position in range(filled):
        scores[position] = _exp(scores[position] - largest)
        total += scores[position]
    return total


@njit(inline="always")
def _weighted_sum(weights: Any, values: Any, filled: int, output: Any) -> None:
    """Add the values (S, D), each times its weight, to the output (D,)."""
    position = 0
    while position + 4 <= filled:  # four at once, so that the output is read and written a quarter as often
        w0, w1, w2, w3 = weights[position], weights[position + 1], weights[position + 2], weights[position + 3]
        for d in range(HEAD_WIDTH):
            output[d] += (
                w0 * _widened(values[position, d])
                + w1 * _widened(values[position + 1, d])
                + w2 * _widened(values[position + 2, d])
                + w3 * _widened(values[position + 3, d])
            )
        position += 4
    while position < filled:
        for d in range(HEAD_WIDTH):
            output[d] += weights[position] * _widened(values[position, d])
        position += 1


@njit(inline="always")
def _attend(arguments: Any, keys_pointer: Any, values_pointer: Any, stored: Any) -> None:
    """One new position of each row over all of the row's positions; see `attend_float32`. `stored`: a number as it is kept."""
    counters, rows, heads, length = arguments[0], arguments[7], arguments[8], arguments[9]
    qkv = carray(_float32s(arguments[1]), (rows, 3, heads, HEAD_WIDTH))
    all_keys = carray(keys_pointer, (rows, heads, length, HEAD_WIDTH))
    all_values = carray(values_pointer, (rows, heads, length, HEAD_WIDTH))
    lengths = carray(_int64s(arguments[4]), (rows,))
    outputs = carray(_float32s(arguments[5]), (rows, heads, HEAD_WIDTH))
    place = _take(_int64s(counters + 8))
    scratch = carray(_float32s(arguments[6] + 4 * place * (length + HEAD_WIDTH)), (length + HEAD_WIDTH,))
    query, scores = scratch[:HEAD_WIDTH], scratch[HEAD_WIDTH:]
    while True:
        item = _take(_int64s(counters))
        if item >= rows * heads:
            return
        row, head = item // heads, item % heads
        keys, values, output, filled = all_keys[row, head], all_values[row, head], outputs[row, head], lengths[row]
        for d in range(HEAD_WIDTH):
            query[d] = qkv[row, 0, head, d] * _SCALE
            keys[filled, d] = stored(qkv[row, 1, head, d])
            values[filled, d] = stored(qkv[row, 2, head, d])
            output[d] = _ZERO
        filled += 1
        largest = _scores(query, keys, filled, scores)
        total = _softmax(scores, filled, largest)
        _weighted_sum(scores, values, filled, output)
        for d in range(HEAD_WIDTH):
            output[d] /= total


@njit(inline="always")
def _float32(number: float) -> float:
    return number


@_compiled
def attend_float32(arguments: Any) -> None:
    """Attention of one new position of each row, with keys and values in float32, which are written in place first.

    An item of work is a row and a head. Arguments: counters (2,), query with key and value float32 (rows, 3, heads, 64), keys
    and values (rows, heads, length, 64), filled positions int64 (rows,), output float32 (rows, heads, 64), scratch float32
    (threads, length + 64); the numbers of rows, of heads, and the allocated length.
    """
    _attend(arguments, _float32s(arguments[2]), _float32s(arguments[3]), _float32)


@_compiled
def attend_bfloat16(arguments: Any) -> None:
    """As `attend_float32`, with keys and values kept as bfloat16."""
    _attend(arguments, _uint16s(arguments[2]), _uint16s(arguments[3]), _bfloat16)
