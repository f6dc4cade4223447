"""The generated parts of README.md; run ``python tests/readme.py`` to rewrite them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
sys.path.insert(0, str(ROOT))


def functions() -> str:
    """One row per function, grouped."""
    from udfs import FUNCTIONS
    from workbook.sheets.functions import call_text, unit_text

    lines = ["| function | answers | unit |", "| --- | --- | --- |"]
    for function in sorted(FUNCTIONS.values(), key=lambda f: (f.group, f.name)):
        lines.append(f"| `{call_text(function)}` | {function.summary} | {unit_text(function)} |")
    return "\n".join(lines)


def differences() -> str:
    """Where a printed number of the cheat sheet is not what MLS_GET answers, and why."""
    from test_data_hardware import EXPLAINED, SHEET
    from test_data_models import SHEET_DIFFERENCES

    columns = ("peak fp16 (TFLOP/s)", "memory (GB)", "bandwidth (TB/s)", "TDP (W)")
    lines = ["| sheet | printed | ours | why |", "| --- | --- | --- | --- |"]
    lines.append(
        "| Iron law, peak of H100 fp16 | 312 TFLOPS | 989 TFLOP/s | 312 is the A100's; NVIDIA's H100 data sheet |"
    )
    for (key, column), (ours, why) in EXPLAINED.items():
        lines.append(
            f"| {key}, {columns[column]} | {SHEET[key][column]} | {'refused' if ours is None else ours} | {why} |"
        )
    printed = {"DS_CNN": "26K", "MobileNetV2": "3.4M"}
    from mlsysim.things import MODELS

    for key, why in SHEET_DIFFERENCES.items():
        lines.append(f"| {key}, parameters | {printed[key]} | {MODELS[key].params:.0f} | {why} |")
    lines.append(
        "| memory in GiB | 80, 141 ... | the same figures in GB | vendors print GB; `usable`: what the driver reports |"
    )
    return "\n".join(lines)


def registry() -> str:
    """Accelerators and models in one line each."""
    from mlsysim.registry import face
    from mlsysim.things import HARDWARE, MODELS

    lines = ["| accelerator | fp16/bf16 (TFLOP/s) | fp8 | memory (GB) | bandwidth (GB/s) | TDP (W) | group |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for key, device in HARDWARE.items():
        rate = face(device, "fp16") or face(device, "bf16")
        cells = (rate, face(device, "fp8"), face(device, "memory"), face(device, "bandwidth"), face(device, "tdp"))
        lines.append(f"| {key} | {' | '.join('' if c is None else f'{c:.6g}' for c in cells)} | {device.group} |")
    names = ", ".join(f"{k} ({t.params / 1e9:.3g}B)" if t.params >= 1e7 else k for k, t in MODELS.items())  # type: ignore[operator]
    return "\n".join([*lines, "", f"Models: {names}."])


PARTS = {"functions": functions, "differences": differences, "registry": registry}


def rendered(text: str) -> str:
    """The README with its generated parts as they should be."""
    for name, make in PARTS.items():
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
        text, count = re.subn(pattern, lambda m, made=make: f"{m[1]}{made()}\n{m[2]}", text, flags=re.S)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"README.md needs the part {name} exactly once")
    return text


if __name__ == "__main__":
    README.write_text(rendered(README.read_text("utf-8")), "utf-8")
