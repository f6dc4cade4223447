"""One text for each argument name, wherever it occurs: the project's nomenclature.

The unit, the default and the legal range come from the type; they are not repeated here.
"""

TEXTS: dict[str, str] = {
    # things
    "model": "Key of the model, or its spec text",
    "hardware": "Key of the accelerator, or its spec text",
    "fleet": "Key of the fleet (cluster), or its spec text",
    "datacenter": "Key of the site; blank: the fleet's own, else US_Avg",
    "precision": "Number format of weights and arithmetic",
    "baseline": "Number format compared with",
    "kv_precision": "Number format of the KV cache; blank: as computed",
    # workload
    "batch": "Sequences (samples) processed together; in training, over the whole fleet",
    "seq_len": "Tokens in each sequence",
    "output_tokens": "Tokens generated for each request; decode is timed at the mean length",
    "cached_prefix": "Tokens of each prompt already in the cache",
    "microbatch": "Sequences in one micro-batch of one replica",
    "training": "TRUE for a training step, FALSE for inference",
    "recompute": "Activations recomputed in the backward pass",
    "zero_stage": "ZeRO stage: 0 none, 1 optimizer, 2 and gradients, 3 and weights sharded over the replicas",
    "lora": "Rank of LoRA adapters; blank: full training",
    "params": "Parameters",
    "tokens": "Training tokens",
    "budget": "Training compute budget",
    "tokens_per_param": "Training tokens for each parameter",
    "layers": "Layers",
    "kv_heads": "Key-value heads",
    "head_dim": "Width of one head",
    "latent_width": "Width of the compressed key-value vector and its positional part together",
    "bytes_per_value": "Bytes of one stored value",
    # parallelism
    "tp": "Tensor-parallel devices",
    "pp": "Pipeline stages",
    "dp": "Data-parallel replicas",
    "ep": "Expert-parallel devices, taken out of the data-parallel ones",
    "interleave": "Virtual stages on each pipeline device",
    "overlap": "Share of the backward pass under which gradient communication hides; blank: the sourced default",
    "straggler": "Slow-down of the step by its slowest device",
    "stages": "Pipeline stages",
    "microbatches": "Micro-batches in one step",
    # performance
    "flops": "Arithmetic work",
    "traffic": "Bytes moved to and from memory",
    "peak": "Dense peak arithmetic rate of one device",
    "bandwidth": "Bandwidth",
    "intensity": "Arithmetic intensity",
    "efficiency": "Share of the peak arithmetic rate that kernels reach; blank: the sourced default",
    "bandwidth_efficiency": "Share of the memory bandwidth that kernels reach",
    "reserve": "Share of usable memory kept free for runtime, fragmentation and graphs",
    "mfu": "Model FLOP utilisation",
    "scaling": "Scaling efficiency: share left after communication",
    "goodput": "Share of time left after failures and checkpoints",
    "devices": "Accelerators",
    "hours": "Wall-clock time",
    # networks
    "workers": "Devices that take part",
    "message": "Bytes that each device contributes",
    "latency": "Latency of one message",
    # reliability
    "component_life": "Mean time to failure of one component",
    "count": "Number of components",
    "save_time": "Time of one checkpoint",
    "mtbf": "Mean time between failures of the whole system",
    "interval": "Time between checkpoints",
    "recovery_time": "Time to detect a failure, restart and reload",
    # compression
    "method": "How the model is made smaller",
    "bits": "Bits of each quantized weight",
    "sparsity": "Share of weights removed",
    "group_size": "Weights that share one scale",
    "student": "Key of the distilled model, or its spec text",
    "structured": "How the removed weights are arranged",
    # energy and money
    "energy": "Energy used by the IT equipment",
    "pue": "Power usage effectiveness of the site",
    "busy_power": "Measured power at full load",
    "idle_share": "Idle power as a share of the busy draw",
    "days": "Duration",
    "utilisation": "Share of time in which the devices do paid work",
    "usd_per_kwh": "Electricity price; blank: the site's tariff, else the sourced default",
    "life_years": "Depreciation life; a longer run is not depreciated further",
    "usd_per_device": "Purchase price of one device; blank: the price list",
    "server": "Chassis, host, memory and disks as a share of the accelerators' price",
    "network": "Scale-out network as a share of the servers' price",
    "facility": "Facility or colocation cost per contracted kW (nameplate, else busy) and month",
    "staff": "Staff cost per device and year",
    "maintenance": "Maintenance and support per year as a share of the purchase price",
    "residual_share": "Share of the purchase price recovered at the end of life",
    "embodied_carbon": "Embodied carbon of one device; blank: the registry's figure",
    "annual_cost": "Cost of the fleet per year",
    "usd_per_device_hour": "Cost of one device for one hour",
    "tokens_per_s_per_device": "Tokens per second of one device",
    "price": "Purchase price",
    "age": "Age",
    "annual_decline": "Share of value lost each year",
    # where one name of the promise means two things
    "carbon.intensity": "Carbon intensity of the electricity",
    "power.utilisation": "Share of time at busy power; the rest is drawn at idle power",
}


def text_of(function: str, argument: str) -> str:
    """The text of an argument, of this function if it has its own."""
    return TEXTS.get(f"{function}.{argument}") or TEXTS[argument]
