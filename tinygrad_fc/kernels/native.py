"""What compiled loops need beneath Python: calls by address, memory by address, and atomic reads and writes.

Numba compiles each of these functions into the instruction or the call that it names. Addresses are 64-bit integers, so
that a compiled function holds none itself and can be cached on disk.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types

intrinsic: Any = extending.intrinsic  # what it makes is called with one argument less than mypy reads
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_ROW_MAJOR = 101  # CblasRowMajor


@intrinsic
def call_gemm(typing, address, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):  # type: ignore[no-untyped-def]
    """Call the BLAS function gemm (CBLAS, row-major, 64-bit integers) at an address; its precision is alpha's."""
    whole, flag = types.int64, types.int32
    sizes, places = (whole,) * 3, (whole, whole)
    signature = types.void(whole, flag, flag, *sizes, alpha, *places, *places, alpha, *places)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        real = context.get_value_type(alpha)
        kinds = [_I32, _I32, _I32, _I64, _I64, _I64, real, _I64, _I64, _I64, _I64, real, _I64, _I64]
        function = builder.inttoptr(args[0], ir.FunctionType(ir.VoidType(), kinds).as_pointer())
        builder.call(function, [ir.Constant(_I32, _ROW_MAJOR), *args[1:]])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def call(typing, address, argument):  # type: ignore[no-untyped-def]
    """Call a C function of one pointer-sized integer that returns an int."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        function = builder.inttoptr(args[0], ir.FunctionType(_I32, [_I64]).as_pointer())
        return builder.call(function, [args[1]])

    return types.int32(types.int64, types.int64), codegen


@intrinsic
def call_runner(typing, address, rows, reals, count, team, me, size):  # type: ignore[no-untyped-def]
    """Call a compiled `machine.run` at an address."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(ir.VoidType(), [_I64] * 6)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 7), codegen


@intrinsic
def pointer(typing, address, like):  # type: ignore[no-untyped-def]
    """Return the address as a pointer to numbers of the type of `like`, for `numba.carray`."""
    kinds: Any = types
    signature = kinds.CPointer(like)(types.int64, like)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return signature, codegen


@intrinsic
def width_of(typing, like):  # type: ignore[no-untyped-def]
    """Return the bytes of a real number of the type of `like`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return ir.Constant(_I64, like.bitwidth // 8)

    return types.int64(like), codegen


def _in_one_step(operation: str) -> Any:
    """Return what writes an operation on the 64-bit integer at an address that no other thread can come into."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = builder.inttoptr(args[0], _I64.as_pointer())
        return builder.atomic_rmw(operation, place, args[1], "seq_cst")

    return codegen


@intrinsic
def atomic_add(typing, address, value):  # type: ignore[no-untyped-def]
    """Add to the 64-bit integer at an address, as one step for all threads; return what it was before."""
    return types.int64(types.int64, types.int64), _in_one_step("add")


@intrinsic
def atomic_swap(typing, address, value):  # type: ignore[no-untyped-def]
    """Write the 64-bit integer at an address, as one step for all threads; return what it was before."""
    return types.int64(types.int64, types.int64), _in_one_step("xchg")


@intrinsic
def atomic_load(typing, address):  # type: ignore[no-untyped-def]
    """Return the 64-bit integer at an address; what its writer wrote before it is then seen too."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.load_atomic(builder.inttoptr(args[0], _I64.as_pointer()), "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def atomic_store(typing, address, value):  # type: ignore[no-untyped-def]
    """Write the 64-bit integer at an address, after everything that this thread wrote before."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        builder.store_atomic(args[1], builder.inttoptr(args[0], _I64.as_pointer()), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen
