"""Workarounds for known missing operators and errors of converters and runtimes."""

import re

UNROLL = "recurrent layers take unroll=True, which needs inputs with a fixed number of time steps"
# Text to look for in the names of operators or in the error, and the workaround.
KNOWN = {
    r"TensorList|\bWhile\b|ConvLSTM": UNROLL,
    r"\bErfc?\b": "keras.activations.gelu takes approximate=True, which needs no such operator",
    r"\bBitcast\b|\bBitwiseAnd\b": (
        "keras.ops.argmax, argmin and signbit of floats use it: let the model return the scores "
        "instead"
    ),
    r"HashTable|LookupTable|StringTo|AsString|StaticRegex|StringSplit": (
        "look strings up before the model, outside of what is exported"
    ),
    r"PartitionedCall(?!/)": (
        "Keras compiles grouped convolutions with XLA, which only the other formats can read; "
        "convolutions without `groups`, or one for each group, have no such call"
    ),
    r"\b(MatMul|BatchMatMulV2|BiasAdd|Conv2D|Relu)\b": (
        "it has these for float32 alone: let layers and inputs have dtype='float32'"
    ),
    r"RandomUniform|RandomStandardNormal|StatelessRandom": (
        "random layers must be off in inference: call them without training=True"
    ),
}


def advice_for(text: str) -> str:
    """A sentence with the workaround; empty if none is known."""
    found = [advice for pattern, advice in KNOWN.items() if re.search(pattern, text)]
    return f" What helps: {'; '.join(found)}." if found else ""


def lacks(format: str, operators: list[str]) -> str:
    """Says that a format lacks these operators, and what to do."""
    names = ", ".join(operators)
    which = "operator" if len(operators) == 1 else "operators"
    return f"{format} has no {which} {names}.{advice_for(' '.join(operators))}"
