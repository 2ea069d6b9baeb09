"""Run by an emulated ARM Python: what LiteRT files compute there, how long, and how much sparse.

Usage: python arm_program.py ADDRESS FILE…

ADDRESS is that of XNNPACK's function `create_spmm_path` in the library of LiteRT, which it calls
once for each convolution that it makes sparse; the call is counted by code put in its place.
Prints for each file a line of JSON: how many convolutions are sparse, the CPU seconds of a call,
and its outputs, or why the file cannot be loaded.
"""

import ctypes
import json
import mmap
import struct
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

LIBRARY = "libpywrap_litert_common"
CALLS = 3
ALL = 7  # a page may be read, written and executed
# Instructions: load an address and jump there; the address follows.
JUMP = (0x58000050, 0xD61F0200)
# Add 1 to the number whose address is 40 bytes ahead.
COUNT = (0x58000150, 0xF9400211, 0x91000631, 0xF9000211)
# Jump to the address that is 16 bytes ahead.
BACK = (0x58000090, 0xD61F0200)


class Calls:
    """Counts the calls of the function at an address of the library."""

    def __init__(self, address):
        with open("/proc/self/maps") as lines:
            starts = [int(line.split("-")[0], 16) for line in lines if LIBRARY in line]
        function = min(starts) + address
        self.number = ctypes.c_uint64(0)
        self.code = mmap.mmap(-1, mmap.PAGESIZE, prot=ALL)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.code))
        self.code.write(
            struct.pack("<4I", *COUNT)
            + ctypes.string_at(function, 16)
            + struct.pack("<2I", *BACK)
            + struct.pack("<2Q", ctypes.addressof(self.number), function + 16)
        )
        libc = ctypes.CDLL(None)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        page = function & -mmap.PAGESIZE
        assert libc.mprotect(page, 2 * mmap.PAGESIZE, ALL) == 0
        ctypes.memmove(function, struct.pack("<2IQ", *JUMP, start), 16)


def run(path, created):
    created.number.value = 0
    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    values = np.linspace(-1, 1, int(np.prod(image["shape"])), dtype="float32")
    interpreter.set_tensor(image["index"], values.reshape(image["shape"]))
    interpreter.invoke()
    seconds = []
    for _ in range(CALLS):
        start = time.process_time()
        interpreter.invoke()
        seconds.append(time.process_time() - start)
    outputs = [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]
    return {
        "sparse": created.number.value,
        "seconds": min(seconds),
        "outputs": [output.tolist() for output in outputs],
    }


if __name__ == "__main__":
    created = Calls(int(sys.argv[1], 16))
    for path in sys.argv[2:]:
        try:
            result = run(path, created)
        except RuntimeError as error:
            result = {"error": str(error)}
        print(json.dumps(result), flush=True)
