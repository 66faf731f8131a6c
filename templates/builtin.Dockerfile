# A built-in component: the ww binary and nothing else. /data is for a bus that
# is one of them: a new volume takes its owner from there.
FROM scratch
COPY ww /ww
COPY --chown=65532:65532 data/ /data/
USER 65532:65532
ENTRYPOINT ["/ww"]
