"""What a synthetic market maker believes a digital option on Bitcoin to be worth."""

import math

# What the maker believes of the price: diffusion and jumps together, per square root of a second.
BELIEVED_VOLATILITY = 0.00025
# Close to the end the average that settles is already half known; less time than this is not believed.
TIME_LEFT_MIN_S = 5.0


def fair_value(price: float, strike: float, time_left_s: float) -> float:
    """Probability that a price without drift ends at or above the strike: the digital option."""
    spread = BELIEVED_VOLATILITY * math.sqrt(max(time_left_s, TIME_LEFT_MIN_S))
    return 0.5 * (1.0 + math.erf(math.log(price / strike) / spread / math.sqrt(2.0)))
