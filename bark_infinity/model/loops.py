"""Loops compiled by Numba: attention of prefixes and of single steps, products of few rows, and whole steps of a stage.

A loop is a C function of one pointer, to the addresses and sizes of its arrays as 64-bit integers. The first one is the
address of two counters, zero at the start, for loops that several threads run at once: a thread takes a number from the
second counter, which is its place in the scratch memory, and items of work from the first one until none are left. So no
thread waits for another that got no core.

A loop adds in an order that depends on nothing but its own item, so that results depend on neither threads nor neighbours.
A loop is compiled, or read from Numba's cache, when its address is first asked for; compiling takes up to a second. They
are in one file, because Numba's cache does not notice when a function that they call has changed in another one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

HEAD_WIDTH = 64  # of both published models; as a constant it lets the compiler unroll the inner loops
_ZERO, _LEAST = np.float32(0), np.float32(-3e38)

_FEATURES = binding.get_host_cpu_features()
HAS_PAIRS: bool = _FEATURES.get("avx2", False)  # products of int8 weights with `vpmaddwd`, two at a time
HAS_QUADS: bool = _FEATURES.get("avx512vnni", False)  # and with `vpdpbusd`, four at a time
HAS_WIDE: bool = _FEATURES.get("avx512f", False)  # AVX-512: 32 registers of 16 float32
COLUMNS_AT_ONCE = 32 if HAS_WIDE else 16  # of a tile of sums: two vectors
_SCORES_AT_ONCE = 4  # positions
_VALUES_AT_ONCE = 2 if HAS_WIDE else 1  # positions with sums of their own, which stay in registers
QUERIES_AT_ONCE = 32  # of an item of work
_BLOCK = 64  # positions that are packed together
_TILE_QUERIES = 4  # with two vectors each, sums that stay in registers
PLAIN, GELU, ADDED = 0, 1, 2  # modes of a product: written to the results, written after GELU, added to the results
PAIR_OUTPUTS, PAIR_CHANNELS = 16, 16  # the numbers of outputs and of input channels must be multiples of these
QUAD_OUTPUTS, QUAD_CHANNELS = 32, 4
BFLOAT16_OUTPUTS = 32
_PAIR_LEVELS = np.float32(4095)  # of an input to either side of zero: 4,096 products with 8 bits still fit into 32
_QUAD_LEVELS = np.float32(127)
_TILE_OUTPUTS, _PAIR_ROWS, _WIDE_ROWS = 2, 4, 8  # sums that stay in registers: of two outputs, or two vectors of them
_AHEAD = 2048  # bytes between a weight that is read and one that is fetched from memory meanwhile


class Loop:
    """A function that is compiled when its address is first asked for."""

    def __init__(self, function: Callable[..., None]):
        self._function = function

    @cached_property
    def address(self) -> int:
        """Of the compiled function, which stays on disk for the next process where there is a folder to write to."""
        if threading.current_thread() is threading.main_thread():
            # In another thread, because LLVM's callbacks print the exception that Ctrl-C raises in the main one.
            with ThreadPoolExecutor(1) as compiler:
                self._compiled = compiler.submit(self._compile).result()
        else:
            self._compiled = self._compile()
        return int(self._compiled.address)

    def _compile(self) -> Any:
        signature, options = "void(CPointer(int64))", {"fastmath": True, "error_model": "numpy"}
        try:
            return cfunc(signature, cache=True, **options)(self._function)
        except (RuntimeError, OSError):  # no such folder, or a full one
            return cfunc(signature, **options)(self._function)


def compiled(works_here: bool = True) -> Callable[[Callable[..., None]], Any]:
    """Make a loop of a function; None if it does not work on this processor."""
    return lambda function: Loop(function) if works_here else None


def compile_all() -> None:
    """Compile all loops that work on this processor."""
    for loop in list(globals().values()):
        if isinstance(loop, Loop):
            _ = loop.address


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
uint8s, uint16s, float32s = (pointer_to(element) for element in (types.uint8, types.uint16, types.float32))


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


@intrinsic
def larger(_: Any, one: types.Type, other: types.Type) -> Any:
    """The larger of two float32, as loops can be vectorised with, unlike `max`. Not for NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        is_larger = builder.fcmp_ordered(">", *arguments, flags=("fast",))
        return builder.select(is_larger, *arguments, flags=("fast",))

    return types.float32(types.float32, types.float32), generate


@njit(inline="always")
def bfloat16(number: float) -> int:
    """The nearest bfloat16, the even one of two that are as near. Not for NaN."""
    bits = _bits_of_float(number)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@njit(inline="always")
