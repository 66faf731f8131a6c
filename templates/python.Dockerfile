# Python sources with their requirements, under ww as PID 1.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY requirements.txt /app/
RUN if [ -s requirements.txt ]; then pip install --no-cache-dir --disable-pip-version-check -r requirements.txt; fi
COPY app/ /app/
COPY ww /ww
USER 65532:65532
ENTRYPOINT ["/ww"]
CMD []
