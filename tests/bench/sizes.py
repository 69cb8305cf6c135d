"""How much the bench does: the full run, and a quick one that only shows that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of one run: ``rounds`` of ``round_s`` seconds, the floor and the measured in turns, both warmed up."""

    warm_s: float = 3.0
    rounds: int = 3
    round_s: float = 4.0
    idle_requests: int = 30
    backlog_rounds: int = 2
    backlog_one: int = 100_000
    backlog_many: int = 60_000
    backlog_interactive: int = 40_000
    ledgers: int = 1000
    list_small: int = 10_000
    list_large: int = 1_000_000
    read_round_s: float = 1.5
    sign_ins: int = 25
    batches: int = 40_000
    settle_s: float = 15.0
    simulator_s: float = 60.0


QUICK = Sizes(
    warm_s=0.5,
    rounds=1,
    round_s=1.0,
    idle_requests=5,
    backlog_rounds=1,
    backlog_one=12_000,
    backlog_many=8_000,
    backlog_interactive=4_000,
    ledgers=100,
    list_small=1_000,
    list_large=20_000,
    read_round_s=0.3,
    sign_ins=5,
    batches=8_000,
    settle_s=2.0,
    simulator_s=5.0,
)
