"""All sizes of bet on a place at once, with the processor's vector instructions.

An employee's row is a hundred and twenty bets, and every posting touches nearly all. Left to itself the compiler takes them one by one;
so the two loops over them are given to it as vectors of four. Each lane's arithmetic is what the loop in `evidence` would do, in its
order: the result is the same to the bit, on every processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SIZES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # [ε] the bets: from one posting in two hundred to one in five
BETS = len(SIZES)
LANES = 2 * BETS  # numbers of a place: the products of all sizes, then their Shiryaev–Roberts sums
LARGEST = 1e300  # what is won stays a double; less than was won is still evidence,
SMALLEST = 1e-290  # and so is the nothing that losses end in: below, a processor computes slowly
_DOUBLE = ir.DoubleType()


def _vector(values: Sequence[float]) -> Any:
    return ir.Constant(ir.VectorType(_DOUBLE, len(values)), list(values))


def _at(builder: Any, data: Any, index: Any, width: int) -> Any:
    """A pointer to `width` doubles from a flat place on."""
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(_DOUBLE, width).as_pointer())


def _four_times(builder: Any, value: Any) -> Any:
    vector = ir.Constant(ir.VectorType(_DOUBLE, 4), ir.Undefined)
    for k in range(4):
        vector = builder.insert_element(vector, value, ir.Constant(ir.IntType(32), k))
    return vector


@intrinsic  # type: ignore[untyped-decorator]
def bet_on_lanes(typing: Any, array: Any, first: Any, slope: Any, begun: Any) -> Any:
    """Take a posting into the LANES numbers from `first` on: x ← (x + `begun` where it is a sum) · (1 + ε · slope), kept in range."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        slopes, begins = _four_times(builder, args[2]), _four_times(builder, args[3])
        for chunk in range(0, LANES, 4):
            place = _at(builder, data, builder.add(args[1], args[1].type(chunk)), 4)
            size = _vector([SIZES[k % BETS] for k in range(chunk, chunk + 4)])
            is_sum = _vector([float(k >= BETS) for k in range(chunk, chunk + 4)])
            factor = builder.fadd(_vector([1.0] * 4), builder.fmul(size, slopes))
            now = builder.fmul(builder.fadd(builder.load(place, align=8), builder.fmul(is_sum, begins)), factor)
            now = builder.select(builder.fcmp_ordered(">", now, _vector([SMALLEST] * 4)), now, _vector([0.0] * 4))
            now = builder.select(builder.fcmp_ordered("<", now, _vector([LARGEST] * 4)), now, _vector([LARGEST] * 4))
            builder.store(now, place, align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.float64, types.float64), emit


@intrinsic  # type: ignore[untyped-decorator]
def sum_of_places(typing: Any, array: Any, first: Any, places: Any) -> Any:
    """Return the sum of BETS numbers from `first` on, of so many places LANES apart: each size over its places, then over the sizes."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        four, two = ir.VectorType(_DOUBLE, 4), ir.VectorType(_DOUBLE, 2)
        left, right = (cgutils.alloca_once(builder, each) for each in (four, two))  # type: ignore[no-untyped-call]
        builder.store(_vector([0.0] * 4), left)
        builder.store(_vector([0.0] * 2), right)
        with cgutils.for_range(builder, args[2]) as loop:  # type: ignore[no-untyped-call]
            at = builder.add(args[1], builder.mul(loop.index, loop.index.type(LANES)))
            builder.store(builder.fadd(builder.load(left), builder.load(_at(builder, data, at, 4), align=8)), left)
            behind = builder.add(at, at.type(4))
            builder.store(builder.fadd(builder.load(right), builder.load(_at(builder, data, behind, 2), align=8)), right)
        total = ir.Constant(_DOUBLE, 0.0)
        for k in range(BETS):
            lane = builder.extract_element(builder.load(left if k < 4 else right), ir.Constant(ir.IntType(32), k % 4))
            total = builder.fadd(total, lane)
        return total

    return types.float64(array, types.int64, types.int64), emit
