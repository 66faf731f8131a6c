# Python sources with their requirements, under ww as PID 1.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY requirements.txt /app/
RUN if [ -s requirements.txt ]; then pip install --no-cache-dir --disable-pip-version-check -r requirements.txt; fi
# Before the sources, which change most often; after the requirements, so that
# another ww doesn't install them anew.
COPY ww /ww
COPY app/ /app/
USER 65532:65532
ENTRYPOINT ["/ww"]
CMD []
