# A command of your own, in a base image of your choice, under ww as PID 1.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
# Before the sources, which change most often.
COPY ww /ww
COPY app/ /app/
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["/ww"]
CMD []
