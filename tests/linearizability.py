"""Is there an order of operations that explains what each of them has returned?

A history is a set of operations on one object, each with the time before it was called and the time after it had
returned. It is *linearizable* if each operation can be given one instant between the two at which it takes place as a
whole, such that, done one after the other at these instants, they return what they have returned. An operation whose
process was killed is *optional*: it takes place once, or never.

The search goes through calls and returns in the order of time (just-in-time linearization: Lowe, "Testing for
linearizability", 2017, after Wing and Gong). It keeps all *configurations* that explain what has returned so far: the
object's state, and which of the operations under way have taken place in it. When an operation returns that has
not taken place in a configuration, this one is replaced by all that come about if others under way take place first,
and it next. If none is left, the history is not linearizable. Nothing is dropped that could be explained, and
nothing is guessed, so the answer is exact. These keep the configurations few, and lose none that matters:

- An *observation*, which changes nothing, takes place in the first state that explains it. Later would not free the
  others of anything.
- A *total* operation, which takes place in any state and tells nothing of it, such as a set, may do so just before
  another one that overwrites all it has written, and leaves no trace. So whenever such another one takes place while it
  is under way, it is *settled*: it has taken place then, or will do so later, and one configuration tells both. An
  optional one is settled from the beginning.
- Operations on different places of the object commute. While none is under way that spans several, nothing has to take
  place before an operation but what shares its place.
- If all that two configurations differ in is that one leaves more open, the other is dropped.
"""

import dataclasses
import heapq
import math

MOST_CONFIGURATIONS = 50_000
BETWEEN_RESTS = 1_000


class Undecided(Exception):
    """There are more configurations than anybody can follow."""


class Operation:
    """What one call has done; subclasses tell how, with ``outcomes``.

    Attributes:
        called, returned: when it may have taken place.
        optional: whether it may as well never have taken place.
        observes: whether it changes nothing.
        total: whether it can take place in any state, and whoever called it was told nothing about that state.
        touches: the places it may change or look at, a bit each.
        overwrites: the places that it writes without looking, a bit each.
    """

    __slots__ = ("bit", "called", "observes", "optional", "overwrites", "returned", "total", "touches")

    def outcomes(self, state):
        """The states in which it may leave the object if it takes place in this one; none if it cannot."""
        raise NotImplementedError


@dataclasses.dataclass
class Violation:
    """An operation that no order explains.

    Attributes:
        operation: the one that returned when no order was left.
        states: what all that had returned before may have left, and some of what was under way.
        rest: a moment before, at which nothing was under way: how many operations had been called, and what states were
            possible.
    """

    operation: Operation
    states: set
    rest: tuple


def find_violation(operations, states, until=math.inf):
    """The first operation, in the order of returns, up to which no order explains the history; or None.

    It begins with one of the states. What has not returned ``until`` then is as if it were still under way."""
    return Search(states).run(in_order_of_calls(operations), until)


def in_order_of_calls(operations):
    return sorted(operations, key=lambda operation: operation.called)


def shrink(operations, states, searches=400):
    """Leave out observations, as long as no order explains the rest; returns the operations and their violation.

    An observation left out forbids no order, so that the rest is as wrong as the whole, and shows better why."""
    violation = find_violation(operations, states)
    until = violation.operation.returned
    called, states = violation.rest
    operations = in_order_of_calls(operations)[called:]
    effects = [operation for operation in operations if not operation.observes and operation.called <= until]
    observations = [operation for operation in operations if operation.observes and operation.returned <= until]
    size = len(observations)
    while size and searches:
        # The earliest first: what is wrong is mostly near the end.
        start = 0
        while start < len(observations) and searches:
            searches -= 1
            fewer = observations[:start] + observations[start + size :]
            found = find_violation(effects + fewer, states, until)
            if found is None:
                start += size
            else:
                observations, violation, until = fewer, found, found.operation.returned
                effects = [operation for operation in effects if operation.called <= until]
        size //= 2
    return in_order_of_calls(effects + observations), violation


