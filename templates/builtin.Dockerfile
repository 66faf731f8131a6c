# A built-in component: the ww binary and nothing else.
FROM scratch
COPY ww /ww
USER 65532:65532
ENTRYPOINT ["/ww"]
