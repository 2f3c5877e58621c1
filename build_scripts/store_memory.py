"""Memory of the stores of scores, bytes a score:  store_memory.py [N ...]"""

import sys
import tracemalloc

import numpy as np

from a1_trt.core.conformal import CalibrationSet, Histogram

for n in [int(text) for text in sys.argv[1:]] or [10**3, 10**4, 10**5, 10**6, 10**7]:
    scores = np.random.default_rng(0).lognormal(0.4, 0.5, n)
    sizes = []
    for make in (CalibrationSet, Histogram):
        tracemalloc.start()
        store = make()
        for score in scores if make is CalibrationSet else scores[:1000]:  # a histogram's size does not depend on n
            store.add(float(score))
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    exact, bins = (size / 2**20 for size in sizes)
    print(f"{n:>9} scores: exact {exact:8.2f} MiB, {sizes[0] / n:5.1f} bytes each; histogram {bins:.2f} MiB")