class Search:
    def __init__(self, states):
        # Each is a state, the bits of the operations under way that have taken place, and of those that are settled.
        self.configurations = {(state, 0, 0) for state in states}
        self.observations = []
        self.effects = []
        self.spanning = 0
        self.due = []
        self.free_bits = []
        self.bits = 0
        # The last two that are far enough apart.
        self.rests = [(0, set(states))]

    def run(self, operations, until):
        due = self.due
        last = len(operations) - 1
        for position, operation in enumerate(operations):
            called = operation.called
            while due and due[0][0] < called:
                if not self.finish(heapq.heappop(due)[2]):
                    return self.violation
            if not due and not self.effects:
                if position - self.rests[-1][0] > BETWEEN_RESTS:
                    self.rests = [self.rests[-1], (position, {state for state, _, _ in self.configurations})]
                if position < last and operation.returned < operations[position + 1].called:
                    if not self.take_place_alone(operation):
                        return self.violation
                    continue
            self.begin(operation)
            # What a process was killed in may be under way for ever.
            if operation.returned <= until and operation.returned < math.inf:
                heapq.heappush(due, (operation.returned, position, operation))
        while due:
            if not self.finish(heapq.heappop(due)[2]):
                return self.violation
        return None

    def take_place_alone(self, operation):
        """Nothing else is under way from its call to its return."""
        before = self.configurations
        outcomes = operation.outcomes
        after = {(state, 0, 0) for configuration in before for state in outcomes(configuration[0])}
        if operation.optional:
            after |= before
        return self.replace(after, operation)

    def replace(self, after, operation):
        if not after:
            self.violation = Violation(operation, {state for state, _, _ in self.configurations}, self.rests[0])
            return False
        self.configurations = after
        return True

    def begin(self, operation):
        if self.free_bits:
            bit = self.free_bits.pop()
        else:
            bit = 1 << self.bits
            self.bits += 1
        operation.bit = bit
        if operation.observes:
            self.observations.append(operation)
            self.configurations = {
                (state, done | bit if operation.outcomes(state) else done, settled)
                for state, done, settled in self.configurations
            }
        else:
            self.effects.append(operation)
            if operation.optional:
                self.configurations = {(state, done, settled | bit) for state, done, settled in self.configurations}
        self.spanning += spans(operation)

    def finish(self, operation):
        """It has returned: keep the configurations in which it has taken place, or does so next."""
        bit = operation.bit
        others = ~bit
        after = set()
        waiting = []
        for state, done, settled in self.configurations:
            if (done | settled) & bit:
                after.add((state, done & others, settled & others))
            if not done & bit:
                waiting.append((state, done, settled))
        if waiting:
            self.take_place_next(waiting, operation, after)
        if not self.replace(after, operation):
            return False
        (self.observations if operation.observes else self.effects).remove(operation)
        self.spanning -= spans(operation)
        self.free_bits.append(bit)
        if len(after) > 3:
            self.configurations = undominated(after, self.effects)
            if len(self.configurations) > MOST_CONFIGURATIONS:
                raise Undecided(f"{len(self.configurations)} configurations")
        return True

    def take_place_next(self, waiting, operation, after):
        """Let the operation take place in the waiting configurations, after all sequences of others that matter."""
        bit = operation.bit
        others = ~bit
        helpers = self.effects
        if not self.spanning:
            helpers = [other for other in helpers if other.touches & operation.touches]
        # With the places written by the last one if it is total and has explained nothing: whoever overwrites these
        # comes to the same, or less, as without it.
        stack = [(configuration, 0) for configuration in waiting]
        seen = set(stack)
        while stack:
            (state, done, settled), idle = stack.pop()
            for other in helpers:
                if done & other.bit or (idle and not idle & ~other.overwrites):
                    continue
                for next_state in other.outcomes(state):
                    configuration, explained = self.after(next_state, done, settled, other)
                    if configuration[1] & bit:
                        after.add((configuration[0], configuration[1] & others, configuration[2] & others))
                        continue
                    node = (configuration, other.touches if other.total and not explained else 0)
                    if node not in seen:
                        seen.add(node)
                        stack.append(node)

    def after(self, state, done, settled, operation):
        """The configuration when the operation has taken place, and whether that explains an observation."""
        done |= operation.bit
        settled &= ~operation.bit
        overwritten = operation.overwrites
        if overwritten:
            for other in self.effects:
                if other.total and not done & other.bit and not other.touches & ~overwritten:
                    settled |= other.bit
        explained = False
        for observation in self.observations:
            if not done & observation.bit and observation.outcomes(state):
                done |= observation.bit
                explained = True
        return (state, done, settled), explained


def spans(operation):
    """Whether it is about several places, so that its place in the order matters to operations on each."""
    return operation.touches & (operation.touches - 1) != 0


def undominated(configurations, effects):
    """Drop what another configuration of the same state implies."""
    effect_bits = 0
    for operation in effects:
        effect_bits |= operation.bit
    by_state = {}
    for configuration in configurations:
        by_state.setdefault(configuration[0], []).append(configuration)
    kept = set()
    for same_state in by_state.values():
        for one in same_state:
            _, done, settled = one
            for _, other_done, other_settled in same_state:
                if (
                    not (done ^ other_done) & effect_bits & ~other_settled
                    and not done & ~other_done & ~effect_bits
                    and not settled & ~other_settled
                    and (done, settled) != (other_done, other_settled)
                ):
                    break
            else:
                kept.add(one)
    return kept
