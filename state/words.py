"""Eight-byte words by their address.

A kernel that hands arrays from function to function counts who holds them, at every call: an atomic addition, which costs as much as
going through a card's transactions. An address is a number and is not counted. Who takes one keeps the array alive and in its place for
as long: inside a kernel that has the array as an argument nothing can go wrong. Nothing here looks whether a word is inside its array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

WORD = 8  # bytes
LINE = 64  # bytes of a line of the cache


def in_lines(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array of zeros that begins where a line of the cache does, so that rows of whole lines touch no more of them than they must."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    room = np.zeros(size + LINE, np.uint8)
    skipped = -room.ctypes.data % LINE
    lines: NDArray[Any] = room[skipped : skipped + size].view(dtype).reshape(shape)
    return lines


def _place(builder: Any, args: Any, kind: Any) -> Any:
    return builder.gep(builder.inttoptr(args[0], kind.as_pointer()), [args[1]])


def _address_of(typing: Any, array: Any) -> Any:
    """Where an array begins."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(whole.data, ir.IntType(64))

    return types.int64(array), emit


def _peek(typing: Any, address: Any, word: Any) -> Any:
    """The whole number in a word behind an address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(builder, args, ir.IntType(64)), align=8)

    return types.int64(types.int64, types.int64), emit


def _poke(typing: Any, address: Any, word: Any, value: Any) -> Any:
    """Write a whole number there."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _place(builder, args, ir.IntType(64)), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


def _peek_single(typing: Any, address: Any, single: Any) -> Any:
    """A float32 behind an address, two to a word."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(builder, args, ir.FloatType()), align=4)

    return types.float32(types.int64, types.int64), emit


def _poke_single(typing: Any, address: Any, single: Any, value: Any) -> Any:
    """Write a float32 there."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _place(builder, args, ir.FloatType()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32), emit


address_of: Any = intrinsic(_address_of)
peek: Any = intrinsic(_peek)
poke: Any = intrinsic(_poke)
peek_single: Any = intrinsic(_peek_single)
poke_single: Any = intrinsic(_poke_single)
