# Two images: `cpu`, for machines without a GPU, and `cuda` (the last target, so the default), for NVIDIA GPUs.
#   docker build --target cpu --tag prunegrid:cpu .
#   docker run --rm --volume "$PWD:/work" prunegrid:cpu keep data.json --model MODEL --pair random+random --samples 25% --to trl --out kept
# docs/how-to/containers.md says more. Versions are those of envs/requirements.txt.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
ENV PATH=/opt/prunegrid/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/prunegrid

# PyTorch first, in its own layer: it is most of the image and seldom changes.
FROM build AS build-cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY envs/requirements.txt envs/
RUN pip install --index-url "$TORCH_INDEX" "$(grep '^torch==' envs/requirements.txt)"
COPY . .
ARG VERSION
ENV SETUPTOOLS_SCM_PRETEND_VERSION_FOR_PRUNEGRID=$VERSION
RUN pip install --constraint envs/requirements.txt '.[workflow]'

# PyPI's PyTorch for Linux is the CUDA build, with the libraries that it needs; the driver comes from the host.
FROM build AS build-cuda
COPY envs/requirements.txt envs/
RUN pip install "$(grep '^torch==' envs/requirements.txt)"
COPY . .
ARG VERSION
ENV SETUPTOOLS_SCM_PRETEND_VERSION_FOR_PRUNEGRID=$VERSION
RUN pip install --constraint envs/requirements.txt '.[workflow,liger]'

# Downloaded models and data go to /cache: mount a folder there to keep them.
FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title=prunegrid org.opencontainers.image.licenses=Apache-2.0
ENV PATH=/opt/prunegrid/bin:$PATH HF_HOME=/cache/huggingface XDG_CACHE_HOME=/cache
RUN useradd --create-home --uid 1000 prunegrid && mkdir -m 1777 /cache && mkdir -m 777 /work
WORKDIR /work
ENTRYPOINT ["prunegrid"]
CMD ["--help"]

FROM runtime AS cpu
COPY --from=build-cpu /opt/prunegrid /opt/prunegrid
USER 1000

# A C compiler: Triton compiles kernels when a training starts.
FROM runtime AS cuda
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc=4:12.* libc6-dev=2.36-* \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build-cuda /opt/prunegrid /opt/prunegrid
USER 1000
