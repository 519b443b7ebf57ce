"""Data sets, as the dictionaries of arrays that a solver takes, and augmentations of their images."""

from .arrays import load_arrays
from .augment import Compose, RandomHorizontalFlip, RandomShift
from .cifar10 import fetch_cifar10, load_cifar10, read_cifar10
from .digits import load_digits
from .fashion_mnist import CLASSES as FASHION_MNIST_CLASSES
from .fashion_mnist import load_fashion_mnist, read_fashion_mnist

__all__ = [
    "FASHION_MNIST_CLASSES", "Compose", "RandomHorizontalFlip", "RandomShift", "fetch_cifar10", "load_arrays",
    "load_cifar10", "load_digits", "load_fashion_mnist", "read_cifar10", "read_fashion_mnist",
]  # fmt: skip
