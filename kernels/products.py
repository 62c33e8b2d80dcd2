"""Products of small matrices, blocked in registers, with what a perceptron does before and after them fused in.

A tile of 8 rows by 32, 16 or 8 columns stays in registers while the sum runs; the intrinsic below writes its code,
since no loop of Python's is vectorized this way for certain. On one core of a Zen 4 EPYC it does 112–117 GFLOP/s from
sums of 30 terms on, where OpenBLAS, called for blocks of this size, does about 60. Each element is one chain of fused
multiply-adds in the order of the sum, so that its bytes depend neither on the tile's width nor on its neighbors.

All matrices lie in flat float32 arrays, each by an offset and a stride, with rows and columns padded to multiples of
`UNIT`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

UNIT: Final = 8  # rows and columns come in multiples of it
# 32 columns want 16 registers of 16 numbers for the sums alone; with AVX2 or NEON they would be spilled to memory.
WIDE: Final = bool(llvm.get_host_cpu_features().get("avx512f", False))

Flat = NDArray[np.float32]


def _tile(columns: int, start: str, end: str) -> Any:
    """Return the intrinsic for a tile of `UNIT` rows: `out[m, c] = end(start + Σ_k left[m, k] · right[k, c])`.

    Args:
        columns: 32, 16 or 8.
        start: "zero", "bias" (a row at an offset in *right*) or "out" (add to what is there).
        end: "keep", "relu", or "gate": zero where what *out* held was not positive.
    """
    lanes = min(columns, 16)
    vectors = range(columns // lanes)
    vector = ir.VectorType(ir.FloatType(), lanes)
    zero = ir.Constant(vector, [0.0] * lanes)

    @intrinsic
    def tile(_, out, at, stride, left, l_at, l_row, l_step, right, r_at, r_stride, bias_at, count):  # type: ignore[no-untyped-def]  # noqa: ARG001
        whole = types.intp
        signature = types.void(out, whole, whole, left, whole, whole, whole, right, whole, whole, whole, whole)

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            def data(position: int) -> Any:
                return context.make_array(signature.args[position])(context, builder, given[position]).data

            def address(pointer: Any, offset: Any, number: int = 0) -> Any:
                offset = builder.add(offset, ir.Constant(offset.type, number * lanes))
                return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

            def load(pointer: Any, offset: Any, number: int) -> Any:
                value = builder.load(address(pointer, offset, number))
                value.align = 4
                return value

            def rows(offset: Any, stride: Any) -> list[Any]:
                return [builder.add(offset, builder.mul(stride, ir.Constant(stride.type, row))) for row in range(UNIT)]

            out, left, right = data(0), data(3), data(7)
            at, stride, l_at, l_row, l_step = (given[position] for position in (1, 2, 4, 5, 6))
            r_at, r_stride, bias_at, count = given[8:]
            fused = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f32"
            )
            first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            out_rows, left_rows = rows(at, stride), rows(l_at, l_row)
            # Stack slots that LLVM turns into registers.
            sums = [[cgutils.alloca_once(builder, vector) for _ in vectors] for _ in range(UNIT)]
            for row in range(UNIT):
                for number in vectors:
                    if start == "out":
                        begun = load(out, out_rows[row], number)
                    else:
                        begun = load(right, bias_at, number) if start == "bias" else zero
                    builder.store(begun, sums[row][number])
            with cgutils.for_range(builder, count) as loop:
                r_row = builder.add(r_at, builder.mul(loop.index, r_stride))
                l_column = builder.mul(loop.index, l_step)
                factors = [load(right, r_row, number) for number in vectors]
                for row in range(UNIT):
                    one = builder.load(builder.gep(left, [builder.add(left_rows[row], l_column)]))
                    one = builder.insert_element(ir.Constant(vector, ir.Undefined), one, ir.Constant(ir.IntType(32), 0))
                    one = builder.shuffle_vector(one, one, first)
                    for number in vectors:
                        total = builder.call(fused, [one, factors[number], builder.load(sums[row][number])])
                        builder.store(total, sums[row][number])
            for row in range(UNIT):
                for number in vectors:
                    total = builder.load(sums[row][number])
                    if end == "relu":  # so compared that NaN passes: a training that has failed must show it
                        total = builder.select(builder.fcmp_ordered("<", total, zero), zero, total)
                    elif end == "gate":
                        passed = builder.fcmp_ordered(">", load(out, out_rows[row], number), zero)
                        total = builder.select(passed, total, zero)
                    builder.store(total, address(out, out_rows[row], number)).align = 4
            return context.get_dummy_value()

        return signature, generate

    return tile


def _product(start: str, end: str) -> Callable[..., None]:
    """Return the compiled product of two matrices of any size, made of tiles."""
    tile_32, tile_16, tile_8 = (_tile(columns, start, end) for columns in (32, 16, 8))

    @njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
    def product(
        out: Flat,
        at: int,
        stride: int,
        rows: int,
        columns: int,
        left: Flat,
        l_at: int,
        l_row: int,
        l_step: int,
        right: Flat,
        r_at: int,
        r_stride: int,
        bias_at: int,
        count: int,
    ) -> None:
        done = 0
        # Row by row within a panel of columns: the panel of *right* stays in the first cache.
        while WIDE and columns - done >= 32:
            for m in range(0, rows, UNIT):
                tile_32(out, at + m * stride + done, stride, left, l_at + m * l_row, l_row, l_step, right,
                        r_at + done, r_stride, bias_at + done, count)  # fmt: skip
            done += 32
        while WIDE and columns - done >= 16:
            for m in range(0, rows, UNIT):
                tile_16(out, at + m * stride + done, stride, left, l_at + m * l_row, l_row, l_step, right,
                        r_at + done, r_stride, bias_at + done, count)  # fmt: skip
            done += 16
        while columns - done >= UNIT:
            for m in range(0, rows, UNIT):
                tile_8(out, at + m * stride + done, stride, left, l_at + m * l_row, l_row, l_step, right,
                       r_at + done, r_stride, bias_at + done, count)  # fmt: skip
            done += UNIT

    return product  # type: ignore[no-any-return]


# Each takes (out, at, stride, rows, columns, left, l_at, l_row, l_step, right, r_at, r_stride, bias_at, count): the
# left factor's element [m, k] is at l_at + m·l_row + k·l_step, the right one's [k, c] at r_at + k·r_stride + c.
affine: Final = _product("bias", "keep")  # out = left · right + bias
affine_relu: Final = _product("bias", "relu")  # out = max(0, left · right + bias)
add_product: Final = _product("out", "keep")  # out += left · right
gated_product: Final = _product("zero", "gate")  # out = left · right where out was positive, else 0


@intrinsic
def prefetch(_, array, at):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Ask for the cache line of `array[at]`, flat and C-contiguous; where nothing is there, nothing happens."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        pointer = context.make_array(signature.args[0])(context, builder, given[0]).data
        line = builder.bitcast(builder.gep(pointer, [given[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), number, number, number])
        wanted = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(wanted, [line, ir.Constant(number, 0), ir.Constant(number, 2), ir.Constant(number, 1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate
