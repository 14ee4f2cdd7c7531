# An image of the server; docs/server.md says how to build and run it.
FROM python:3.12-slim

# Which build of torch: that for CPUs is a tenth of the one for CUDA. For an NVIDIA GPU: .../whl/cu128
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir "torch>=2.5" --index-url "${TORCH_INDEX}"

WORKDIR /opt/bark-infinity
COPY pyproject.toml README.md LICENSE ./
COPY bark_infinity ./bark_infinity
# hadolint ignore=DL3013
RUN pip install --no-cache-dir ".[web,books]"

# Clips, voices and downloads lie in the volume; nothing else is written.
RUN useradd --create-home --uid 1000 bark && mkdir /data && chown bark /data
USER 1000
WORKDIR /data
ENV HF_HOME=/data/hub XDG_CACHE_HOME=/data/cache PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 7860 10200

HEALTHCHECK --interval=30s --timeout=5s --start-period=2h \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health')"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["bark-infinity-web", "--host", "0.0.0.0", "--output_dir", "/data/clips"]
CMD ["--model", "small"]
