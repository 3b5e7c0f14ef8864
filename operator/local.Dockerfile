# syntax=docker/dockerfile:1
# Everything of `make up` in one image, for compose.yaml: the embedded PostgreSQL and NATS, the functions and the local runtime.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/audit
COPY requirements/build.txt requirements/local.txt requirements/
RUN /opt/audit/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt \
 && /opt/audit/bin/pip install --require-hashes --no-build-isolation --only-binary :all: --no-binary nkeys -r requirements/local.txt
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY functions functions
COPY operator operator
RUN /opt/audit/bin/pip install --no-deps --no-build-isolation .

FROM ${BASE}
ENV PATH=/opt/audit/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/audit /opt/audit
# PostgreSQL refuses to run as root, and looks its user up by name.
RUN groupadd --gid 65532 audit && useradd --uid 65532 --gid 65532 --home-dir /data --create-home audit
USER 65532:65532
WORKDIR /data
CMD ["python", "-m", "audit_operator.local", "up"]
