"""Codes: what the machine's instructions do, by number."""

from enum import IntEnum

# Multiplications from which compiled kernels share a product among threads: what OpenBLAS begins to share, too.
SMALL_PRODUCT = 262_145


class Code(IntEnum):
    """What an instruction does. The operands stand behind it: first addresses, then lengths, then flags."""

    PRODUCT = 0  # a, b, c, extra, scratch | m, n, k, lda, ldb, ldc | ta, tb, ending
    SUM_ROWS = 1  # g, out | rows, columns
    SOFTMAX_LOSS = 2  # x, y, slope, losses | rows, columns
    MEAN = 3  # losses, out | count
    RELU = 4  # x, out | size
    RELU_GRADIENT = 5  # g, out, d | size
    ADD = 6  # a, b | size
    BATCH_NORM = 7  # x, gamma, beta, out, normal, rate, mean, variance | rows, columns
    BATCH_NORM_GRADIENT = 8  # g, gamma, normal, rate, d, along, total | rows, columns
    RUNNING = 9  # average, batch | size
    KEEP = 10  # key, mask | size, limit
    DROP = 11  # x, mask, out | size
    SCALE = 12  # x, out | size
    SQUARES = 13  # x, parts | size
    HALF_SUM = 14  # parts, out | count
    SGD = 20  # w, dw | size; so are all that follow, with the arrays that the rule keeps behind dw
    SGD_MOMENTUM = 21
    SGD_NESTEROV = 22
    RMSPROP = 23
    ADAM = 24
    ADAGRAD = 25
    ADADELTA = 26
    ADAMAX = 27
    LION = 28


class Ending(IntEnum):
    """What is done to a product while it is still in the cache; `extra` is the array that it reads."""

    NOTHING = 0
    BIAS = 1
    BIAS_RELU = 2
    RELU_GRADIENT = 3
