
# Added by ww: it runs as PID 1, and starts the component's command.
USER 0:0
COPY ww.component /ww
USER 65532:65532
ENTRYPOINT ["/ww"]
CMD []
