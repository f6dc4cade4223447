"""Analytical model of machine-learning systems: closed forms, solvers, and a sourced registry.

The public names, and nothing else.  Numbers are in base units (SI, byte, FLOP, token, USD).
"""

from .api import (
    CompressionModel,
    DistributedModel,
    EconomicsModel,
    Engine,
    Hardware,
    Infra,
    Models,
    ServingModel,
    SustainabilityModel,
    Systems,
)
from .catalogue import CATALOGUE
from .equations.economics import activity_power, carbon, gpu_hour, ironlaw, ironlaw_devices, residual, token_cost
from .equations.network import allreduce, alltoall, bubble, tree_allreduce
from .equations.reliability import checkpoint_interval, goodput, mtbf
from .equations.roofline import attainable, ridge_point, roofline_time
from .equations.transformer import chinchilla_params, chinchilla_tokens, kv_size, mla_size, train_flops
from .errors import MissingFact, MlsysError, OutOfDomain, UnknownName, WrongArguments
from .solvers.algorithm import compression
from .solvers.fleet import training
from .solvers.node import kvcache, roofline, serving
from .solvers.operations import power, sustainability, tco
from .version import __version__

__all__ = [
    "CATALOGUE",
    "CompressionModel",
    "DistributedModel",
    "EconomicsModel",
    "Engine",
    "Hardware",
    "Infra",
    "MissingFact",
    "MlsysError",
    "Models",
    "OutOfDomain",
    "ServingModel",
    "SustainabilityModel",
    "Systems",
    "UnknownName",
    "WrongArguments",
    "__version__",
    "activity_power",
    "allreduce",
    "alltoall",
    "attainable",
    "bubble",
    "carbon",
    "checkpoint_interval",
    "chinchilla_params",
    "chinchilla_tokens",
    "compression",
    "goodput",
    "gpu_hour",
    "ironlaw",
    "ironlaw_devices",
    "kv_size",
    "kvcache",
    "mla_size",
    "mtbf",
    "power",
    "residual",
    "ridge_point",
    "roofline",
    "roofline_time",
    "serving",
    "sustainability",
    "tco",
    "token_cost",
    "train_flops",
    "training",
    "tree_allreduce",
]
