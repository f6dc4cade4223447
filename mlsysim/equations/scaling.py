"""Scaling laws: the loss that parameters and tokens buy, and how to split a budget between them."""

from ..catalogue import equation
from ..units import Flops, LawExponent, LawScale, Params, Ratio, Tokens


@equation("hoffmann2022", "besiroglu2024", group="Equations")
def chinchilla_loss(
    *,
    params: Params,
    tokens: Tokens,
    irreducible: Ratio = 1.8172,
    param_scale: LawScale = 482.01,
    param_exponent: LawExponent = 0.3478,
    token_scale: LawScale = 2085.43,
    token_exponent: LawExponent = 0.3658,
) -> Ratio:
    """Final training loss of a dense transformer, in nats per token: irreducible + A / P^a + B / D^b.

    The defaults are the refit of 2024.  Losses belong to one corpus and one tokenizer; compare them within one law.

    Examples
    --------
    >>> round(chinchilla_loss(params=70e9, tokens=1.4e12), 3)
    1.974
    """
    return irreducible + param_scale / params**param_exponent + token_scale / tokens**token_exponent


@equation("hoffmann2022", "besiroglu2024", group="Equations")
def chinchilla_optimum(
    *,
    budget: Flops,
    param_scale: LawScale = 482.01,
    param_exponent: LawExponent = 0.3478,
    token_scale: LawScale = 2085.43,
    token_exponent: LawExponent = 0.3658,
) -> Params:
    """Parameters of least loss at a training budget of 6 FLOP per parameter and token (equation 4 of the paper).

    Examples
    --------
    >>> round(chinchilla_optimum(budget=5.76e23) / 1e9, 1)
    72.2
    """
    return (param_exponent * param_scale / (token_exponent * token_scale)) ** (
        1 / (param_exponent + token_exponent)
    ) * (budget / 6) ** (token_exponent / (param_exponent + token_exponent))


@equation("hoffmann2022", group="Equations")
def powerlaw_params(*, budget: Flops, params_at_zetta: Params, exponent: LawExponent) -> Params:
    """Parameters that grow as a power of the training budget, from their number at 1e21 FLOP.

    Examples
    --------
    >>> powerlaw_params(budget=1e23, params_at_zetta=3e9, exponent=0.5)
    30000000000.0
    """
    return params_at_zetta * (budget / 1e21) ** exponent
