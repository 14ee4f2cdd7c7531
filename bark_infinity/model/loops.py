"""Loops compiled by Numba: attention of prefixes and of single steps, and products of few rows with int8 weights.

A loop is a C function of one pointer, to the addresses and sizes of its arrays as 64-bit integers. The first one is the
address of two counters, zero at the start, for loops that several threads run at once: a thread takes a number from the
second counter, which is its place in the scratch memory, and items of work from the first one until none are left. So no
thread waits for another that got no core.

A loop adds in an order that depends on nothing but its own item, so that results depend on neither threads nor neighbours.
Importing this compiles all loops, or reads them from Numba's cache; it takes up to some seconds. They are in one file,
because Numba's cache does not notice when a function that they call has changed in another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

HEAD_WIDTH = 64  # of both published models; as a constant it lets the compiler unroll the inner loops
_SCALE = np.float32(HEAD_WIDTH**-0.5)
_ZERO, _LEAST = np.float32(0), np.float32(-3e38)

MULTIPLIES_INT8: bool = binding.get_host_cpu_features().get("avx2", False)  # whether the loops for that are there
COLUMNS_AT_ONCE = 32 if binding.get_host_cpu_features().get("avx512f") else 16  # of a tile of sums: two vectors
QUERIES_AT_ONCE = 32  # of an item of work
_BLOCK = 64  # positions that are packed together
_TILE_QUERIES = 4  # with two vectors each, sums that stay in registers
OUTPUTS_AT_ONCE = 16  # of an item of work; the number of outputs must be a multiple of it
CHANNELS_AT_ONCE = 16  # the number of input channels must be a multiple of it
_LEVELS = np.float32(4095)  # of an input to either side of zero: 4,096 products with 8 bits still fit into 32
_TILE_OUTPUTS, _TILE_ROWS = 2, 4  # sums that stay in registers


def compiled(works_here: bool = True) -> Callable[[Callable[..., None]], Any]:
    """Compile a function, and keep it on disk for the next process where there is a folder to write to; None if not here."""
    signature, options = "void(CPointer(int64))", {"fastmath": True, "error_model": "numpy"}

    def compile_or_read(function: Callable[..., None]) -> Any:
        if not works_here:
            return None
        try:
            return cfunc(signature, cache=True, **options)(function)
        except (RuntimeError, OSError):  # no such folder, or a full one
            return cfunc(signature, **options)(function)

    return compile_or_read


# ---- addresses, counters, bits --------------------------------------------------------------------------------------


def pointer_to(element: types.Type) -> Any:
    """A function that makes a pointer to such elements of an address."""

    @intrinsic
    def pointer(_: Any, address: types.Type) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.int64), generate

    return pointer


int8s, int16s, int32s, int64s = (pointer_to(element) for element in (types.int8, types.int16, types.int32, types.int64))
uint16s, float32s = pointer_to(types.uint16), pointer_to(types.float32)


@intrinsic
def take(_: Any, counter: types.Type) -> Any:
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
def widened(_: Any, number: types.Type) -> Any:
    """float32 of a bfloat16, which is the upper half of its bits; a float32 as it is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if signature.args[0] == types.float32:
            return arguments[0]
        bits = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(bits, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return types.float32(number), generate


@njit(inline="always")
def bfloat16(number: float) -> int:
    """The nearest bfloat16, the even one of two that are as near. Not for NaN."""
    bits = _bits_of_float(number)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@njit(inline="always")
def exp(x: float) -> float:
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
    series = series * rest * rest + rest + np.float32(1)
    return series * _float_of_bits(np.uint32((np.int32(power) + np.int32(127)) << np.int32(23)))


@njit(inline="always")
def gelu(x: float) -> float:
    """x times the normal distribution's share below x, within 3e-7 * max(1, |x|).

    The error function is that of Abramowitz and Stegun, 7.1.26, which is a series of a fraction times an exponential.
    """
    magnitude = abs(x)
    z = magnitude * np.float32(0.7071067811865476)
    fraction = np.float32(1) / (np.float32(1) + np.float32(0.3275911) * z)
    series = np.float32(1.061405429)
    series = series * fraction + np.float32(-1.453152027)
    series = series * fraction + np.float32(1.421413741)
    series = series * fraction + np.float32(-0.284496736)
    series = series * fraction + np.float32(0.254829592)
    return max(x, np.float32(0)) - np.float32(0.5) * magnitude * series * fraction * exp(-z * z)


# ---- attention of one step --------------------------------------------------------------------------------------------


@njit(inline="always")
def _scores(query: Any, keys: Any, filled: int, scores: Any) -> float:
    """Products of the query (D,) with the keys (S, D) up to `filled`; the largest one."""
    largest = _LEAST
    for position in range(filled):
        product = _ZERO
        for d in range(HEAD_WIDTH):
            product += query[d] * widened(keys[position, d])
        scores[position] = product
        largest = max(largest, product)
    return largest


@njit(inline="always")
def _softmax(scores: Any, filled: int, largest: float) -> float:
    """Replace scores by their exponentials over the largest one's; returns the sum."""
    total = _ZERO
    for position in range(filled):
        scores[position] = exp(scores[position] - largest)
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
                w0 * widened(values[position, d])
                + w1 * widened(values[position + 1, d])
                + w2 * widened(values[position + 2, d])
                + w3 * widened(values[position + 3, d])
            )
        position += 4
    while position < filled:
        for d in range(HEAD_WIDTH):
            output[d] += weights[position] * widened(values[position, d])
        position += 1


