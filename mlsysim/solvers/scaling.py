"""Wall 11: how a training budget is best split between parameters and tokens."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..catalogue import solver
from ..equations.scaling import chinchilla_loss, chinchilla_optimum, powerlaw_params
from ..equations.transformer import chinchilla_params
from ..errors import OutOfDomain
from ..record import Result, record
from ..units import Approach, Flops, Option, Params, Ratio, Real, Tokens, TokenVolume
from .workload import default, refuse_unless

Law = Literal["rule", "hoffmann", "besiroglu"]
_TERMS = ("irreducible", "param_scale", "param_exponent", "token_scale", "token_exponent")
_HALVINGS = 80


@record
class ScalingResult(Result):
    """A compute-optimal model and its data."""

    params: Params
    tokens: Tokens
    tokens_per_param: Tokens
    loss: Ratio  # nats per token, on the corpus of the paper
    training_flops: Flops
    inference_flops: Flops


@solver("hoffmann2022", "besiroglu2024", "sardana2023", group="Algorithm", wall=11)
def chinchilla(
    *,
    budget: Flops,
    tokens_per_param: Tokens = 20,
    approach: Option[Approach | None] = None,
    law: Option[Law] = "rule",
    params: Option[Params | None] = None,
    inference_tokens: Option[TokenVolume | None] = None,
) -> ScalingResult:
    """Compute-optimal parameters and tokens of a dense decoder for a training budget, 6 FLOP per parameter and token.

    By the rule of `tokens_per_param`; by one of the three `approach`es of the paper as its tables print them; or by a
    parametric `law` of the loss.  The printed constants of law hoffmann are rounded and put 20 to 30 % fewer
    parameters than the paper's own approach 3; besiroglu is their refit.  Given `params`, the tokens that the budget
    buys.
    With `inference_tokens`, `budget` sets the quality only: the model of least training *and* inference work that
    reaches the same loss.  The loss of the rule and of approaches is that of law besiroglu.
    Data quality, repeated epochs and sparse models are left out.
    """
    refuse_unless(budget > 0, "chinchilla: budget must be above 0 FLOP")
    ways = {
        "tokens_per_param": bool(np.any(tokens_per_param != 20)),
        "approach": approach is not None,
        "law": law != "rule",
        "params": params is not None,
    }
    chosen = [name for name, given in ways.items() if given]
    # the loss of a given size may be asked of either law
    if len(chosen) > 1 and chosen != ["law", "params"]:
        raise OutOfDomain(f"chinchilla: give one of {', '.join(chosen)}, they answer the same question")
    terms = {t: default(f"law_{'besiroglu' if law == 'rule' else law}_{t}") for t in _TERMS}
    optimum = {k: v for k, v in terms.items() if k != "irreducible"}
    tokens: Real
    if params is not None:
        size: Real = params + 0.0 * budget
    elif approach is not None:
        size = _approach(budget, approach)
    elif law != "rule":
        size = chinchilla_optimum(budget=budget, **optimum)
    else:
        size = chinchilla_params(budget=budget, tokens_per_param=tokens_per_param)
    tokens = budget / (6 * size)
    served: Real = 0.0
    if inference_tokens is not None:
        if law == "rule" or params is not None:
            raise OutOfDomain(
                "chinchilla: inference_tokens trades size against loss and needs a law alone, options 'law = besiroglu'"
            )
        served = inference_tokens
        size, tokens = _serving_aware(size, tokens, served, **optimum)
    return ScalingResult(
        params=size,
        tokens=tokens,
        tokens_per_param=tokens / size,
        loss=chinchilla_loss(params=size, tokens=tokens, **terms),
        training_flops=6 * size * tokens,
        inference_flops=2 * size * served,
    )


def _approach(budget: Real, approach: Real) -> Real:
    """Optimum as tables 3 and A3 of Hoffmann 2022 print it."""
    index = np.asarray(approach, dtype=int) - 1
    at = np.array([default(f"approach_{i}_params") for i in (1, 2, 3)])[index]
    exponent = np.array([default(f"approach_{i}_exponent") for i in (1, 2, 3)])[index]
    return powerlaw_params(budget=budget, params_at_zetta=at, exponent=exponent)


def _serving_aware(
    params: Real,
    tokens: Real,
    served: Real,
    param_scale: float,
    param_exponent: float,
    token_scale: float,
    token_exponent: float,
) -> tuple[Real, Real]:
    """Minimise 6 P D + 2 P T at the loss of (params, tokens) [Sardana 2023].

    Of the reducible loss a share x falls to the parameters.  At the optimum
    a x / (b (1 - x)) = 1 + T / (3 D(x)); the left side rises with x and the right side falls, so bisect the log-odds.
    """
    reducible = param_scale / params**param_exponent + token_scale / tokens**token_exponent

    def split(odds: Real) -> tuple[Real, Real]:
        share = 1 / (1 + np.exp(-odds))
        size = (param_scale / (reducible * share)) ** (1 / param_exponent)
        return size, (token_scale / (reducible / (1 + np.exp(odds)))) ** (1 / token_exponent)

    low = np.log(token_exponent / param_exponent) + 0.0 * (reducible + served)
    high = low + np.log1p(served / (3 * tokens)) + 1e-12  # D only grows from here, so the right side is largest here
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        data = split(middle)[1]
        enough = param_exponent / token_exponent * np.exp(middle) >= 1 + served / (3 * data)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return split((low + high) / 2)
