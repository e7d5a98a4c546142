"""Growing pauses between tries, from tenacity's wait strategies.

For loops that are not a call to retry: services, the mount, manifests and commands. A transaction is such a call, and
`store.db` retries it by tenacity itself.
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
