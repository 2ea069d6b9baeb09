"""Vectors as long as a cache line, for compiled loops that keep their sums in registers.

numba has scalars and arrays. A loop that adds to an array loads and stores it at every turn, since
the compiler cannot know that nothing else is changed by it; a vector is a value of its own. LLVM
divides one that is wider than the processor's registers among several.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LINE = 64


class Vector(types.Type):
    """The type of a vector of `LINE` bytes."""

    def __init__(self, dtype: types.Float):
        super().__init__(name=f"Vector({dtype})")
        self.dtype, self.lanes = dtype, LINE * 8 // dtype.bitwidth


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


@intrinsic
def zeros(typingctx, array):
    """A vector of zeros with the dtype of an array."""
    vector = Vector(array.dtype)

    def generate(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(vector), None)

    return vector(array), generate


@intrinsic
def load(typingctx, rows, i):
    """Row i of a C-contiguous matrix with a column for each lane. Nothing checks the bounds."""
    vector = Vector(rows.dtype)

    def generate(context, builder, signature, arguments):
        place = _place(context, builder, signature, arguments, vector)
        return builder.load(place, align=rows.dtype.bitwidth // 8)

    return vector(rows, types.intp), generate


@intrinsic
def store(typingctx, rows, i, vector):
    """Writes a vector where `load` would read it."""

    def generate(context, builder, signature, arguments):
        place = _place(context, builder, signature, arguments, vector)
        builder.store(arguments[2], place, align=rows.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(rows, types.intp, vector), generate


@intrinsic
def add_product(typingctx, total, factor, vector):
    """`total + factor * vector`, where factor is a scalar."""

    def generate(context, builder, signature, arguments):
        total, factor, lanes = arguments
        factors = _broadcast(builder, factor, lanes.type)
        # The processor may round once for both: no other liberty, NaN and infinity stay.
        product = builder.fmul(factors, lanes, flags=["contract"])
        return builder.fadd(total, product, flags=["contract"])

    return vector(vector, vector.dtype, vector), generate


@intrinsic
def dot(typingctx, left, right):
    """The sum of the products of two vectors."""

    def generate(context, builder, signature, arguments):
        products = builder.fmul(*arguments)
        element = products.type.element
        name = f"llvm.vector.reduce.fadd.v{products.type.count}{element.intrinsic_name}"
        kind = ir.FunctionType(element, [element, products.type])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [element(-0.0), products], fastmath=["reassoc"])

    return left.dtype(left, right), generate


def _place(context, builder, signature, arguments, vector):
    rows = context.make_array(signature.args[0])(context, builder, arguments[0])
    start = builder.mul(arguments[1], arguments[1].type(vector.lanes))
    return builder.bitcast(
        builder.gep(rows.data, [start]), context.get_value_type(vector).as_pointer()
    )


def _broadcast(builder, scalar, kind):
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None)
    return builder.shuffle_vector(first, first, lanes)
