"""The contents page: every projection. A new one is a file and a line here."""

from projections.churn_alerts import churn_alerts
from projections.customer_features import customer_features
from projections.customer_view import customer_view
from projections.projection import Projection
from projections.sales_pipeline import sales_pipeline
from projections.save_queue import save_queue
from projections.sla_clocks import sla_clocks

ALL: tuple[Projection, ...] = (
    customer_view,
    sales_pipeline,
    sla_clocks,
    churn_alerts,
    customer_features,
    save_queue,
)

BY_NAME = {projection.name: projection for projection in ALL}
