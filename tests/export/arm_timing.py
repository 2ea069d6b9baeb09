"""Run by an emulated ARM Python: CPU seconds of one call of each LiteRT file, and its first output.

Usage: python arm_timing.py FILE…
"""

import json
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

CALLS = 3

for path in sys.argv[1:]:
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
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    print(json.dumps({"seconds": min(seconds), "output": output.ravel().tolist()}), flush=True)
