# The one image of docker-compose.yml. It holds no token and no data.
FROM python:3.11.14-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# Before the sources, so that a change of code does not install everything again.
COPY requirements.lock ./
RUN pip install --require-hashes --no-deps -r requirements.lock

COPY pyproject.toml README.md ./
COPY orchestration ./orchestration
COPY dashboards ./dashboards
COPY warehouse ./warehouse
COPY dbt_project ./dbt_project
COPY sandbox ./sandbox
RUN pip install --no-deps --no-build-isolation -e . \
    && useradd --uid 10001 --create-home htw \
    && mkdir /data \
    && chown -R htw:htw /data /app/dbt_project

USER htw
# Parsed once here, not at every start.
RUN python -c "from orchestration.modelling import prepare_manifest; prepare_manifest()"
VOLUME /data
CMD ["htw", "--help"]
