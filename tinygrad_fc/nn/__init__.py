"""Layers, losses and initialisers, and the modules that hold their state."""

from . import functional, init
from .layers import BatchNorm1d, Dropout, LayerNorm, Linear, ReLU, Sequential
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
from .module import Module, Parameter
from .summary import Summary

__all__ = [
    "BatchNorm1d", "Dropout", "LayerNorm", "Linear", "Module", "Parameter", "ReLU", "SVMLoss", "Sequential",
    "SoftmaxLoss", "functional", "init",
    "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "NLLLoss",
    "Summary",
]  # fmt: skip