@njit(inline="always")
def _attend(arguments: Any, keys_pointer: Any, values_pointer: Any, stored: Any) -> None:
    """One new position of each row over all of the row's positions; see `attend_float32`. `stored`: a number as it is kept."""
    counters, rows, heads, length = arguments[0], arguments[7], arguments[8], arguments[9]
    qkv = carray(float32s(arguments[1]), (rows, 3, heads, HEAD_WIDTH))
    all_keys = carray(keys_pointer, (rows, heads, length, HEAD_WIDTH))
    all_values = carray(values_pointer, (rows, heads, length, HEAD_WIDTH))
    lengths = carray(int64s(arguments[4]), (rows,))
    outputs = carray(float32s(arguments[5]), (rows, heads, HEAD_WIDTH))
    place = take(int64s(counters + 8))
    scratch = carray(float32s(arguments[6] + 4 * place * (length + HEAD_WIDTH)), (length + HEAD_WIDTH,))
    query, scores = scratch[:HEAD_WIDTH], scratch[HEAD_WIDTH:]
    while True:
        item = take(int64s(counters))
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


@compiled()
def attend_float32(arguments: Any) -> None:
    """Attention of one new position of each row, with keys and values in float32, which are written in place first.

    An item of work is a row and a head. Arguments: counters (2,), query with key and value float32 (rows, 3, heads, 64), keys
    and values (rows, heads, length, 64), filled positions int64 (rows,), output float32 (rows, heads, 64), scratch float32
    (threads, length + 64); the numbers of rows, of heads, and the allocated length.
    """
    _attend(arguments, float32s(arguments[2]), float32s(arguments[3]), _float32)


@compiled()
def attend_bfloat16(arguments: Any) -> None:
    """As `attend_float32`, with keys and values kept as bfloat16."""
    _attend(arguments, uint16s(arguments[2]), uint16s(arguments[3]), bfloat16)


# ---- attention of a prefix ------------------------------------------------------------------------------------------


def _vector_loader(builder: Any, kind: Any) -> Any:
    """A function that loads a vector from an address of any alignment."""

    def load(pointer: Any, offset: Any) -> Any:
        loaded = builder.load(builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer()))
        loaded.align = 1
        return loaded

    return load


def _known_function(builder: Any, name: str, result: Any, *parameters: Any) -> Any:
    """One of LLVM's own functions."""
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, parameters), name)


def _summing_loop(builder: Any, n: Any, step: int, zeros: list[Any], add: Any) -> list[Any]:
    """Generate LLVM code of a loop over 0, step, ... below `n` that keeps its sums in registers; returns their final values.

    `zeros`: initial sums. `add(index, sums)` generates the loop's body and returns the new sums. Afterwards the builder
    is positioned behind the loop.
    """
    before, loop, end = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("end")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(n.type)
    running = [builder.phi(zero.type) for zero in zeros]
    added = add(index, running)
    following = builder.add(index, ir.Constant(n.type, step))
    index.add_incoming(ir.Constant(n.type, 0), before)
    index.add_incoming(following, loop)
    for phi, zero, value in zip(running, zeros, added, strict=True):
        phi.add_incoming(zero, before)
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, n), loop, end)
    builder.position_at_end(end)
    return added


