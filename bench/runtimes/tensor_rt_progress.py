"""How far a build has come, from the phases that TensorRT reports, and one line on a terminal that says so."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from hpmkd_edge.progress import hidden


@dataclass(slots=True)
class _Phase:
    """A part of a build: where in the whole it begins, and what share it has."""

    began: float
    share: float
    steps: int
    done: int = 0

    @property
    def reached(self) -> float:
        return self.began + self.share * min(self.done / self.steps, 1.0)


@dataclass(slots=True)
class Progress:
    """The nested phases of one build; a phase fills the step of its parent that is under way."""

    fraction: float = 0.0
    phases: dict[str, _Phase] = field(default_factory=dict)

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Enter the phase *name* of so many *steps*, within *parent* where it has one."""
        outer = self.phases.get(parent) if parent else None
        share = outer.share / outer.steps if outer else 1.0
        began = outer.reached if outer else 0.0
        self.phases[name] = _Phase(began=began, share=share, steps=max(steps, 1))

    def step(self, name: str, step: int) -> None:
        """Note that the *step*-th step of a phase, from 0, is done."""
        phase = self.phases[name]
        phase.done = step + 1
        # Phases may run side by side; what was reached is never taken back.
        self.fraction = max(self.fraction, phase.reached)

    def finish(self, name: str) -> None:
        """Leave a phase, which may be before its last step."""
        phase = self.phases.pop(name)
        self.fraction = max(self.fraction, phase.began + phase.share)


def monitor_for(module: Any) -> Any:
    """Return an object that TensorRT reports a build to; `stopped` says whether Ctrl-C has ended it."""
    shown = sys.stderr.isatty() and not hidden()

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        """TensorRT calls it from threads of its own, through C++ that no exception may cross."""

        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self.progress = Progress()
            self.stopped = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._note(lambda: self.progress.start(phase_name, parent_phase, num_steps), phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._note(lambda: self.progress.step(phase_name, step), phase_name)
            return not self.stopped

        def phase_finish(self, phase_name: str) -> None:
            self._note(lambda: self.progress.finish(phase_name), phase_name)

        def _note(self, change: Any, phase_name: str) -> None:
            try:
                change()
                if shown:
                    print(f"\r\x1b[K{self.progress.fraction:4.0%} {phase_name}", end="", file=sys.stderr, flush=True)
            except KeyboardInterrupt:
                self.stopped = True
            except (KeyError, OSError):
                # A phase that never began, a terminal that went: no reason to end a build of minutes.
                pass

        def close(self) -> None:
            """Clear the line."""
            if shown:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    return Monitor()
