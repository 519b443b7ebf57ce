"""Layers, losses and initialisers, and the modules that hold their state."""

from . import functional, init
from .activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    SELU,
    Activation,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Maxout,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .layers import BatchNorm1d, Dropout, Flatten, Identity, LayerNorm, Linear, Sequential
from .losses import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SoftmaxLoss,
    SVMLoss,
)
from .module import Module
from .parameter import Parameter
from .summary import Summary

__all__ = [
    "BatchNorm1d", "Dropout", "LayerNorm", "Linear", "Module", "Parameter", "ReLU", "SVMLoss", "Sequential",
    "SoftmaxLoss", "functional", "init",
    "ACTIVATIONS", "Activation", "ELU", "Flatten", "GELU", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid",
    "LogSoftmax", "Maxout", "SELU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
    "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "NLLLoss",
    "Summary",
]  # fmt: skip