def exp(x: float) -> float:
    """e**x for x <= 0, within 2e-7 of its value, and never below e**-80, because numbers near float32's least one are slow.

    The compiler can vectorise it, unlike a call of the C library. Cody and Waite's reduction to a power of two and a rest in
    (-ln 2 / 2, ln 2 / 2), whose Taylor series is summed.
    """
    x = larger(x, np.float32(-80))
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
    return larger(x, _ZERO) - np.float32(0.5) * magnitude * series * fraction * exp(-z * z)


# ---- vectors --------------------------------------------------------------------------------------------------------


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


def _spread(builder: Any, number: Any, width: int) -> Any:
    """Generate a vector with the number in all of its places."""
    undefined = ir.Constant(ir.VectorType(number.type, width), ir.Undefined)
    first = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
    return builder.shuffle_vector(
        builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0)), undefined, first
    )


def _read_ahead(builder: Any, pointer: Any, offset: Any, kind: Any, n: int) -> list[Any]:
    """Generate code that loads `n` vectors of 64 bytes at `offset` bytes, and fetches from memory those _AHEAD bytes on."""
    int32, int64, int8 = ir.IntType(32), ir.IntType(64), ir.IntType(8)
    fetch = _known_function(builder, "llvm.prefetch.p0i8", ir.VoidType(), int8.as_pointer(), int32, int32, int32)
    start = builder.gep(pointer, [offset])
    for k in range(n):
        ahead = builder.gep(start, [ir.Constant(int64, _AHEAD + 64 * k)])
        builder.call(fetch, [ahead, ir.Constant(int32, 0), ir.Constant(int32, 3), ir.Constant(int32, 1)])
    return [_vector_loader(builder, kind)(start, ir.Constant(int64, 64 * k)) for k in range(n)]


# ---- attention of one step --------------------------------------------------------------------------------------------


# A head has four vectors of 16 channels. Where keys and values are bfloat16, two channels are read as one 32-bit number: a
# shift gives the even one as float32, a mask the odd one. So vectors have the even or the odd channels of 32, and queries and
# outputs are put into that order, see `_place_of_bfloat16`.


def _widen_pairs(builder: Any, pairs: Any) -> list[Any]:
    """Generate the two vectors of float32 of a vector of 16 pairs of bfloat16: the lower halves, then the upper ones."""
    floats = ir.VectorType(ir.FloatType(), 16)
    shifted = builder.shl(pairs, ir.Constant(pairs.type, [16] * 16))
    masked = builder.and_(pairs, ir.Constant(pairs.type, [-65536] * 16))
    return [builder.bitcast(bits, floats) for bits in (shifted, masked)]


def _load_head(builder: Any, pointer: Any, offset: Any, is_bfloat16: bool) -> list[Any]:
    """Generate code that loads the 64 numbers at `offset` as four vectors of 16 float32."""
    int32, int64 = ir.IntType(32), ir.IntType(64)
    floats, ints = ir.VectorType(ir.FloatType(), 16), ir.VectorType(int32, 16)
    if not is_bfloat16:
        load = _vector_loader(builder, floats)
        return [load(pointer, builder.add(offset, ir.Constant(int64, 16 * k))) for k in range(4)]
    load, vectors = _vector_loader(builder, ints), []
    for half in (0, 1):
        vectors += _widen_pairs(builder, load(pointer, builder.add(offset, ir.Constant(int64, 32 * half))))
    return vectors


