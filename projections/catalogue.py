"""The contents page: every projection. A new one is a file and a line here."""

from projections.agreements import agreements
from projections.churn_alerts import churn_alerts
from projections.customer_features import customer_features
from projections.customer_view import customer_view
from projections.projection import Projection
from projections.sales_pipeline import sales_pipeline
from projections.save_queue import save_queue
from projections.sla_clocks import sla_clocks
from projections.sla_credits import sla_credits

ALL: tuple[Projection, ...] = (
    customer_view,
    sales_pipeline,
    sla_clocks,
    churn_alerts,
    customer_features,
    save_queue,
    agreements,
    sla_credits,
)

INNER = {name for each in ALL for name, column in each.columns.items() if column.inner}
"""The columns that are shown to nobody."""

BY_NAME = {projection.name: projection for projection in ALL}
