"""What all schedules share, and the checks of their arguments."""

import math
import numbers


class Schedule:
    """What all schedules share: they begin at `begin_step`, and after `end_step` nothing changes
    any more (`None`: they never end)."""

    begin_step = 0
    end_step: int | None = None
    frequency: int | None = None  # the schedule's own, where it has one, goes before the callback's

    def __call__(self, step):
        """The sparsity, a fraction in [0, 1), that is due at `step`."""
        raise NotImplementedError

    def last_trigger(self, step, frequency):
        """The last step up to `step` at which masks are taken, or `None` if there was none.

        Masks are taken at `begin_step`, then every `frequency` steps, and at `end_step`.
        """
        if step < self.begin_step:
            return None
        if self.end_step is not None and step >= self.end_step:
            return self.end_step
        frequency = self.frequency or frequency
        return self.begin_step + (step - self.begin_step) // frequency * frequency

    def get_config(self):
        raise NotImplementedError

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def check_step(step, name, least=0):
    if not isinstance(step, numbers.Integral) or isinstance(step, bool) or step < least:
        raise ValueError(
            f"`{name}` must be an integer of at least {least}. Received: {name}={step!r}"
        )
    return int(step)


def check_number(value, name, least, open_below=False):
    valid = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if not valid or value < least or (open_below and value == least):
        raise ValueError(
            f"`{name}` must be a number {'above' if open_below else 'of at least'} {least}. "
            f"Received: {name}={value!r}"
        )
    return value


def check_order(first_name, first, second_name, second, strictly=False):
    if second < first or (strictly and second == first):
        raise ValueError(
            f"`{second_name}` must {'lie after' if strictly else 'not lie before'} `{first_name}`. "
            f"Received: {first_name}={first}, {second_name}={second}"
        )
