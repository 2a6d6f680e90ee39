"""The contents page: every command, by what asks for it and by what tells that it happened."""

from commands.agreements import AGREEMENT_COMMANDS
from commands.cases import CASE_COMMANDS
from commands.churn_alerts import CHURN_ALERT_COMMANDS
from commands.command import Command
from commands.customers import CUSTOMER_COMMANDS
from commands.interactions import INTERACTION_COMMANDS
from commands.leads import LEAD_COMMANDS
from commands.retention import RETENTION_COMMANDS

ALL = (
    *CUSTOMER_COMMANDS,
    *LEAD_COMMANDS,
    *CASE_COMMANDS,
    *INTERACTION_COMMANDS,
    *RETENTION_COMMANDS,
    *CHURN_ALERT_COMMANDS,
    *AGREEMENT_COMMANDS,
)

BY_NAME: dict[str, type[Command]] = {command.name: command for command in ALL}
"""`case.open` → OpenCase: somebody asks us to do it."""

BY_EVENT: dict[str, type[Command]] = {command.publishes: command for command in ALL}
"""`case.opened.v1` → OpenCase: a channel tells that it happened."""
