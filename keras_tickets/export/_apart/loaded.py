"""The memory that an exported model takes in this process, in bytes.

The model is read twice: the first time loads the runtime's own code too.

    python keras_tickets/export/_apart/loaded.py FORMAT PATH INPUTS DTYPES
"""

import importlib
import json
import sys

import arrays
import memory


def main() -> None:
    """Prints the bytes, or `null` on systems other than Linux."""
    format, path, inputs, dtypes = sys.argv[1:]
    prepare = importlib.import_module(f"run_{format}").prepare
    values = arrays.read(inputs, json.loads(dtypes))
    prepare(path, values)()
    with memory.PeakGrowth() as growth:
        call = prepare(path, values)
        call()
    print(json.dumps(growth.bytes))


if __name__ == "__main__":
    main()