@intrinsic
def _multiply_tile(
    _: Any, left: Any, left_stride: Any, right: Any, right_stride: Any, n: Any, sums: Any, stride: Any
) -> Any:
    """sums (4, columns) = left (4, n) times right (n, columns), all float32; strides: numbers from row to row."""
    int32, int64 = ir.IntType(32), ir.IntType(64)
    width = COLUMNS_AT_ONCE // 2
    vector = ir.VectorType(ir.FloatType(), width)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, left_stride, right, right_stride, n, sums, stride = arguments
        multiply_add = _known_function(builder, f"llvm.fma.v{width}f32", vector, vector, vector, vector)
        load = _vector_loader(builder, vector)
        rows = [builder.gep(left, [builder.mul(left_stride, ir.Constant(int64, row))]) for row in range(_TILE_QUERIES)]
        undefined, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(int32, width), [0] * width)

        def add(k: Any, running: list[Any]) -> list[Any]:
            columns = builder.gep(right, [builder.mul(k, right_stride)])
            halves = [load(columns, ir.Constant(int64, half * width)) for half in (0, 1)]
            added = []
            for index, row in enumerate(rows):
                number = builder.insert_element(undefined, builder.load(builder.gep(row, [k])), ir.Constant(int32, 0))
                spread = builder.shuffle_vector(number, undefined, first)
                for half in (0, 1):
                    added.append(builder.call(multiply_add, [spread, halves[half], running[2 * index + half]]))
            return added

        zeros = [ir.Constant(vector, [0.0] * width)] * (2 * _TILE_QUERIES)
        for index, value in enumerate(_summing_loop(builder, n, 1, zeros, add)):
            row, half = divmod(index, 2)
            offset = builder.add(builder.mul(stride, ir.Constant(int64, row)), ir.Constant(int64, half * width))
            stored = builder.store(value, builder.bitcast(builder.gep(sums, [offset]), vector.as_pointer()))
            stored.align = 1
        return context.get_dummy_value()

    return types.void(left, left_stride, right, right_stride, n, sums, stride), generate


@njit(inline="always")
def _multiply_rows(
    rows: int, left: int, left_stride: int, right: int, right_stride: int, n: int, sums: int, stride: int
) -> None:
    """`_multiply_tile` for `rows` rows, given the addresses of the first numbers. Rows are written four at a time."""
    for row in range(0, rows, _TILE_QUERIES):
        _multiply_tile(
            float32s(left + 4 * row * left_stride),
            left_stride,
            float32s(right),
            right_stride,
            n,
            float32s(sums + 4 * row * stride),
            stride,
        )


@njit(inline="always")
def _pack_prefix(arguments: Any, keys_pointer: Any, values_pointer: Any, stored: Any) -> None:
    """See `pack_prefix_float32`."""
    positions, heads, length, padded = arguments[6], arguments[7], arguments[8], arguments[9]
    qkv = carray(float32s(arguments[1]), (positions, 3, heads, HEAD_WIDTH))
    cached_keys = carray(keys_pointer, (heads, length, HEAD_WIDTH))
    cached_values = carray(values_pointer, (heads, length, HEAD_WIDTH))
    keys = carray(float32s(arguments[4]), (heads, HEAD_WIDTH, padded))
    values = carray(float32s(arguments[5]), (heads, padded, HEAD_WIDTH))
    blocks = (padded + _BLOCK - 1) // _BLOCK
    while True:
        item = take(int64s(arguments[0]))
        if item >= blocks * heads:
            return
        head, start = item // blocks, item % blocks * _BLOCK
        stop = min(start + _BLOCK, positions)
        for d in range(HEAD_WIDTH):
            for position in range(start, stop):
                keys[head, d, position] = qkv[position, 1, head, d]
            for position in range(max(stop, start), min(start + _BLOCK, padded)):
                keys[head, d, position] = _ZERO
        for position in range(start, stop):
            for d in range(HEAD_WIDTH):
                values[head, position, d] = qkv[position, 2, head, d]
        if length:
            for position in range(start, stop):
                for d in range(HEAD_WIDTH):
                    cached_keys[head, position, d] = stored(qkv[position, 1, head, d])
                    cached_values[head, position, d] = stored(qkv[position, 2, head, d])


@compiled()
def pack_prefix_float32(arguments: Any) -> None:
    """Keys and values of a prefix in the order in which `attend_prefix` reads them, and written into a cache.

    An item of work is 64 positions of a head. Arguments: counters (2,), query with key and value float32 (positions, 3, heads,
    64), keys and values of the row's cache float32 (heads, length, 64), packed keys float32 (heads, 64, padded), packed values
    float32 (heads, padded, 64); the numbers of positions, of heads, the cache's length or 0 for none, and of positions with
    padding, at least to a multiple of COLUMNS_AT_ONCE.
    """
    _pack_prefix(arguments, float32s(arguments[2]), float32s(arguments[3]), _float32)


@compiled()
def pack_prefix_bfloat16(arguments: Any) -> None:
    """As `pack_prefix_float32`, with a cache of bfloat16."""
    _pack_prefix(arguments, uint16s(arguments[2]), uint16s(arguments[3]), bfloat16)


