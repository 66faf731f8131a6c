# A command of your own, in a base image of your choice, under ww as PID 1.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY app/ /app/
COPY ww /ww
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["/ww"]
CMD []
