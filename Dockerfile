# One image for every role: `crm up`, `crm api`, `crm sequencer`, `crm relay`, `crm follow`, …
FROM python:3.13.9-slim-trixie AS build
RUN pip install --no-cache-dir "uv>=0.9,<1"
WORKDIR /crm
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --frozen --no-dev --no-install-project
COPY domain ./domain
COPY commands ./commands
COPY projections ./projections
COPY infra ./infra
COPY consumers ./consumers
COPY api ./api
RUN uv sync --frozen --no-dev --no-editable

FROM python:3.13.9-slim-trixie
# Generic names like `domain` must never be taken from the directory somebody works in.
ENV PATH=/crm/.venv/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 CRM_DIRECTORY=/var/lib/crm
RUN useradd --uid 10001 --create-home --home-dir /var/lib/crm crm \
 && install --directory --owner crm --mode 0700 /var/lib/crm-witness /var/lib/crm-ledger
COPY --from=build /crm/.venv /crm/.venv
USER 10001
WORKDIR /var/lib/crm
VOLUME /var/lib/crm
ENTRYPOINT ["crm"]
CMD ["up"]