def _score_tile(is_bfloat16: bool) -> Any:
    """A function that stores the products of the query, float32 (64,), with the keys of four positions, (4, 64)."""
    int64, floats = ir.IntType(64), ir.VectorType(ir.FloatType(), 16)

    @intrinsic
    def tile(_: Any, query: Any, keys: Any, scores: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            query, keys, scores = arguments
            zero = ir.Constant(int64, 0)
            of_query = _load_head(builder, query, zero, is_bfloat16=False)
            for position in range(_SCORES_AT_ONCE):
                offset = ir.Constant(int64, HEAD_WIDTH * position)
                products = [
                    builder.fmul(q, k, flags=("fast",))
                    for q, k in zip(of_query, _load_head(builder, keys, offset, is_bfloat16), strict=True)
                ]
                first, second = (builder.fadd(*products[k : k + 2], flags=("fast",)) for k in (0, 2))
                total = _known_function(
                    builder, "llvm.vector.reduce.fadd.v16f32", ir.FloatType(), ir.FloatType(), floats
                )
                both = builder.fadd(first, second, flags=("fast",))
                summed = builder.call(total, [ir.Constant(ir.FloatType(), 0.0), both], fastmath=("fast",))
                builder.store(summed, builder.gep(scores, [ir.Constant(int64, position)]))
            return context.get_dummy_value()

        return types.void(query, keys, scores), generate

    return tile


def _value_tile(is_bfloat16: bool) -> Any:
    """A function that stores the sum of values (n, 64), each times its weight, as float32 (64,).

    `n` must be a multiple of _VALUES_AT_ONCE and not 0.
    """
    int64, floats = ir.IntType(64), ir.VectorType(ir.FloatType(), 16)

    @intrinsic
    def tile(_: Any, weights: Any, values: Any, n: Any, sums: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            weights, values, n, sums = arguments
            multiply_add = _known_function(builder, "llvm.fma.v16f32", floats, floats, floats, floats)

            def add(position: Any, running: list[Any]) -> list[Any]:
                added = []
                for k in range(_VALUES_AT_ONCE):
                    at = builder.add(position, ir.Constant(int64, k))
                    spread = _spread(builder, builder.load(builder.gep(weights, [at])), 16)
                    offset = builder.mul(at, ir.Constant(int64, HEAD_WIDTH))
                    for vector, so_far in zip(
                        _load_head(builder, values, offset, is_bfloat16), running[4 * k : 4 * k + 4], strict=True
                    ):
                        added.append(builder.call(multiply_add, [spread, vector, so_far]))
                return added

            zeros = [ir.Constant(floats, [0.0] * 16)] * (4 * _VALUES_AT_ONCE)
            totals = _summing_loop(builder, n, _VALUES_AT_ONCE, zeros, add)
            for k in range(4):
                total = totals[k]
                for other in totals[k + 4 :: 4]:
                    total = builder.fadd(total, other)
                place = builder.gep(sums, [ir.Constant(int64, 16 * k)])
                builder.store(total, builder.bitcast(place, floats.as_pointer())).align = 1
            return context.get_dummy_value()

        return types.void(weights, values, n, sums), generate

    return tile


_scores_float32, _scores_bfloat16 = _score_tile(False), _score_tile(True)
_values_float32, _values_bfloat16 = _value_tile(False), _value_tile(True)


@njit(inline="always")
def _softmax(scores: Any, filled: int, largest: float) -> float:
    """Replace scores by their exponentials over the largest one's; returns the sum."""
    total = _ZERO
    for position in range(filled):
        scores[position] = exp(scores[position] - largest)
        total += scores[position]
    return total


@njit(inline="always")
def _largest(scores: Any, n: int) -> float:
    largest = _LEAST
    for position in range(n):
        largest = larger(largest, scores[position])
    return largest


@njit(inline="always")
def _place_of_float32(channel: int) -> int:
    return channel


@njit(inline="always")
def _place_of_bfloat16(channel: int) -> int:
    """The place of a channel where the even ones of each 32 stand before the odd ones."""
    return (channel & 32) | ((channel & 1) << 4) | ((channel & 31) >> 1)


@njit(inline="always")
def _attend(
    arguments: Any,
    number_bytes: int,
    numbers: Any,
    stored: Any,
    place_of: Any,
    scores_of_keys: Any,
    sum_of_values: Any,
) -> None:
    """One new position of each row over all of the row's positions; see `attend_float32`.

    `number_bytes`, `numbers` and `stored`: size, pointer type and conversion of a number in the cache. `place_of`: a channel's
    place in a vector of the cache.
    """
    counters, rows, heads, length = arguments[0], arguments[7], arguments[8], arguments[9]
    scale = np.float32(1) / np.sqrt(np.float32(arguments[10]))
    qkv = carray(float32s(arguments[1]), (rows, 3, heads, HEAD_WIDTH))
    lengths = carray(int64s(arguments[4]), (rows,))
    outputs = carray(float32s(arguments[5]), (rows, heads, HEAD_WIDTH))
    thread = take(int64s(counters + 8))
    query_at = arguments[6] + 4 * thread * (length + 2 * HEAD_WIDTH)
    sums_at, scores_at = query_at + 4 * HEAD_WIDTH, query_at + 8 * HEAD_WIDTH
    query, sums = carray(float32s(query_at), (HEAD_WIDTH,)), carray(float32s(sums_at), (HEAD_WIDTH,))
    scores, position_bytes = carray(float32s(scores_at), (length,)), number_bytes * HEAD_WIDTH
    while True:
        item = take(int64s(counters))
        if item >= rows * heads:
            return
        row, head = item // heads, item % heads
        keys_at = arguments[2] + item * length * position_bytes
        values_at = arguments[3] + item * length * position_bytes
        keys = carray(numbers(keys_at), (length, HEAD_WIDTH))
        values = carray(numbers(values_at), (length, HEAD_WIDTH))
        filled = lengths[row]
        for d in range(HEAD_WIDTH):
            query[place_of(d)] = qkv[row, 0, head, d] * scale
            keys[filled, d] = stored(qkv[row, 1, head, d])
            values[filled, d] = stored(qkv[row, 2, head, d])
        filled += 1
        if filled >= _SCORES_AT_ONCE:
            for start in range(0, filled, _SCORES_AT_ONCE):
                first = min(start, filled - _SCORES_AT_ONCE)  # the last four may overlap those before them
                scores_of_keys(
                    float32s(query_at), numbers(keys_at + first * position_bytes), float32s(scores_at + 4 * first)
                )
        else:
            for position in range(filled):
                scores[position] = _ZERO
                for d in range(HEAD_WIDTH):
                    scores[position] += query[place_of(d)] * widened(keys[position, d])
        total = _softmax(scores, filled, _largest(scores, filled))
        summed = filled // _VALUES_AT_ONCE * _VALUES_AT_ONCE
        if summed:
            sum_of_values(float32s(scores_at), numbers(values_at), summed, float32s(sums_at))
        else:
            sums[:] = _ZERO
        for d in range(HEAD_WIDTH):
            value = sums[place_of(d)]
            for position in range(summed, filled):
                value += scores[position] * widened(values[position, d])
            outputs[row, head, d] = value / total


@njit(inline="always")
def _float32(number: float) -> float:
    return number


@compiled()
def attend_float32(arguments: Any) -> None:
    """Attention of one new position of each row, with keys and values in float32, which are written in place first.

    An item of work is a row and a head. Arguments: counters (2,), query with key and value float32 (rows, 3, heads, 64), keys
    and values (rows, heads, length, 64), filled positions int64 (rows,), output float32 (rows, heads, 64), scratch float32
    (threads, length + 128); the numbers of rows, of heads, the allocated length, and of a head's channels without
    padding.
    """
    _attend(arguments, 4, float32s, _float32, _place_of_float32, _scores_float32, _values_float32)


@compiled()
def attend_bfloat16(arguments: Any) -> None:
    """As `attend_float32`, with keys and values kept as bfloat16."""
    _attend(arguments, 2, uint16s, bfloat16, _place_of_bfloat16, _scores_bfloat16, _values_bfloat16)


# ---- attention of a prefix ------------------------------------------------------------------------------------------


@intrinsic
def _multiply_tile(
    _: Any, left: Any, left_stride: Any, right: Any, right_stride: Any, n: Any, sums: Any, stride: Any
) -> Any:
    """sums (4, columns) = left (4, n) times right (n, columns), all float32; strides: numbers from row to row."""
    int64, width = ir.IntType(64), COLUMNS_AT_ONCE // 2
    vector = ir.VectorType(ir.FloatType(), width)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, left_stride, right, right_stride, n, sums, stride = arguments
        multiply_add = _known_function(builder, f"llvm.fma.v{width}f32", vector, vector, vector, vector)
        load = _vector_loader(builder, vector)
        rows = [builder.gep(left, [builder.mul(left_stride, ir.Constant(int64, row))]) for row in range(_TILE_QUERIES)]

        def add(k: Any, running: list[Any]) -> list[Any]:
            columns = builder.gep(right, [builder.mul(k, right_stride)])
            halves = [load(columns, ir.Constant(int64, half * width)) for half in (0, 1)]
            added = []
            for index, row in enumerate(rows):
                spread = _spread(builder, builder.load(builder.gep(row, [k])), width)
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
    positions, of heads and of padded positions; 1 for causal, else 0; of a head's channels without padding.
    """
    positions, heads, padded, causal = arguments[6], arguments[7], arguments[8], arguments[9]
    scale = np.float32(1) / np.sqrt(np.float32(arguments[10]))
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
                queries[i, d] = qkv[first + i, 0, head, d] * scale
        keys_at = arguments[2] + 4 * head * HEAD_WIDTH * padded
        for column in range(0, read, COLUMNS_AT_ONCE):
            scores_of_column, keys_of_column = scores_at + 4 * column, keys_at + 4 * column
            _multiply_rows(n, queries_at, HEAD_WIDTH, keys_of_column, padded, HEAD_WIDTH, scores_of_column, padded)
        for i in range(n):
            own = first + i + 1 if causal else positions
            queries[i, 0] = _softmax(scores[i], own, _largest(scores[i], own))  # the query itself is no longer needed
            for position in range(own, read):
                scores[i, position] = _ZERO
        values_at = arguments[3] + 4 * head * padded * HEAD_WIDTH
        for d in range(0, HEAD_WIDTH, COLUMNS_AT_ONCE):
            _multiply_rows(n, scores_at, padded, values_at + 4 * d, HEAD_WIDTH, read, sums_at + 4 * d, HEAD_WIDTH)
        for i in range(n):
            for d in range(HEAD_WIDTH):
                output[first + i, head, d] = sums[i, d] / queries[i, 0]


# ---- products of few rows with int8 weights ---------------------------------------------------------------------------


# oneDNN's products of int8 are made for many rows, and each takes several calls. There are two kinds of loops:
# Pairs: weights (outputs, channels), inputs of 13 bits, which `vpmaddwd` of AVX2 multiplies by 8-bit weights and adds in
# pairs without overflow.
# Quads: inputs of 8 bits and unsigned weights, 128 more than they are, which `vpdpbusd` of AVX512-VNNI multiplies and adds
# in fours. 32 outputs stand side by side, (outputs / 32, channels / 4, 32, 4), so that sums need not be added up at the end.
# Sums of integers are exact, so that a row's result depends on nothing else.


def _pair_tile(rows: int) -> Any:
    """A function that stores the sums of `rows` rows of int16 inputs times two rows of int8 weights.

    As int32 into (rows, PAIR_OUTPUTS), of which the first two columns are written.
    """
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
            for index, value in enumerate(_summing_loop(builder, channels, PAIR_CHANNELS, zeros, add)):
                row, output = divmod(index, _TILE_OUTPUTS)
                place = ir.Constant(int64, row * PAIR_OUTPUTS + output)
                builder.store(builder.call(total, [value]), builder.gep(sums, [place]))
            return context.get_dummy_value()

        return types.void(weights, inputs, channels, sums), generate

    return tile


def _quad_tile(rows: int) -> Any:
    """A function that stores the sums of `rows` rows of int8 inputs times 32 outputs' unsigned weights, as int32 (rows, 32)."""
    int32, int64, width = ir.IntType(32), ir.IntType(64), QUAD_OUTPUTS // 2
    vector = ir.VectorType(int32, width)

    @intrinsic
    def tile(_: Any, weights: Any, inputs: Any, channels: Any, sums: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            weights, inputs, channels, sums = arguments
            multiply_add = _known_function(builder, "llvm.x86.avx512.vpdpbusd.512", vector, vector, vector, vector)

            def add(channel: Any, running: list[Any]) -> list[Any]:
                offset = builder.mul(channel, ir.Constant(int64, QUAD_OUTPUTS))
                halves, added = _read_ahead(builder, weights, offset, vector, 2), []
                for row in range(rows):
                    at = builder.add(builder.mul(channels, ir.Constant(int64, row)), channel)
                    quad = builder.load(builder.bitcast(builder.gep(inputs, [at]), int32.as_pointer()))
                    quad.align = 1
                    spread = _spread(builder, quad, width)
                    added += [
                        builder.call(multiply_add, [running[2 * row + half], halves[half], spread]) for half in (0, 1)
                    ]
                return added

            zeros = [ir.Constant(vector, [0] * width)] * (2 * rows)
            for index, value in enumerate(_summing_loop(builder, channels, QUAD_CHANNELS, zeros, add)):
                place = builder.gep(sums, [ir.Constant(int64, index * width)])
                stored = builder.store(value, builder.bitcast(place, vector.as_pointer()))
                stored.align = 1
            return context.get_dummy_value()

        return types.void(weights, inputs, channels, sums), generate

    return tile


_pairs_1, _pairs_2, _pairs_3, _pairs_4 = (_pair_tile(rows) for rows in (1, 2, 3, _PAIR_ROWS))
_quads_1, _quads_2, _quads_4, _quads_8 = (_quad_tile(rows) for rows in (1, 2, 4, _WIDE_ROWS))


@njit(inline="always")
def _quantise(arguments: Any, levels_pointer: Any, most: float, zero: float, weights_above_zero: float) -> None:
    """See `quantise_pairs`. `most`: levels to either side of `zero`; `weights_above_zero`: the offset added to all weights."""
    rows, channels = arguments[4], arguments[5]
    inputs = carray(float32s(arguments[1]), (rows, channels))
    levels = carray(levels_pointer, (rows, channels))
    scales = carray(float32s(arguments[3]), (rows, 2))
    while True:
        row = take(int64s(arguments[0]))
        if row >= rows:
            return
        largest = np.float32(1e-30)
        for channel in range(channels):
            largest = larger(largest, abs(inputs[row, channel]))
        factor, total = most / largest, _ZERO  # whole numbers, exact up to 2**24
        for channel in range(channels):
            level = np.floor(inputs[row, channel] * factor + np.float32(0.5))
            levels[row, channel] = np.int32(level + zero)
            total += level
        scales[row, 0] = largest / most
        scales[row, 1] = weights_above_zero * total


@compiled(HAS_PAIRS)
def quantise_pairs(arguments: Any) -> None:
    """Inputs as integers with a scale for each row.

    An item of work is a row. Arguments: counters (2,), inputs float32 (rows, channels), levels int16 (rows, channels),
    float32 (rows, 2): the scale, and the correction to subtract from each sum; the numbers of rows and of channels.
    """
    _quantise(arguments, int16s(arguments[2]), _PAIR_LEVELS, _ZERO, _ZERO)


@compiled(HAS_QUADS)
def quantise_quads(arguments: Any) -> None:
    """As `quantise_pairs`, with levels int8."""
    _quantise(arguments, int8s(arguments[2]), _QUAD_LEVELS, _ZERO, np.float32(128))


@compiled()
def quantise_unsigned(arguments: Any) -> None:
    """As `quantise_pairs`, with levels uint8; the correction is 0.

    One more argument: the number of levels to either side of zero, which is one less than the level of zero.
    """
    _quantise(arguments, uint8s(arguments[2]), np.float32(arguments[6]), np.float32(arguments[6] + 1), _ZERO)


@compiled()
def scale_rows(arguments: Any) -> None:
    """Multiply each row by its scale and add a bias; followed by GELU if asked for.

    An item of work is a row. Arguments: counters (2,), float32 (rows, columns), in place, scales float32 (rows, 2) as of
    `quantise_pairs`, bias float32 (columns,); the numbers of rows and of columns; PLAIN or GELU.
    """
    rows, columns, mode = arguments[4], arguments[5], arguments[6]
    numbers = carray(float32s(arguments[1]), (rows, columns))
    scales, bias = carray(float32s(arguments[2]), (rows, 2)), carray(float32s(arguments[3]), (columns,))
    while True:
        row = take(int64s(arguments[0]))
        if row >= rows:
            return
        scale, results = scales[row, 0], numbers[row]
        for column in range(columns):
            results[column] = results[column] * scale + bias[column]
        if mode == GELU:
            for column in range(columns):
                results[column] = gelu(results[column])


@njit(inline="always")
def _scale_sums(arguments: Any, row: int, first: int, sums: Any, n: int) -> None:
    """Write `n` sums of a row, those of the outputs from `first` on, as results: scaled, with bias, by the mode."""
    rows, outputs, mode = arguments[8], arguments[10], arguments[11]
    row_scales = carray(float32s(arguments[2]), (rows, 2))
    scales, bias = carray(float32s(arguments[4]), (outputs,)), carray(float32s(arguments[5]), (outputs,))
    results = carray(float32s(arguments[6]), (rows, outputs))[row, first : first + n]
    scale, shift = row_scales[row, 0], row_scales[row, 1]
    if mode == ADDED:
        for k in range(n):
            results[k] += (np.float32(sums[k]) - shift) * scale * scales[first + k] + bias[first + k]
        return
    for k in range(n):
        results[k] = (np.float32(sums[k]) - shift) * scale * scales[first + k] + bias[first + k]
    if mode == GELU:
        for k in range(n):
            results[k] = gelu(results[k])


@compiled(HAS_PAIRS)
def multiply_pairs(arguments: Any) -> None:
    """Products of quantised rows with int8 weights, times both scales, plus a bias, stored as the mode says (see PLAIN).

    An item of work is PAIR_OUTPUTS outputs of all rows. Arguments: counters (2,), levels int16 (rows, channels) and float32
    (rows, 2) as of `quantise_pairs`, weights int8 (outputs, channels), their scales float32 (outputs,), bias float32
    (outputs,), results float32 (rows, outputs), scratch int32 (threads, 4, PAIR_OUTPUTS); the numbers of rows, channels and
    outputs; the mode.
    """
    rows, channels, outputs = arguments[8], arguments[9], arguments[10]
    sums_at = arguments[7] + 4 * _PAIR_ROWS * PAIR_OUTPUTS * take(int64s(arguments[0] + 8))
    sums = carray(int32s(sums_at), (_PAIR_ROWS, PAIR_OUTPUTS))
    while True:
        first = PAIR_OUTPUTS * take(int64s(arguments[0]))
        if first >= outputs:
            return
        for row in range(0, rows, _PAIR_ROWS):
            n = min(rows - row, _PAIR_ROWS)
            inputs = int16s(arguments[1] + 2 * row * channels)
            for output in range(0, PAIR_OUTPUTS, _TILE_OUTPUTS):
                weights, place = int8s(arguments[3] + (first + output) * channels), int32s(sums_at + 4 * output)
                if n == 4:
                    _pairs_4(weights, inputs, channels, place)
                elif n == 3:
                    _pairs_3(weights, inputs, channels, place)
                elif n == 2:
                    _pairs_2(weights, inputs, channels, place)
                else:
                    _pairs_1(weights, inputs, channels, place)
            for i in range(n):
                _scale_sums(arguments, row + i, first, sums[i], PAIR_OUTPUTS)


@njit(inline="always")
def _sum_rows(
    left: int, weights: Any, inputs: Any, channels: int, sums: Any, eight: Any, four: Any, two: Any, one: Any
) -> int:
    """Store the sums of as many of the `left` rows as the largest fitting tile takes. Returns their number."""
    if left >= 8:
        eight(weights, inputs, channels, sums)
        return 8
    if left >= 4:
        four(weights, inputs, channels, sums)
        return 4
    if left >= 2:
        two(weights, inputs, channels, sums)
        return 2
    one(weights, inputs, channels, sums)
    return 1


@compiled(HAS_QUADS)
def multiply_quads(arguments: Any) -> None:
    """As `multiply_pairs`, for levels of `quantise_quads`.

    Weights uint8 (outputs / 32, channels / 4, 32, 4), scratch int32 (threads, 8, 32). An item of work is 32 outputs.
    """
    rows, channels, outputs = arguments[8], arguments[9], arguments[10]
    sums_pointer = int32s(arguments[7] + 4 * _WIDE_ROWS * QUAD_OUTPUTS * take(int64s(arguments[0] + 8)))
    sums = carray(sums_pointer, (_WIDE_ROWS, QUAD_OUTPUTS))
    while True:
        first = QUAD_OUTPUTS * take(int64s(arguments[0]))
        if first >= outputs:
            return
        weights, row = int8s(arguments[3] + first * channels), 0
        while row < rows:
            inputs = int8s(arguments[1] + row * channels)
            n = _sum_rows(rows - row, weights, inputs, channels, sums_pointer, _quads_8, _quads_4, _quads_2, _quads_1)
            for i in range(n):
                _scale_sums(arguments, row + i, first, sums[i], QUAD_OUTPUTS)
            row += n


# ---- products of few rows with bfloat16 weights -----------------------------------------------------------------------


def _bfloat16_tile(rows: int) -> Any:
    """A function that stores the sums of `rows` rows of float32 inputs times 32 outputs' weights, as float32 (rows, 32).

    A 32-bit number of the weights has output k of 32 in its lower half and output k + 16 in its upper half.
    """
    int32, int64 = ir.IntType(32), ir.IntType(64)
    ints, floats = ir.VectorType(int32, 16), ir.VectorType(ir.FloatType(), 16)

    @intrinsic
    def tile(_: Any, weights: Any, inputs: Any, channels: Any, sums: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            weights, inputs, channels, sums = arguments
            multiply_add = _known_function(builder, "llvm.fma.v16f32", floats, floats, floats, floats)

            def add(channel: Any, running: list[Any]) -> list[Any]:
                (pairs,) = _read_ahead(builder, weights, builder.mul(channel, ir.Constant(int64, 64)), ints, 1)
                halves, added = _widen_pairs(builder, pairs), []
                for row in range(rows):
                    at = builder.gep(inputs, [builder.add(builder.mul(channels, ir.Constant(int64, row)), channel)])
                    spread = _spread(builder, builder.load(at), 16)
                    for half, vector in enumerate(halves):
                        added.append(builder.call(multiply_add, [spread, vector, running[2 * row + half]]))
                return added

            zeros = [ir.Constant(floats, [0.0] * 16)] * (2 * rows)
            for index, value in enumerate(_summing_loop(builder, channels, 1, zeros, add)):
                place = builder.gep(sums, [ir.Constant(int64, 16 * index)])
                builder.store(value, builder.bitcast(place, floats.as_pointer())).align = 1
            return context.get_dummy_value()

        return types.void(weights, inputs, channels, sums), generate

    return tile


_bfloat16_1, _bfloat16_2, _bfloat16_4, _bfloat16_8 = (_bfloat16_tile(rows) for rows in (1, 2, 4, _WIDE_ROWS))


@compiled(HAS_WIDE)
def multiply_bfloat16(arguments: Any) -> None:
    """Products of rows with bfloat16 weights, plus a bias, stored as the mode says (PLAIN, GELU, ADDED).

    An item of work is 32 outputs of all rows. Arguments: counters (2,), inputs float32 (rows, channels), weights bfloat16
    (outputs / 32, channels, 16, 2), output k beside output k + 16, bias float32 (outputs,), results float32 (rows, outputs),
    scratch float32 (threads, 8, 32); the numbers of rows, channels and outputs; the mode.
    """
    rows, channels, outputs, mode = arguments[6], arguments[7], arguments[8], arguments[9]
    bias = carray(float32s(arguments[3]), (outputs,))
    all_results = carray(float32s(arguments[4]), (rows, outputs))
    sums_pointer = float32s(arguments[5] + 4 * _WIDE_ROWS * BFLOAT16_OUTPUTS * take(int64s(arguments[0] + 8)))
    sums = carray(sums_pointer, (_WIDE_ROWS, BFLOAT16_OUTPUTS))
    while True:
        first = BFLOAT16_OUTPUTS * take(int64s(arguments[0]))
        if first >= outputs:
            return
        weights, row = int8s(arguments[2] + 2 * first * channels), 0
        while row < rows:
            inputs = float32s(arguments[1] + 4 * row * channels)
            n = _sum_rows(
                rows - row, weights, inputs, channels, sums_pointer, _bfloat16_8, _bfloat16_4, _bfloat16_2, _bfloat16_1
            )
            for i in range(n):
                results = all_results[row + i, first : first + BFLOAT16_OUTPUTS]
                if mode == ADDED:
                    for k in range(BFLOAT16_OUTPUTS):
                        results[k] += sums[i, k] + bias[first + k]
                else:
                    for k in range(BFLOAT16_OUTPUTS):
                        results[k] = sums[i, k] + bias[first + k]
                if mode == GELU:
                    for k in range(BFLOAT16_OUTPUTS):
                        results[k] = gelu(results[k])
            row += n


# ---- whole steps ------------------------------------------------------------------------------------------------------


@compiled()
def normalise(arguments: Any) -> None:
    """Layer norm with an epsilon of 1e-5 (Ba et al. 2016).

    An item of work is a row. Arguments: counters (2,), inputs float32 (rows, channels), weight float32 (channels,), bias
    float32 (channels,), results float32 (rows, channels); the numbers of rows and of channels.
    """
    rows, channels = arguments[5], arguments[6]
    inputs = carray(float32s(arguments[1]), (rows, channels))
    weight, bias = carray(float32s(arguments[2]), (channels,)), carray(float32s(arguments[3]), (channels,))
    results = carray(float32s(arguments[4]), (rows, channels))
    while True:
        row = take(int64s(arguments[0]))
        if row >= rows:
            return
        total = _ZERO
        for channel in range(channels):
            total += inputs[row, channel]
        mean, squares = total / np.float32(channels), _ZERO
        for channel in range(channels):
            squares += (inputs[row, channel] - mean) ** 2
        factor = np.float32(1) / np.sqrt(squares / np.float32(channels) + np.float32(1e-5))
        for channel in range(channels):
            results[row, channel] = (inputs[row, channel] - mean) * factor * weight[channel] + bias[channel]


@intrinsic
def _call(_: Any, loop: types.Type, arguments: types.Type) -> Any:
    """Call the loop at an address with the address of its arguments."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)])
        builder.call(builder.inttoptr(given[0], kind.as_pointer()), [given[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _call_on_threads(
    _: Any, parallel: types.Type, loop: types.Type, arguments: types.Type, n_threads: types.Type
) -> Any:
    """Call `GOMP_parallel`, which is at the address `parallel`: the loop runs on so many threads."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        int32, int64 = ir.IntType(32), ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [int64, int64, int32, int32])
        function = builder.inttoptr(given[0], kind.as_pointer())
        builder.call(function, [given[1], given[2], builder.trunc(given[3], int32), ir.Constant(int32, 0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


@compiled()
def run_program(arguments: Any) -> None:
    """Run loops one after the other, each on as many threads as it is given, with its counters set to zero before.

    Arguments: the address of `GOMP_parallel` (not called for a single thread), the number of loops, and for each loop its
    address, that of its arguments, and the number of threads.
    """
    parallel, n = arguments[0], arguments[1]
    for k in range(2, 2 + 3 * n, 3):
        loop, given, n_threads = arguments[k], arguments[k + 1], arguments[k + 2]
        counters = int64s(int64s(given)[0])
        counters[0] = counters[1] = 0
        if n_threads == 1:
            _call(loop, given)
        else:
            _call_on_threads(parallel, loop, given, n_threads)
