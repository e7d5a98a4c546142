"""Growing pauses between tries, from tenacity's wait strategies.

For services, the mount, manifests, commands, reads and transactions: all of them decide for themselves whether there is
another try, which is more than a call that tenacity could retry.
"""

from collections.abc import Iterator
from itertools import count

import tenacity


def backoff(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait after the first, second, … failed try: doubled each time up to `longest`, without end."""
    strategy = tenacity.wait_exponential(multiplier=first, max=longest)
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    for state.attempt_number in count(1):
        yield strategy(state)
