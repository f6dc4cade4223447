"""The public names and where they live; `__init__.py` reads this list."""

from .api import (
    CompressionModel,
    ContinuousBatchingModel,
    DistributedModel,
    EconomicsModel,
    EfficiencyModel,
    Engine,
    Hardware,
    InferenceScalingModel,
    Infra,
    Models,
    ScalingModel,
    ServingModel,
    SustainabilityModel,
    Systems,
    WeightStreamingModel,
)
from .api_analysis import SensitivitySolver, SynthesisSolver
from .api_planning import BatchingOptimizer, ParallelismOptimizer, PlacementOptimizer
from .api_systems import (
    CheckpointModel,
    DataModel,
    OrchestrationModel,
    ReliabilityModel,
    ResponsibleEngineeringModel,
    TailLatencyModel,
    TopologyModel,
    TransformationModel,
)
from .catalogue import CATALOGUE
from .equations.economics import activity_power, carbon, gpu_hour, ironlaw, ironlaw_devices, residual, token_cost
from .equations.finance import (
    annuity,
    breakeven_hours,
    breakeven_utilisation,
    burdened_power,
    cluster_month,
    electricity,
    electricity_cost,
    failure_cost,
    input_token_price,
    levelised_cost,
    rental_cost,
    request_cost,
    run_depreciation,
    server_year,
    straight_line,
)
from .equations.network import allreduce, alltoall, bubble, tree_allreduce
from .equations.paging import mean_length, mean_pages
from .equations.queueing import allen_cunneen, erlang_c, sojourn_tail
from .equations.reliability import checkpoint_interval, goodput, mtbf
from .equations.roofline import attainable, ridge_point, roofline_time
from .equations.scaling import chinchilla_loss, chinchilla_optimum, powerlaw_params
from .equations.serving import speculation
from .equations.transformer import chinchilla_params, chinchilla_tokens, kv_size, mla_size, train_flops
from .errors import MissingFact, MlsysError, OutOfDomain, UnknownName, WrongArguments
from .solvers.algorithm import compression
from .solvers.analysis import sensitivity, synthesis
from .solvers.batches import batch_limit
from .solvers.batching import batching
from .solvers.capacity import capacity
from .solvers.collectives import collective
from .solvers.data import ingestion, topology, transformation
from .solvers.fleet import training
from .solvers.inverse import solve_for
from .solvers.levers import elasticities
from .solvers.memory import memory
from .solvers.node import roofline
from .solvers.operations import power, sustainability, tco
from .solvers.planning import power_budget, token_price
from .solvers.queueing import queue, tail_latency
from .solvers.reasoning import reasoning
from .solvers.reliability import checkpoint, reliability
from .solvers.run import training_run
from .solvers.safety import safety
from .solvers.scaling import chinchilla
from .solvers.search import parallelism, placement
from .solvers.serving import kvcache, serving, throughput
from .solvers.software import efficiency, software
from .solvers.streaming import streaming
from .solvers.walls import walls
from .solvers.why import why
from .sweeps import sweep
from .version import __version__ as __version__

__all__ = [
    "CATALOGUE",
    "BatchingOptimizer",
    "CheckpointModel",
    "CompressionModel",
    "ContinuousBatchingModel",
    "DataModel",
    "DistributedModel",
    "EconomicsModel",
    "EfficiencyModel",
    "Engine",
    "Hardware",
    "InferenceScalingModel",
    "Infra",
    "MissingFact",
    "MlsysError",
    "Models",
    "OrchestrationModel",
    "OutOfDomain",
    "ParallelismOptimizer",
    "PlacementOptimizer",
    "ReliabilityModel",
    "ResponsibleEngineeringModel",
    "ScalingModel",
    "SensitivitySolver",
    "ServingModel",
    "SustainabilityModel",
    "SynthesisSolver",
    "Systems",
    "TailLatencyModel",
    "TopologyModel",
    "TransformationModel",
    "UnknownName",
    "WeightStreamingModel",
    "WrongArguments",
    "__version__",
    "activity_power",
    "allen_cunneen",
    "allreduce",
    "alltoall",
    "annuity",
    "attainable",
    "batch_limit",
    "batching",
    "breakeven_hours",
    "breakeven_utilisation",
    "bubble",
    "burdened_power",
    "capacity",
    "carbon",
    "checkpoint",
    "checkpoint_interval",
    "chinchilla",
    "chinchilla_loss",
    "chinchilla_optimum",
    "chinchilla_params",
    "chinchilla_tokens",
    "cluster_month",
    "collective",
    "compression",
    "efficiency",
    "elasticities",
    "electricity",
    "electricity_cost",
    "erlang_c",
    "failure_cost",
    "goodput",
    "gpu_hour",
    "ingestion",
    "input_token_price",
    "ironlaw",
    "ironlaw_devices",
    "kv_size",
    "kvcache",
    "levelised_cost",
    "mean_length",
    "mean_pages",
    "memory",
    "mla_size",
    "mtbf",
    "parallelism",
    "placement",
    "power",
    "power_budget",
    "powerlaw_params",
    "queue",
    "reasoning",
    "reliability",
    "rental_cost",
    "request_cost",
    "residual",
    "ridge_point",
    "roofline",
    "roofline_time",
    "run_depreciation",
    "safety",
    "sensitivity",
    "server_year",
    "serving",
    "software",
    "sojourn_tail",
    "solve_for",
    "speculation",
    "straight_line",
    "streaming",
    "sustainability",
    "sweep",
    "synthesis",
    "tail_latency",
    "tco",
    "throughput",
    "token_cost",
    "token_price",
    "topology",
    "train_flops",
    "training",
    "training_run",
    "transformation",
    "tree_allreduce",
    "walls",
    "why",
]
