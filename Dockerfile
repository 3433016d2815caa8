# The demo page in a container.
#
#   docker build -t wav2pix .                            # for a CPU
#   docker build -t wav2pix --build-arg EXTRA=,cuda13 .  # for GPUs; run it with --gpus=all
#   docker run -p 127.0.0.1:7860:7860 wav2pix
#
# Any mode follows, here with a folder of yours, and as you:
#   docker run -v "$PWD:/here" --user "$(id -u):$(id -g)" -e HOME=/tmp wav2pix \
#     --mode=sample --speech=/here/a.wav --out=/here/samples
FROM python:3.12-slim

ARG EXTRA=""
RUN useradd --create-home wav2pix
WORKDIR /home/wav2pix/project
COPY --chown=wav2pix . .
RUN pip install --no-cache-dir ".[demo${EXTRA}]"
USER wav2pix
EXPOSE 7860
ENTRYPOINT ["wav2pix"]
CMD ["--mode=demo", "--host=0.0.0.0"]
