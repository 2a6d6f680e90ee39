"""The agreement that the demo's live cases are under: short targets, so that marks fire soon."""

from datetime import UTC, datetime
from pathlib import Path

from api.agreement_file import read_agreement
from api.demo.home import write
from commands.agreements import DefineAgreement
from commands.command import ByExternalId
from commands.execute import execute
from commands.ports import Request, Who
from infra.runtime import Runtime

FILE = "agreement.toml"

TEXT = """\
# What is promised for live cases. Change a target, then:
#   crm agreements dry-run {path}     what would have been
#   crm agreements publish {path}     the next version; give it a later `applies_from`
id = "live"
applies_from = {now:%Y-%m-%dT%H:%M:%S}Z
title = "Live support"
objective = "Whoever writes is answered within a minute."
services = ["shop", "delivery"]
parties = [
  {{ name = "The shop", role = "provider" }},
  {{ name = "Its customers", role = "customer" }},
]
forgotten_after = "1h"
escalations = [
  {{ on = "warned", clock = "resolution", notify = ["team lead"] }},
  {{ on = "breached", clock = "resolution", level = 1, priority = "high", notify = ["manager"] }},
]

[scope]
everything = true

[calendar]
week = {{ every_day = ["00:00-24:00"] }}

[[clocks]]
clock = "first_response"
targets = {{ normal = "1m", high = "1m" }}
warnings = [{{ percent = 50 }}]

[[clocks]]
clock = "resolution"
targets = {{ normal = "3m", high = "3m" }}
warnings = [{{ percent = 75 }}]

[compensation]
period = "month"
cap = {{ amount = 2000, currency = "EUR" }}
credits = {{ resolution = {{ amount = {{ amount = 500, currency = "EUR" }} }} }}
"""


def agree(runtime: Runtime) -> None:
    """Write the agreement down where it can be changed, and publish it; once."""
    path = runtime.settings.directory / FILE
    if path.exists():
        return
    write(path, TEXT.format(path=path, now=datetime.now(UTC)).encode())
    publish(path, runtime)


def publish(path: Path, runtime: Runtime) -> None:
    """Publish what the file says."""
    told = read_agreement(path)
    define = DefineAgreement(
        agreement=ByExternalId(system="agreement", id=told.id),
        promise=told.promise,
        applies_from=told.applies_from,
    )
    who = Who(runtime.settings.tenant, "demo", operates=True)
    execute([Request(define, runtime.ports.new_id())], who, runtime.ports)
