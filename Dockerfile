FROM python:3.12-slim
WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY config ./config
COPY worker ./worker
COPY tasks ./tasks
COPY gateway ./gateway
COPY sandbox ./sandbox
RUN pip install --no-cache-dir --no-deps . && useradd --create-home unlinker
USER unlinker
CMD ["unlinker", "worker"]
