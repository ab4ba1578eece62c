"""MLPerf's image-classification benchmark around spindl.Trainer: rules as data, runs, logs, package, checkers."""

from spindl.mlperf.checkers import Verdict
from spindl.mlperf.errors import MlperfError, RuleError
from spindl.mlperf.harness import Report, benchmark, stored_settings
from spindl.mlperf.log import Outcome
from spindl.mlperf.rules import Broken, Rule, Rules, broken_rules, load_rules
from spindl.mlperf.settings import MlperfSettings, check_rules

__all__ = [
    "Broken",
    "MlperfError",
    "MlperfSettings",
    "Outcome",
    "Report",
    "Rule",
    "RuleError",
    "Rules",
    "Verdict",
    "benchmark",
    "broken_rules",
    "check_rules",
    "load_rules",
    "stored_settings",
]