@compiled()
def attend_prefix(arguments: Any) -> None:
    """Attention of all positions of a prefix, each to itself and those before it, or to all of them.

    An item of work is 32 queries of a head, the last ones of causal attention first, because they take longest. Arguments:
    counters (2,), query with key and value float32 (positions, 3, heads, 64), packed keys and values as of
    `pack_prefix_float32`, output float32 (positions, heads, 64), scratch float32 (threads, 32, 128 + padded); the numbers of
    positions, of heads and of padded positions; 1 for causal, else 0.
    """
    positions, heads, padded, causal = arguments[6], arguments[7], arguments[8], arguments[9]
    qkv = carray(float32s(arguments[1]), (positions, 3, heads, HEAD_WIDTH))
    output = carray(float32s(arguments[4]), (positions, heads, HEAD_WIDTH))
    blocks = (positions + QUERIES_AT_ONCE - 1) // QUERIES_AT_ONCE
    place = take(int64s(arguments[0] + 8))
    queries_at = arguments[5] + 4 * place * QUERIES_AT_ONCE * (2 * HEAD_WIDTH + padded)
    sums_at = queries_at + 4 * QUERIES_AT_ONCE * HEAD_WIDTH
    scores_at = sums_at + 4 * QUERIES_AT_ONCE * HEAD_WIDTH
    queries = carray(float32s(queries_at), (QUERIES_AT_ONCE, HEAD_WIDTH))
    sums = carray(float32s(sums_at), (QUERIES_AT_ONCE, HEAD_WIDTH))
    scores = carray(float32s(scores_at), (QUERIES_AT_ONCE, padded))
    while True:
        item = take(int64s(arguments[0]))
        if item >= blocks * heads:
            return
        first, head = (blocks - 1 - item // heads) * QUERIES_AT_ONCE, item % heads
        n = min(QUERIES_AT_ONCE, positions - first)
        read = first + n if causal else positions  # positions that any of these queries attends to
        for i in range(n):
            for d in range(HEAD_WIDTH):
                queries[i, d] = qkv[first + i, 0, head, d] * _SCALE
        keys_at = arguments[2] + 4 * head * HEAD_WIDTH * padded
        for column in range(0, read, COLUMNS_AT_ONCE):
            scores_of_column, keys_of_column = scores_at + 4 * column, keys_at + 4 * column
            _multiply_rows(n, queries_at, HEAD_WIDTH, keys_of_column, padded, HEAD_WIDTH, scores_of_column, padded)
        for i in range(n):
            own = first + i + 1 if causal else positions
            largest = _LEAST
            for position in range(own):
                largest = max(largest, scores[i, position])
            queries[i, 0] = _softmax(scores[i], own, largest)  # the query itself is no longer needed
            for position in range(own, read):
                scores[i, position] = _ZERO
        values_at = arguments[3] + 4 * head * padded * HEAD_WIDTH
        for d in range(0, HEAD_WIDTH, COLUMNS_AT_ONCE):
            _multiply_rows(n, scores_at, padded, values_at + 4 * d, HEAD_WIDTH, read, sums_at + 4 * d, HEAD_WIDTH)
        for i in range(n):
            for d in range(HEAD_WIDTH):
                output[first + i, head, d] = sums[i, d] / queries[i, 0]


# ---- products of few rows with int8 weights ---------------------------------------------------------------------------


# oneDNN's products of int8 are made for many rows; without VNNI they take 2 to 5 times as long for up to 16. Here inputs have
# 13 bits, which `vpmaddwd` of AVX2 multiplies by 8-bit weights and adds in pairs without overflow. Sums of integers are
# exact, so that a row's result depends on nothing else.


def _tile(rows: int) -> Any:
    """A function that stores the sums of `rows` rows of int16 inputs times two rows of int8 weights, as int32 (rows, 2)."""
    int32, int64 = ir.IntType(32), ir.IntType(64)
    weight_vector, input_vector = ir.VectorType(ir.IntType(8), 16), ir.VectorType(ir.IntType(16), 16)
    sum_vector = ir.VectorType(int32, 8)

    @intrinsic
    def tile(_: Any, weights: Any, inputs: Any, channels: Any, sums: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            weights, inputs, channels, sums = arguments
            multiply_add = _known_function(builder, "llvm.x86.avx2.pmadd.wd", sum_vector, input_vector, input_vector)
            total = _known_function(builder, "llvm.vector.reduce.add.v8i32", int32, sum_vector)

            def vector(pointer: Any, row: int, channel: Any, kind: Any) -> Any:
                offset = builder.add(builder.mul(channels, ir.Constant(int64, row)), channel)
                return _vector_loader(builder, kind)(pointer, offset)

            def add(channel: Any, running: list[Any]) -> list[Any]:
                widened = [
                    builder.sext(vector(weights, output, channel, weight_vector), input_vector)
                    for output in range(_TILE_OUTPUTS)
                ]
                added = []
                for row in range(rows):
                    x = vector(inputs, row, channel, input_vector)
                    for output in range(_TILE_OUTPUTS):
                        products = builder.call(multiply_add, [x, widened[output]])
                        added.append(builder.add(running[row * _TILE_OUTPUTS + output], products))
                return added

            zeros = [ir.Constant(sum_vector, [0] * 8)] * (rows * _TILE_OUTPUTS)
            for index, value in enumerate(_summing_loop(builder, channels, CHANNELS_AT_ONCE, zeros, add)):
                builder.store(builder.call(total, [value]), builder.gep(sums, [ir.Constant(int64, index)]))
            return context.get_dummy_value()

        return types.void(weights, inputs, channels, sums), generate

    return tile


_one_row, _two_rows, _three_rows, _four_rows = (_tile(rows) for rows in range(1, _TILE_ROWS + 1))


@compiled(MULTIPLIES_INT8)
def quantise(arguments: Any) -> None:
    """Inputs as integers with a scale for each row, on one thread.

    Arguments: counters that are not used, inputs float32 (rows, channels), levels int16 (rows, channels), scales float32
    (rows,); the numbers of rows and of channels.
    """
    rows, channels = arguments[4], arguments[5]
    inputs = carray(float32s(arguments[1]), (rows, channels))
    levels = carray(int16s(arguments[2]), (rows, channels))
    scales = carray(float32s(arguments[3]), (rows,))
    for row in range(rows):
        largest = np.float32(1e-30)
        for channel in range(channels):
            largest = max(largest, abs(inputs[row, channel]))
        factor = _LEVELS / largest
        for channel in range(channels):
            levels[row, channel] = np.int16(np.floor(inputs[row, channel] * factor + np.float32(0.5)))
        scales[row] = largest / _LEVELS


@compiled(MULTIPLIES_INT8)
def multiply(arguments: Any) -> None:
    """Products of quantised rows with int8 weights, times both scales, with a bias, followed by GELU if asked for.

    An item of work is 16 outputs of all rows. Arguments: counters (2,), levels int16 (rows, channels), their scales float32
    (rows,), weights int8 (outputs, channels), their scales float32 (outputs,), bias float32 (outputs,), results float32
    (rows, outputs), scratch int32 (threads, 16); the numbers of rows, channels and outputs; 1 for GELU, else 0.
    """
    rows, channels, outputs, with_gelu = arguments[8], arguments[9], arguments[10], arguments[11]
    row_scales = carray(float32s(arguments[2]), (rows,))
    scales, bias = carray(float32s(arguments[4]), (outputs,)), carray(float32s(arguments[5]), (outputs,))
    results = carray(float32s(arguments[6]), (rows, outputs))
    sums_pointer = int32s(arguments[7] + 64 * take(int64s(arguments[0] + 8)))
    sums = carray(sums_pointer, (_TILE_ROWS, _TILE_OUTPUTS))
    while True:
        first = OUTPUTS_AT_ONCE * take(int64s(arguments[0]))
        if first >= outputs:
            return
        last = first + OUTPUTS_AT_ONCE
        for row in range(0, rows, _TILE_ROWS):
            n = min(rows - row, _TILE_ROWS)
            inputs = int16s(arguments[1] + 2 * row * channels)
            for output in range(first, last, _TILE_OUTPUTS):
                weights = int8s(arguments[3] + output * channels)
                if n == 4:
                    _four_rows(weights, inputs, channels, sums_pointer)
                elif n == 3:
                    _three_rows(weights, inputs, channels, sums_pointer)
                elif n == 2:
                    _two_rows(weights, inputs, channels, sums_pointer)
                else:
                    _one_row(weights, inputs, channels, sums_pointer)
                for i in range(n):
                    for k in range(_TILE_OUTPUTS):
                        results[row + i, output + k] = np.float32(sums[i, k])
        for row in range(rows):
            scale = row_scales[row]
            finished = results[row, first:last]  # of known length, so that these loops become a few vectors
            for k in range(OUTPUTS_AT_ONCE):
                finished[k] = finished[k] * scale * scales[first + k] + bias[first + k]
            if with_gelu:
                for k in range(OUTPUTS_AT_ONCE):
                    finished[k] = gelu(finished[k])
