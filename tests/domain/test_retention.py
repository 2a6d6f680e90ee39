"""Who may be leaving: what is refused before anybody is scored."""

import pytest

from domain.rejected import Rejected
from domain.retention import Models, candidates
from domain.retention_policy import AlertRule, RetentionPolicy


@pytest.mark.parametrize(
    "rule",
    [
        AlertRule(name="silent", basis="silence", threshold=50),
        AlertRule(name="gone", basis="purchases", threshold=50),
        AlertRule(name="unwell", basis="health", threshold=50, value_at_risk_min=1),
    ],
)
def test_a_rule_without_its_model_is_refused(rule: AlertRule) -> None:
    policy = RetentionPolicy(currency="EUR", alerts=(rule,))
    with pytest.raises(Rejected, match="Fit mbg_nbd") as no:
        candidates(policy, 1, Models(), [])
    assert no.value.code == "value_model.unknown"


def test_health_alone_needs_no_model() -> None:
    rule = AlertRule(name="unwell", basis="health", threshold=50)
    policy = RetentionPolicy(currency="EUR", alerts=(rule,))
    assert candidates(policy, 1, Models(), []) == []
