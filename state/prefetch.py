"""Asking memory for what a later event will need: with many keys, a fold waits for memory longer than it computes.

Which keys the next events of a batch have is known, so their rows can be on the way while an earlier one is worked on. A prefetch is a
hint to the processor: it changes no value, and an address beyond the end does no harm.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LINE = 8  # words of a cache line
FAR, NEAR = 8, 4  # events ahead: at FAR a key's row is asked for, at NEAR what its row points to


@intrinsic  # type: ignore[untyped-decorator]
def _ask(typing: Any, array: Any, index: Any) -> Any:
    """Emit `llvm.prefetch` (to write, to keep, data) for an element of an array that lies in one piece."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = context.make_array(signature.args[0])(context, builder, args[0])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.bitcast(builder.gep(whole.data, [args[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        builder.call(ask, [place, number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), emit


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def ask_for(array, first, many):  # type: ignore[no-untyped-def]
    """Have `many` elements from the flat place `first` on brought to the cache."""
    for place in range(first, first + many, LINE):
        _ask(array, place)  # type: ignore[call-arg]


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def ask_for_row(rows, slot):  # type: ignore[no-untyped-def]
    """Have a key's row brought to the cache, whatever its shape."""
    width = rows[0].size if len(rows) > 0 else 0
    ask_for(rows, slot * width, width)


@intrinsic  # type: ignore[untyped-decorator]
def _ask_at(typing: Any, address: Any) -> Any:
    """The same of an address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        builder.call(ask, [builder.inttoptr(args[0], byte), number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), emit


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def ask_for_words(address, first, many):  # type: ignore[no-untyped-def]
    """Have the lines brought to the cache in which the words `first` … `first + many` − 1 behind an address lie."""
    for line in range((address + 8 * first) & -64, address + 8 * (first + many), 64):
        _ask_at(line)  # type: ignore[call-arg]
