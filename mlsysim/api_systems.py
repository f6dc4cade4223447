"""Classes of the walls around the accelerators, in the spirit of the cheat sheet: queues, data, failures, safety.

A few lines each over the solvers; a parameter whose name ends in a unit is in that unit, any other in base units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import OutOfDomain
from .solvers.data import IngestionResult, TopologyResult, TransformationResult, ingestion, topology, transformation
from .solvers.operations import accelerators
from .solvers.queueing import JobQueueResult, TailLatencyResult, queue, tail_latency
from .solvers.reliability import CheckpointResult, ReliabilityResult, checkpoint, reliability
from .solvers.safety import SafetyResult, safety
from .things import Device, Fabric, Fleet
from .units import Real, as_floats

DAY, HOUR = 86400.0, 3600.0


def _scaled(value: Any, name: str, unit: float) -> Any:
    """A number in the unit that its name says, in base units; text and blanks are judged at the door of the solver."""
    return value if value is None or isinstance(value, str) else as_floats(value, name) * unit


class TailLatencyModel:
    """Response times of a pool of replicas (wall 7)."""

    @staticmethod
    def solve(
        arrival_rate_qps: Real, service_latency_ms: Real, num_replicas: Real = 1, service_time_cv: Real = 1
    ) -> TailLatencyResult:
        """See `mlsysim.tail_latency`."""
        service = _scaled(service_latency_ms, "service_latency_ms", 1e-3)
        return tail_latency(
            arrival_rate=arrival_rate_qps, service_time=service, servers=num_replicas, cv=service_time_cv
        )


class DataModel:
    """Storage against the accelerators' demand (wall 8)."""

    @staticmethod
    def solve(workload_data_rate: Real, hardware: Any, **options: Any) -> IngestionResult:
        """See `mlsysim.ingestion`: the supply is the device's storage behind its host link; unknown is refused."""
        device = Device.of(hardware)
        supply, host = device.need("storage_bandwidth"), device.need("host_link")
        return ingestion(demand=workload_data_rate, supply=supply, **{"network_rate": host} | options)


class TransformationModel:
    """Preparation of samples against the accelerator step (wall 9)."""

    @staticmethod
    def solve(
        batch_size: Real,
        sample_size_bytes: Real,
        cpu_throughput: Real,
        accelerator_step_time: Real,
        **options: Any,
    ) -> TransformationResult:
        """See `mlsysim.transformation`; further keywords are its options."""
        return transformation(
            batch=batch_size,
            sample_size=sample_size_bytes,
            cpu_rate=cpu_throughput,
            step_time=accelerator_step_time,
            **options,
        )


class TopologyModel:
    """Bisection bandwidth of a fabric (wall 10)."""

    @staticmethod
    def solve(fabric: Any, topology_kind: str | None = None, num_nodes: Real = 64, **options: Any) -> TopologyResult:
        """See `mlsysim.topology`; blank: the fabric's own layout.  ``topology=`` is taken for `topology_kind`."""
        net = Fabric.of(fabric)
        kind: Any = str(options.pop("topology", topology_kind) or net.topology).replace("-", "_")
        over = 1.0 if net.oversubscription is None else net.oversubscription
        return topology(link=net.bandwidth, nodes=num_nodes, kind=kind, **{"oversubscription": over} | options)


class ReliabilityModel:
    """Goodput under failures and checkpoints (wall 15)."""

    @staticmethod
    def solve(
        fleet: Any,
        job_duration_hours: Real,
        checkpoint_time_s: Real = 60,
        avg_recovery_time_s: Real = 300,
        **options: Any,
    ) -> ReliabilityResult:
        """See `mlsysim.reliability`; further keywords are its options."""
        hours = _scaled(job_duration_hours, "job_duration_hours", HOUR)
        return reliability(
            fleet, hours=hours, save_time=checkpoint_time_s, recovery_time=avg_recovery_time_s, **options
        )


class OrchestrationModel:
    """Jobs that wait for a share of a cluster (wall 16)."""

    @staticmethod
    def solve(
        fleet: Any,
        arrival_rate_jobs_per_day: Real,
        avg_job_duration_days: Real,
        devices_per_job: Real,
        **options: Any,
    ) -> JobQueueResult:
        """See `mlsysim.queue`: the fleet has as many slots as jobs of `devices_per_job` fit at the same time."""
        owner = Fleet.of(fleet)
        size = as_floats(devices_per_job, "devices_per_job")
        slots = np.floor(accelerators(owner) / np.where(size > 0, size, np.nan))
        if not np.all(slots >= 1):
            raise OutOfDomain(f"devices_per_job must be from 1 up to the {accelerators(owner):g} of {owner.key}")
        return queue(
            arrivals_per_day=_scaled(arrival_rate_jobs_per_day, "arrival_rate_jobs_per_day", 1 / DAY),
            job_days=_scaled(avg_job_duration_days, "avg_job_duration_days", DAY),
            servers=slots,
            **options,
        )


class CheckpointModel:
    """Time that saving takes from training (wall 19)."""

    @staticmethod
    def solve(
        model: Any,
        hardware: Any,
        optimizer: Any = "adam",
        checkpoint_interval_hours: Real = 4,
        n_writers: Real = 1,
        filesystem_limit_gbs: Real | None = None,
        **options: Any,
    ) -> CheckpointResult:
        """See `mlsysim.checkpoint`; one writer has the device's storage bandwidth, which must be on record."""
        limit = _scaled(filesystem_limit_gbs, "filesystem_limit_gbs", 1e9)
        return checkpoint(
            model,
            storage_bandwidth=Device.of(hardware).need("storage_bandwidth"),
            interval=_scaled(checkpoint_interval_hours, "checkpoint_interval_hours", HOUR),
            writers=n_writers,
            optimizer=optimizer,
            limit=limit,
            **options,
        )


class ResponsibleEngineeringModel:
    """Time and data that privacy and fairness cost (wall 20)."""

    @staticmethod
    def solve(
        base_training_time: Real,
        epsilon: Real = 1,
        delta: Real | None = None,
        min_subgroup_prevalence: Real = 0.01,
    ) -> SafetyResult:
        """See `mlsysim.safety`; times in seconds."""
        return safety(base_hours=base_training_time, epsilon=epsilon, subgroup=min_subgroup_prevalence, delta=delta)
